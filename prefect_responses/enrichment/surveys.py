"""Go once over a table before anything is sent: check it, and count what a pass would do.

Of each row it keeps eight bytes of its key and one of what is done with it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

from prefect_responses.decisions.job_definitions import changes_since
from prefect_responses.decisions.row_selection import DRIVEN, PAID, RowChoice, Selection, choose
from prefect_responses.enrichment.key_sets import KeySet, TableDigest
from prefect_responses.enrichment.plans import SHOWN_NAMES, JobPlan, PlanCounter
from prefect_responses.enrichment.row_filters import row_filter
from prefect_responses.enrichment.sources import key_columns
from prefect_responses.enrichment.sources.checks import check_keys, numbered_rows
from prefect_responses.errors import RequestInvalid
from prefect_responses.identity import row_name
from prefect_responses.ledger import PassProposal
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prefect_responses.attempt import Endpoint
    from prefect_responses.decisions.job_definitions import JobDefinition
    from prefect_responses.enrichment.job import EnrichJob
    from prefect_responses.enrichment.row_filters import Where
    from prefect_responses.enrichment.row_requests import RowRequests
    from prefect_responses.enrichment.rows import Row, RowOutcome
    from prefect_responses.ledger import Ledger, RowStanding

#: Rows that are looked up in the ledger at a time.
_PAGE = 500
#: Passes that the definition is compared with at most, the latest ones.
_COMPARED = 10


@dataclass(frozen=True, slots=True)
class PassTerms:
    """Say which rows a pass is about, and how it is divided.

    Args:
        max_attempts: attempts at one request that may end without an answer, by class.
        selection: which rows by how they stand.
        where: which rows by what they hold.
        keys: which rows by their keys, or None for all.
        shard_rows: rows that one Prefect task run drives.
    """

    max_attempts: Mapping[RowOutcome, int] = field(hash=False)
    selection: Selection = field(default_factory=Selection)
    where: Where | None = field(default=None, hash=False)
    keys: frozenset[str] | None = field(default=None, hash=False)
    shard_rows: int = 1000

    def wants(self) -> Callable[[Row], bool]:
        """Return the function that tells whether a row is one of them, however it stands."""
        matches = row_filter(self.where)
        return lambda row: matches(row) and self.has_key(row.key)

    def has_key(self, key: str) -> bool:
        """Tell whether a row is among those that are named by their keys."""
        return self.keys is None or key in self.keys


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Args:
        plan: what the pass would do.
        proposal: the pass, as the ledger is asked for it.
        driven: one byte for each row in the table's order, 1 if the pass drives it.
        unnamed: rows that it would pay for if they were named by their keys, as a sample is.
    """

    plan: JobPlan
    proposal: PassProposal
    driven: bytearray = field(repr=False)
    unnamed: int = 0

    def has_work(self, first: int, rows: int) -> bool:
        """Tell whether any of these rows is driven."""
        return 1 in self.driven[first : first + rows]


async def survey(
    job: EnrichJob,
    ledger: Ledger,
    endpoint: Endpoint,
    terms: PassTerms,
    run: tuple[int, ...],
) -> Survey:
    """Read the table once and the ledger beside it; nothing is sent or written.

    Args:
        job: what is asked.
        ledger: how the rows stand.
        endpoint: where they are asked.
        terms: which rows the pass is about.
        run: the pass's run; see `choose`.

    Raises:
        TableInvalid: the table cannot be read, is empty, or a key is missing or there twice.
        RequestInvalid: rows are in flight at another endpoint.
    """
    look = _Look(job, job.requests(endpoint), terms, run)
    pages = look.pages()
    while page := await asyncio.to_thread(next, pages, None):
        standings = await ledger.row_standings(job.scope, [row_name(each.key) for each in page])
        for each in page:
            look.count(each, standings.get(row_name(each.key)))
        await look.find_elsewhere(ledger, endpoint)
    _check_place(look.elsewhere)
    await asyncio.to_thread(check_keys, job.source, key_columns(job.key), look.keys)
    vanished, names = await _vanished(job.scope, ledger, look.keys)
    definition = job.definition(endpoint)
    plan = look.counter.plan(
        job.name, await _because(job, ledger, definition, look), vanished, names
    )
    return Survey(plan, look.proposal(definition, plan), look.driven, look.unnamed)


