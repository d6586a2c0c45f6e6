"""Drive hundreds of rows in one loop: one HTTP pool, one ledger writer, and counts, no bodies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_responses.errors import ResponsesError, SubmissionInDoubt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prefect_responses.engine.calls import Call, Settled
    from prefect_responses.engine.durable_responses import DurableResponses

#: Seconds that the ledger's writer may wait for more verbs of a shard.
LINGER = 0.02


@dataclass(frozen=True, slots=True)
class RowEnd:
    """How one row ended in this run.

    Args:
        call: the row's call.
        settled: its settled attempt, or None if it could not be settled.
        error: why not.
    """

    call: Call
    settled: Settled | None = None
    error: ResponsesError | None = None


@dataclass(slots=True)
class _Shard:
    calls: Iterator[Call]
    stopped: ResponsesError | None = None


async def drive_shard(
    responses: DurableResponses,
    calls: Iterable[Call],
    *,
    max_in_flight: int,
    ended: Callable[[RowEnd], None],
) -> None:
    """Drive every call to its end, at most *max_in_flight* at a time.

    When nothing more can be submitted (no quota, a refused key, no network, no ledger), no further
    row is started, the responses in flight are awaited, and the reason is raised: every finished
    row is kept, and a re-run goes on from there. A row in doubt does not stop the others.

    Args:
        responses: the engine.
        calls: one call a row.
        max_in_flight: responses under way at once.
        ended: is told of each row as it ends, in the order of ending.

    Raises:
        ResponsesError: what stopped the shard before its end.
    """
    shard = _Shard(iter(calls))
    with responses.ledger.lingering(LINGER):
        async with asyncio.TaskGroup() as workers:
            for _ in range(max_in_flight):
                workers.create_task(_work(responses, shard, ended))
    if shard.stopped is not None:
        raise shard.stopped


def _stop(shard: _Shard, error: ResponsesError) -> None:
    """Keep the first reason; the others follow from it."""
    if shard.stopped is None:
        shard.stopped = error


def _next_call(shard: _Shard) -> Call | None:
    """Form the next row's call; one that cannot be formed stops the shard."""
    try:
        return next(shard.calls, None)
    except ResponsesError as error:
        _stop(shard, error)
        return None


async def _work(
    responses: DurableResponses, shard: _Shard, ended: Callable[[RowEnd], None]
) -> None:
    while shard.stopped is None and (call := _next_call(shard)) is not None:
        try:
            ended(RowEnd(call, await responses.drive_row(call)))
        except SubmissionInDoubt as error:
            ended(RowEnd(call, error=error))
        except ResponsesError as error:
            _stop(shard, error)
            ended(RowEnd(call, error=error))
