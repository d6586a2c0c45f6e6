"""Drive hundreds of rows in one loop: one HTTP pool, one ledger writer, counts instead of bodies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_responses.errors import ApiError, Parked, ResponsesError, SubmissionInDoubt

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
    rows: Iterator[Call]
    parked: Parked | ApiError | None = None


async def drive_shard(
    responses: DurableResponses,
    calls: Iterable[Call],
    *,
    max_in_flight: int,
    ended: Callable[[RowEnd], None],
) -> None:
    """Drive every call to its end, at most *max_in_flight* at a time.

    When the account is parked (no quota, a refused key) or the endpoint is gone, no further row is
    submitted, the responses in flight are awaited, and the reason is raised: every finished row is
    kept, and a re-run goes on from there. A row that is left in doubt does not stop the others.

    Args:
        responses: the engine.
        calls: one call a row.
        max_in_flight: responses under way at once.
        ended: is told of each row as it ends, in the order of ending.

    Raises:
        ApiError: nothing more can be submitted until a person acts.
    """
    shard = _Shard(iter(calls))
    responses.ledger.linger = LINGER
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max_in_flight):
                group.create_task(_work(responses, shard, ended))
    finally:
        responses.ledger.linger = 0.0
    if shard.parked is not None:
        raise shard.parked


async def _work(
    responses: DurableResponses, shard: _Shard, ended: Callable[[RowEnd], None]
) -> None:
    for call in shard.rows:
        try:
            ended(RowEnd(call, await responses.drive_row(call)))
        except SubmissionInDoubt as error:
            ended(RowEnd(call, error=error))
        except ApiError as error:
            shard.parked = shard.parked or error
            ended(RowEnd(call, error=error))
        if shard.parked is not None:
            return
