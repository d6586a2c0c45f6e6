"""The records of row jobs: jobs, their passes, and the shards of a pass."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prefect_responses.statuses import PassEnd

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Job:
    """A row job, known since its first pass or since it was parked.

    Args:
        name: its name.
        created_at: seconds since the epoch.
        definition: JSON of what its last pass asked for, or None before the first.
        parked_at: when it was parked, or None: a pass that is opened or joined ends it.
        parked_kind: what kind of reason that was.
        parked_reason: the reason in words.
    """

    name: str
    created_at: float
    definition: str | None = None
    parked_at: float | None = None
    parked_kind: str | None = None
    parked_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PassProposal:
    """What a run wants to go over; the JSON texts are not read by the ledger.

    Args:
        definition: JSON of what is asked: prompt, model, schema, options.
        table_digest: digest of the keys of the table in their order.
        selection: JSON of which rows are wanted.
        rows: how many rows the table has.
        shard_rows: how many rows a shard has.
        plan: JSON of what is going to be done, or None.
    """

    definition: str
    table_digest: str
    selection: str
    rows: int
    shard_rows: int
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """One going over a job's table.

    Args:
        job: name of the job.
        number: counts the passes of the job from 1.
        definition: see `PassProposal`.
        table_digest: see `PassProposal`.
        selection: see `PassProposal`.
        rows: see `PassProposal`.
        shard_rows: see `PassProposal`.
        owner_id: the process that opened it, until it leaves.
        plan: see `PassProposal`.
        report: JSON of what came of it, once it is closed.
        opened_at: seconds since the epoch; never before the pass that went before.
        closed_at: when it was closed, or None.
        closed_as: how it was closed, or None.
    """

    job: str
    number: int
    definition: str
    table_digest: str
    selection: str
    rows: int
    shard_rows: int
    owner_id: str | None
    plan: str | None
    report: str | None
    opened_at: float
    closed_at: float | None = None
    closed_as: PassEnd | None = None

    @property
    def run(self) -> tuple[int, int]:
        """Return the `run` of attempts that are planned in it: a later pass has a later one."""
        return int(self.opened_at), self.number

    @property
    def is_open(self) -> bool:
        """Tell whether it has not been closed."""
        return self.closed_as is None

    def is_of(self, proposal: PassProposal) -> bool:
        """Tell whether a run that proposes this can take part."""
        return (self.definition, self.table_digest, self.selection) == (
            proposal.definition,
            proposal.table_digest,
            proposal.selection,
        )


class Entry(StrEnum):
    """Name how a run came into a pass."""

    #: It opened it.
    OPENED = "opened"
    #: It was open, and asks for the same.
    JOINED = "joined"
    #: Another one is open and somebody living is at work on it: ask again later.
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class PassFound:
    """Say which pass is open now, and how the asking run came into it."""

    pass_: Pass
    how: Entry


@dataclass(frozen=True, slots=True)
class Shard:
    """A slice of a pass.

    Args:
        job: name of the job.
        pass_number: number of the pass.
        number: counts the shards of the pass from 0.
        first: place of its first row in the table's order, from 0.
        rows: how many rows it has; none in the last shard, which writes the results.
        owner_id: the process that has or had it, or None.
        fence: grows each time that it is taken.
        taken_at: when it was taken last, in seconds since the epoch, or None.
        done_at: when it was finished, or None.
        counts: JSON of what came of its rows, or None.
    """

    job: str
    pass_number: int
    number: int
    first: int
    rows: int
    owner_id: str | None = None
    fence: int = 0
    taken_at: float | None = None
    done_at: float | None = None
    counts: str | None = None

    @property
    def is_last(self) -> bool:
        """Tell whether it is the one that writes the results."""
        return self.rows == 0

    @property
    def is_done(self) -> bool:
        """Tell whether it was finished."""
        return self.done_at is not None


def pass_of(row: Sequence[Any]) -> Pass:
    """Build the record of a row that has all columns of `passes` in order."""
    closed_as = row[12]
    values = (*row[:12], None if closed_as is None else PassEnd(closed_as))
    return Pass(*values)


def shard_rows_of(pass_: Pass) -> list[dict[str, Any]]:
    """Return the shards of a new pass as they are stored, the last one without rows."""
    firsts = range(0, pass_.rows, pass_.shard_rows)
    slices = [(first, min(pass_.shard_rows, pass_.rows - first)) for first in firsts]
    same = {"job": pass_.job, "pass_number": pass_.number, "fence": 0}
    return [
        same | {"number": number, "first": first, "rows": rows}
        for number, (first, rows) in enumerate([*slices, (pass_.rows, 0)])
    ]
