"""Read a ledger without touching it: nothing is made, migrated, owned or written."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from prefect_responses.errors import LedgerUnavailable
from prefect_responses.ledger.dialects import PATIENCE, SQLITE, dialect_of, parse_url
from prefect_responses.ledger.ledger import Ledger
from prefect_responses.ledger.opening import look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import URL


@asynccontextmanager
async def reading(url: str, patience: float = PATIENCE) -> AsyncIterator[Ledger]:
    """Yield the ledger at *url* for its reads alone; this process does not become an owner.

    Args:
        url: `sqlite:///` and a path, or `postgresql://`.
        patience: how long to wait for another process's lock before `LedgerLocked`.

    Raises:
        LedgerUnavailable: there is no ledger, or it cannot be read.
        LedgerNewer: it needs newer code.
    """
    parsed = parse_url(url)
    check_is_there(url)
    readable = _read_only(parsed) if dialect_of(parsed) is SQLITE else parsed
    found = await look(readable, patience)
    if not found.is_current():
        raise LedgerUnavailable(
            "The ledger's tables are missing or old: run `prefect-responses ledger upgrade`."
        )
    ledger = Ledger(readable, found.uuid, lease_seconds=0.0, patience=patience)
    try:
        yield ledger
    finally:
        await ledger._disconnect()  # noqa: SLF001 - our own: it was opened without an owner


def check_is_there(url: str) -> None:
    """Refuse a SQLite URL whose file does not exist, before a connection would make it.

    Raises:
        LedgerUnavailable: there is no such file.
    """
    parsed = parse_url(url)
    if dialect_of(parsed) is SQLITE and not Path(str(parsed.database)).is_file():
        raise LedgerUnavailable(f"There is no ledger at {parsed.database}.")


def _read_only(url: URL) -> URL:
    path = quote(str(Path(str(url.database)).absolute()))
    return url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
