"""Open a ledger: the right file, the right tables, the right version."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import inspect

from prefect_responses.errors import LedgerLocked, LedgerNewer, LedgerUnavailable
from prefect_responses.ledger import statements
from prefect_responses.ledger.dialects import (
    PATIENCE,
    SQLITE,
    connect,
    dialect_of,
    parse_url,
    translated,
)
from prefect_responses.ledger.durability import check_locks
from prefect_responses.ledger.owner_locks import lock_file
from prefect_responses.ledger.tables import READER, REVISIONS, VERSION_TABLE, ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from prefect_responses.clock import Clock


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at a URL.

    Args:
        tables: whether there are any tables at all.
        revision: which migration they are at, or None if they are not a ledger's.
        uuid: the ledger's own ID, or empty.
        min_reader: the oldest reader that can live with them.
    """

    tables: bool
    revision: str | None = None
    uuid: str = ""
    min_reader: int = 0

    def is_current(self) -> bool:
        """Tell whether this code can use the tables as they are; newer ones that are additive too.

        Raises:
            LedgerNewer: the tables need newer code.
        """
        if self.min_reader > READER:
            raise LedgerNewer(
                "The ledger was upgraded by a newer prefect-responses and needs it: "
                f"it asks for reader {self.min_reader}, and this is reader {READER}."
            )
        return self.revision is not None and self.revision not in REVISIONS[:-1]


def locks_folder(url: URL) -> Path | None:
    """Return the folder of owner locks beside a SQLite ledger."""
    if dialect_of(url) is not SQLITE:
        return None
    return Path(f"{os.path.realpath(str(url.database))}.owners")


async def prepare(url: URL, clock: Clock, patience: float) -> str:
    """Make sure that the ledger at *url* can be used, and return its UUID.

    A SQLite ledger is made and migrated here, under a lock: any number of processes may come at
    once, and one that dies half-way leaves the file as it was.

    Raises:
        LedgerUnavailable: there is no ledger, or something else is there.
        LedgerNewer: it needs newer code.
        LedgerNotDurable: it would be on a network file system.
    """
    if dialect_of(url) is SQLITE:
        path = Path(str(url.database))
        check_locks(path)
        _check_folder(path)
    found = await look(url, patience)
    if found.is_current():
        return found.uuid
    if dialect_of(url) is not SQLITE:
        raise LedgerUnavailable(
            "The ledger's tables are missing or old: run `prefect-responses ledger upgrade`."
        )
    return await _make(url, clock, patience)


async def upgrade(url: str, clock: Clock, patience: float = PATIENCE) -> str:
    """Make or migrate the tables of the ledger at *url*, and return its UUID.

    Raises:
        LedgerUnavailable: the database cannot be reached, or its tables are not a ledger's.
        LedgerNewer: it needs newer code.
    """
    return await _make(parse_url(url), clock, patience)


async def look(url: URL, patience: float) -> Found:
    """Find out what is at *url* without changing it."""
    engine = connect(url, writes=False, pooled=False, busy=patience)
    with translated():
        async with engine.begin() as connection:
            return await _look(connection)


async def _look(connection: AsyncConnection) -> Found:
    tables = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    if not {ledger.name, VERSION_TABLE} <= tables:
        return Found(bool(tables))
    revision = (await connection.execute(statements.revision())).scalar_one()
    uuid, min_reader = (await connection.execute(statements.ledger_row())).one()
    return Found(tables=True, revision=revision, uuid=uuid, min_reader=min_reader)


async def _make(url: URL, clock: Clock, patience: float) -> str:
    dialect = dialect_of(url)
    engine = connect(url, writes=True, makes=True, pooled=False, busy=patience)
    with translated():
        async with (
            _alone(locks_folder(url), patience),
            _alone_here(patience),
            engine.begin() as connection,
        ):
            if dialect.migration_lock is not None:
                await connection.exec_driver_sql(dialect.migration_lock)
            found = await _look(connection)
            if found.is_current():
                return found.uuid
            if found.tables and found.revision is None and dialect is SQLITE:
                raise LedgerUnavailable("The file holds tables of something else than a ledger.")
            await connection.run_sync(_migrate)
            if found.uuid:
                return found.uuid
            uuid = str(uuid4())
            await connection.execute(statements.found_ledger(uuid, clock.now()))
            return uuid


def _migrate(connection: Connection) -> None:
    # Alembic is slow to import, and only needed when there is something to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    scripts = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config = Config()
    config.set_main_option("script_location", scripts)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _alone(folder: Path | None, patience: float) -> AsyncIterator[None]:
    """Keep other processes from making the same SQLite file at the same time."""
    if folder is None:
        yield
        return
    file = lock_file(folder, "opening", os.O_CREAT)
    try:
        await _until(lambda: _locks(file), patience)
        yield
    finally:
        os.close(file)


def _locks(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


#: Alembic keeps what it is migrating in globals of its modules.
_MIGRATING = threading.Lock()


@asynccontextmanager
async def _alone_here(patience: float) -> AsyncIterator[None]:
    """Keep other threads and tasks of this process from migrating any ledger at the same time."""
    # Never waited for by blocking: who holds it may be a task of the same loop.
    await _until(lambda: _MIGRATING.acquire(blocking=False), patience)
    try:
        yield
    finally:
        _MIGRATING.release()


async def _until(takes: Callable[[], bool], patience: float) -> None:
    deadline = asyncio.get_running_loop().time() + patience
    while not takes():
        if asyncio.get_running_loop().time() > deadline:
            raise LedgerLocked
        await asyncio.sleep(0.02)


def _check_folder(path: Path) -> None:
    """Refuse a file in a folder that is not there: a mistyped URL would pay for everything again.

    Raises:
        LedgerUnavailable: the folder is missing.
    """
    if not path.parent.is_dir():
        raise LedgerUnavailable(
            f"The ledger's folder {path.parent} is not there: correct the URL, or make the folder."
        )
