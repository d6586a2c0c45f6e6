"""Ask Prefect's API within bounds, and tell "it could not be asked" from "it is not there"."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client

from prefect_responses.errors import PrefectUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prefect.client.orchestration import PrefectClient

#: Seconds for one exchange with Prefect's API. Its client alone would go on for over a minute; the
#: first two of its retries, after 2 and 4 seconds, carry over a server that is restarted or busy.
PATIENCE = 10.0


@asynccontextmanager
async def asking_prefect(patience: float = PATIENCE) -> AsyncIterator[PrefectClient]:
    """Open a client of Prefect's API for a few questions.

    Args:
        patience: seconds for all of them.

    Raises:
        PrefectUnavailable: it did not answer in time, or with an error. What the caller expects as
            an answer ("no such block") it catches within.
    """
    try:
        async with asyncio.timeout(patience), get_client() as client:
            yield client
    except Exception as error:
        reason = type(error).__name__
        raise PrefectUnavailable(f"Prefect's API gave no usable answer ({reason}).") from error
