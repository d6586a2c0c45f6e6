"""Race work against other work, and times against each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all *works* side by side until one of them is done, and cancel the others.

    What the one that was done first raises is raised.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def sooner(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two times, of which each may be none."""
    return min((time for time in (one, other) if time is not None), default=None)
