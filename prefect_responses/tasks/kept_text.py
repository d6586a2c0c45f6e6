"""What a response had said before it was cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from prefect_responses.blocks.response_ledger import address_of
from prefect_responses.decisions.fold_snapshots import from_snapshot
from prefect_responses.engine.connections import open_ledger
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.host.origins import read_waiter

if TYPE_CHECKING:
    from prefect_responses.blocks.response_ledger import ResponseLedger


def kept_text(attempt_id: str, *, ledger: ResponseLedger | None = None) -> str:
    """Return the text that was kept of a streamed response which has no answer.

    It may lack what came in the last quarter of a second before the end, or before a crash.

    Args:
        attempt_id: the ledger's ID, as `ResponseTimedOut` and other errors carry it.
        ledger: where it is recorded; the default ledger if None.

    Returns:
        The text; empty if nothing was streamed, or an answer is stored.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return current_runtime().run(_kept_text(attempt_id, ledger))


async def akept_text(attempt_id: str, *, ledger: ResponseLedger | None = None) -> str:
    """Return the text that was kept of a streamed response; see `kept_text`."""
    return await current_runtime().arun(_kept_text(attempt_id, ledger))


async def _kept_text(attempt_id: str, block: ResponseLedger | None) -> str:
    host = await read_waiter()
    ledger = await open_ledger(current_runtime(), address_of(block, deployed=host.deployed))
    progress = await ledger.progress(attempt_id)
    if progress is None or progress.snapshot is None:
        return ""
    return from_snapshot(orjson.loads(progress.snapshot)).text