async def _because(
    job: EnrichJob, ledger: Ledger, now: JobDefinition, look: _Look
) -> tuple[str, ...]:
    """Compare with the passes that asked what changed; there may be another one since.

    One in between may have kept the answers of an earlier one, or been killed at its beginning.
    """
    reasons: dict[str, None] = {}
    for run in sorted(look.counter.changed_runs)[-_COMPARED:]:
        asked = await ledger.jobs.read_pass(job.name, run[-1]) if run else None
        before = asked.definition if asked is not None and asked.run == run else None
        reasons |= dict.fromkeys(changes_since(before, now))
    return tuple(reasons)


async def _vanished(scope: str, ledger: Ledger, keys: KeySet) -> tuple[int, tuple[str, ...]]:
    count, shown = 0, list[str]()
    prefix = row_name("")
    async for page in ledger.row_names(scope):
        gone = [key for name in page if (key := name.removeprefix(prefix)) not in keys]
        count += len(gone)
        shown += gone[: SHOWN_NAMES - len(shown)]
    return count, tuple(shown)


def _asks(choice: RowChoice, standing: RowStanding) -> bool:
    """Tell whether the API is going to be asked about a response that was begun before."""
    is_begun = choice in {RowChoice.ADOPT, RowChoice.DOUBT}
    return is_begun or (choice in DRIVEN and standing.state is AttemptState.SUBMITTED)


def _check_place(elsewhere: int) -> None:
    if elsewhere:
        raise RequestInvalid(
            f"{elsewhere:,} rows are in flight at another endpoint, account or project. Run the "
            "job with that one until they have ended, or harvest them; then change it."
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of a row until it is looked up."""

    key: str
    digest: str
    matches: bool


class _Look:
    """What a survey gathers, row by row."""

    def __init__(
        self, job: EnrichJob, requests: RowRequests, terms: PassTerms, run: tuple[int, ...]
    ) -> None:
        self.keys = KeySet()
        self.counter = PlanCounter()
        self.driven = bytearray()
        self.unnamed = 0
        self.elsewhere = 0
        self._moved: list[str] = []
        self._job = job
        self._requests = requests
        self._terms = terms
        self._run = run
        self._table = TableDigest()
        self._wanted = blake2b(digest_size=16)

    def pages(self) -> Iterator[list[_Seen]]:
        rows = numbered_rows(self._job.source, key_columns(self._job.key))
        matches, render = row_filter(self._terms.where), self._job.prompt.render
        while page := [
            _Seen(row.key, self._requests.digest(render(row)), matches(row))
            for _, row in islice(rows, _PAGE)
        ]:
            yield page

    def count(self, row: _Seen, standing: RowStanding | None) -> None:
        self._table.add(self.keys.add(row.key), row.digest)
        choice, terms = RowChoice.NOT_SELECTED, self._terms
        if row.matches:
            choice = choose(standing, row.digest, terms.selection, self._run, terms.max_attempts)
        is_named = terms.has_key(row.key)
        if not is_named:
            self.unnamed += choice in PAID
            choice = RowChoice.NOT_SELECTED
        self._wanted.update(b"1" if row.matches and is_named else b"0")
        if standing is not None and standing.digest != row.digest and _asks(choice, standing):
            self._moved.append(standing.name)
        self.driven.append(choice in DRIVEN)
        self.counter.add(choice, standing)

    async def find_elsewhere(self, ledger: Ledger, endpoint: Endpoint) -> None:
        """Count the rows whose response another endpoint has: this one would say it is gone."""
        moved, self._moved = self._moved, []
        if moved:
            standing = await ledger.standing(self._job.scope, moved)
            self.elsewhere += sum(one.endpoint != endpoint for one in standing.values())

    def proposal(self, definition: JobDefinition, plan: JobPlan) -> PassProposal:
        selection = self._terms.selection
        said = {
            "select": selection.select,
            "replay": sorted(selection.replay),
            "adopts_changes": selection.adopts_changes,
            "rows": self._wanted.hexdigest(),
        }
        return PassProposal(
            definition=definition.as_json(),
            table_digest=self._table.hexdigest(),
            selection=json.dumps(said, sort_keys=True),
            rows=len(self.driven),
            shard_rows=self._terms.shard_rows,
            plan=plan.model_dump_json(),
        )
