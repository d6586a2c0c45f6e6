"""End work at a wall-clock time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from prefect_responses.clock import Clock


async def before(clock: Clock, until: float | None, work: Coroutine[Any, Any, None]) -> bool:
    """Run *work*, cancelling it at *until*; tell whether it came to its end.

    Args:
        clock: the time; unlike the loop's own it goes on while the machine sleeps.
        until: seconds since the epoch, or None for no end.
        work: what is to be done; what it raises is raised.
    """
    if until is None:
        await work
        return True
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(max(0.0, until - clock.now())))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_done = task.done()
        task.cancel()
        alarm.cancel()
        await asyncio.gather(task, alarm, return_exceptions=True)
    if is_done:
        task.result()
    return is_done


def sooner(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two times, of which each may be none."""
    return min((time for time in (one, other) if time is not None), default=None)
