"""Work on many things at once, but never on more than so many, and never hold them all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

T = TypeVar("T")


async def each_abreast(
    things: AsyncIterator[T], do: Callable[[T], Awaitable[object]], abreast: int
) -> None:
    """Do *do* with each of *things*, *abreast* at once; a thing is taken when there is room.

    The first error stops all the others, and is raised as it is.
    """
    taking = asyncio.Lock()

    async def take() -> tuple[T] | None:
        async with taking:
            try:
                return (await anext(things),)
            except StopAsyncIteration:
                return None

    async def lane() -> None:
        while (taken := await take()) is not None:
            await do(taken[0])

    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(abreast):
                lanes.create_task(lane())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def one_by_one(things: Iterable[T]) -> AsyncIterator[T]:
    """Go through *things* as `each_abreast` wants them."""
    for thing in things:
        yield thing
