"""How a job stands in the ledger: its last pass, its rows by what became of them, its money."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.replays import replayed_class
from prefect_responses.decisions.row_outcomes import RowOutcome
from prefect_responses.decisions.row_selection import row_class
from prefect_responses.errors import RequestInvalid
from prefect_responses.identity import job_scope

if TYPE_CHECKING:
    from prefect_responses.ledger import Account, Job, Ledger, Pass


@dataclass(frozen=True, slots=True)
class JobStanding:
    """How a job stands.

    Args:
        job: what the ledger knows of it.
        last_pass: the pass that was opened last, or None.
        shards: how many shards of rows that pass has.
        shards_done: how many of them are finished.
        rows: rows by what became of them, in the order of the outcomes.
        marked: rows that are marked for a replay, and were not asked again yet.
        accounts: what was spent on the job, and what is reserved: in all, by day and by run.
    """

    job: Job
    last_pass: Pass | None
    shards: int
    shards_done: int
    rows: dict[RowOutcome, int]
    marked: int
    accounts: tuple[Account, ...]

    @property
    def account(self) -> Account | None:
        """Return the account of the job as a whole, or None if nothing was ever charged to it."""
        scope = job_scope(self.job.name)
        return next((one for one in self.accounts if one.name == scope), None)

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON types; times are seconds since the epoch, money nano-USD."""
        return asdict(self)


async def known_job(ledger: Ledger, name: str) -> Job:
    """Return what the ledger knows of a job.

    Raises:
        RequestInvalid: it knows none of this name.
    """
    if (job := await ledger.jobs.job(name)) is None:
        raise RequestInvalid(f"The ledger knows no job {name!r}; see `prefect-responses job list`.")
    return job


async def job_standing(ledger: Ledger, job: Job) -> JobStanding:
    """Read how a job stands; what changes meanwhile may be seen in one part and not in another."""
    name = job.name
    last_pass = await ledger.jobs.latest_pass(name)
    shards = [] if last_pass is None else await ledger.jobs.shards(last_pass)
    with_rows = [shard for shard in shards if not shard.is_last]
    rows, marked = await _rows(ledger, job_scope(name))
    return JobStanding(
        job,
        last_pass,
        len(with_rows),
        sum(shard.is_done for shard in with_rows),
        rows,
        marked,
        tuple(await ledger.accounts(job_scope(name))),
    )


async def _rows(ledger: Ledger, scope: str) -> tuple[dict[RowOutcome, int], int]:
    counts, marked = Counter[RowOutcome](), 0
    async for names in ledger.row_names(scope):
        standings = (await ledger.row_standings(scope, names)).values()
        counts.update(map(row_class, standings))
        marked += sum(replayed_class(one.rejected) is not None for one in standings)
    return {outcome: counts[outcome] for outcome in RowOutcome if counts[outcome]}, marked
