"""Drive hundreds of rows in one loop: one HTTP pool, one ledger writer, and counts, no bodies."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from prefect_responses.engine.account_room import AccountRoom
from prefect_responses.engine.garbage_collection import rare_collections
from prefect_responses.errors import ResponsesError, SubmissionInDoubt
from prefect_responses.job_errors import AccountFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prefect_responses.engine.calls import Call, Settled
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.engine.in_flight import InFlight

#: Seconds that the ledger's writer may wait for more verbs of a shard.
LINGER = 0.02
#: Rows that are started without letting those that are under way go on.
_AT_A_STRETCH = 8


@dataclass(frozen=True, slots=True)
class RowCall:
    """One row to be driven.

    Args:
        call: the row's call.
        in_flight: an earlier process submitted it, so it costs nothing to begin with it at once.
    """

    call: Call
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class RowEnd:
    """How one row ended in this run.

    Args:
        call: the row's call.
        settled: its settled attempt, or None if it could not be settled. It has the body that was
            read just now, so that nobody need ask the ledger for it.
        error: why not.
    """

    call: Call
    settled: Settled | None = None
    error: ResponsesError | None = None


@dataclass(slots=True)
class _Shard:
    """What the feeder and the rows of a shard tell each other."""

    rows: Iterator[RowCall]
    room: AccountRoom
    stopped: ResponsesError | None = None
    came_back: deque[RowCall] = field(default_factory=deque)

    def next_row(self) -> RowCall | None:
        """Form the next row's call; one that cannot be formed stops the shard."""
        try:
            return self.came_back.popleft() if self.came_back else next(self.rows, None)
        except ResponsesError as error:
            self.stop(error)
            return None

    def stop(self, error: ResponsesError) -> None:
        """Keep the first reason; the others follow from it."""
        if self.stopped is None:
            self.stopped = error


async def drive_shard(
    responses: DurableResponses,
    rows: Iterable[RowCall],
    *,
    gate: InFlight,
    ended: Callable[[RowEnd], None],
) -> None:
    """Drive every row to its end, as many at a time as *gate* lets.

    When nothing more can be submitted (no quota, a refused key, no network, no ledger, a budget
    that is used up), no further row is started, the responses in flight are awaited, and the reason
    is raised: every finished row is kept, and a re-run goes on from there. A row in doubt does not
    stop the others, nor does one that alone is more than an account may hold, nor an account that
    is full for now: its rows are tried again.

    Args:
        responses: the engine.
        rows: in the order of beginning. Those in flight begin without waiting for room, so they
            should come first: one that has to wait holds up what follows.
        gate: bounds the rows under way, over all shards that share it.
        ended: is told of each row as it ends, in the order of ending.

    Raises:
        BudgetStopped: an account's budget is used up.
        ResponsesError: what else stopped the shard before its end.
    """
    shard = _Shard(iter(rows), AccountRoom(responses.ledger, responses.unattended, gate))
    with responses.ledger.lingering(LINGER), rare_collections():
        async with aclosing(shard.room), asyncio.TaskGroup() as tasks:
            await _feed(_Line(responses, shard, gate, ended, tasks))
    if shard.stopped is not None:
        raise shard.stopped


@dataclass(frozen=True, slots=True)
class _Line:
    """What it takes to begin with a row."""

    responses: DurableResponses
    shard: _Shard
    gate: InFlight
    ended: Callable[[RowEnd], None]
    tasks: asyncio.TaskGroup

    def begin(self, row: RowCall) -> None:
        """Drive *row* in a task of its own; its room was taken."""
        self.shard.room.row_began()
        self.tasks.create_task(self._work(row)).add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        del task  # it may never have begun, so this is not its own to say
        self.gate.leave()
        self.shard.room.row_left()

    async def _work(self, row: RowCall) -> None:
        call, shard = row.call, self.shard
        try:
            self.ended(RowEnd(call, await self.responses.drive_row(call)))
            shard.room.row_ended()
        except AccountFull as full:
            if call.charge is not None and call.charge.fits_nowhere:
                return self.ended(RowEnd(call, error=full))
            shard.room.row_refused(call, full)
            shard.came_back.append(replace(row, in_flight=False))
        except SubmissionInDoubt as error:
            self.ended(RowEnd(call, error=error))
        except ResponsesError as error:
            shard.stop(error)
            self.ended(RowEnd(call, error=error))


async def _feed(line: _Line) -> None:
    """Begin with row after row, until there is none and none can come back."""
    shard, begun = line.shard, 0
    while shard.stopped is None:
        row = shard.next_row()
        if row is not None:
            await _let_in(line, row)
            begun += 1
        elif shard.room.running:
            await shard.room.wait_for_news()
        else:
            return
        if begun % _AT_A_STRETCH == 0:
            await asyncio.sleep(0)


async def _let_in(line: _Line, row: RowCall) -> None:
    shard, gate = line.shard, line.gate
    if row.in_flight:
        gate.adopt()
        return line.begin(row)
    try:
        await shard.room.wait_for_room()
    except ResponsesError as error:
        return shard.stop(error)
    await gate.enter()
    if shard.stopped is not None:
        return gate.leave()
    return line.begin(row)
