"""Outlast a database that is away for a moment: a server that restarts is back within seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from prefect_responses.ledger.dialects import is_outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

#: Seconds before each further try; together about as long as a PostgreSQL needs to restart.
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)


async def outlasting(do: Callable[[], Awaitable[T]]) -> T:
    """Return what *do* returns, trying again for a while when its database goes away.

    A connection that breaks at its commit does not say whether it was made, so what is done twice
    must find what it did.

    Raises:
        Exception: whatever else went wrong, or what the last try said.
    """
    for pause in PAUSES:
        try:
            return await do()
        except Exception as exc:
            if not is_outage(exc):
                raise
        await asyncio.sleep(pause)
    return await do()
