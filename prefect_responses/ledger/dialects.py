"""What differs between the databases, and the one door for their errors."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, cast, event, literal_column
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from prefect_responses.errors import (
    LedgerError,
    LedgerInconsistent,
    LedgerLocked,
    LedgerUnavailable,
    ResponsesError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

#: How long a writer waits for the lock of another process before it gives up. Groups take
#: milliseconds, so this is only reached if somebody holds the lock by hand.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of database.

    Args:
        name: SQLAlchemy's name of it.
        locks_rows: whether writers run side by side, so that a group locks the rows it reads.
            SQLite has one writer at a time.
        clock: the time of the database in seconds since the epoch.
        migration_lock: what keeps two migrations apart, if a statement does.
    """

    name: str
    locks_rows: bool
    clock: str
    migration_lock: str | None = None

    def now(self) -> ColumnElement[float]:
        """Return the database's own time: all owners are judged by one clock."""
        return cast(literal_column(self.clock), Double)


SQLITE = Dialect("sqlite", locks_rows=False, clock="(julianday('now') - 2440587.5) * 86400.0")
POSTGRESQL = Dialect(
    "postgresql",
    locks_rows=True,
    clock="extract(epoch from clock_timestamp())",
    migration_lock="SELECT pg_advisory_xact_lock(7236837)",
)

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_DIALECTS = {dialect.name: dialect for dialect in (SQLITE, POSTGRESQL)}


def parse_url(url: str) -> URL:
    """Read a ledger URL and put in the driver that is used for it.

    Raises:
        LedgerUnavailable: it is no URL, or of a database that no ledger can be on.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise LedgerUnavailable(
            "The ledger's URL cannot be read: give sqlite:/// or postgresql://."
        ) from exc
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise LedgerUnavailable(f"A ledger is on SQLite or PostgreSQL, not on {backend}.")
    if backend == "sqlite" and (parsed.database or ":memory:") == ":memory:":
        raise LedgerUnavailable("A ledger in memory would not survive: give a file's path.")
    return parsed.set(drivername=_DRIVERS[backend])


def dialect_of(url: URL) -> Dialect:
    """Return the dialect of a parsed URL."""
    return _DIALECTS[url.get_backend_name()]


def connect(
    url: URL,
    *,
    writes: bool,
    makes: bool = False,
    pooled: bool = True,
    busy: float = PATIENCE,
) -> AsyncEngine:
    """Make an engine.

    Args:
        url: the ledger's URL.
        writes: whether its transactions take the write lock at once.
        makes: whether a SQLite file is switched to its write-ahead log; one process at a time may.
        pooled: whether connections are kept.
        busy: how long to wait for the lock of another process; on PostgreSQL one that holds a lock
            and does nothing for half as long loses its connection.
    """
    # What a row is found by, and all else that is written, must not reach a log with an error.
    options: dict[str, Any] = {"hide_parameters": True} | (
        {} if pooled else {"poolclass": NullPool}
    )
    if dialect_of(url) is POSTGRESQL:
        server = {"lock_timeout": str(int(busy * 1000))}
        if writes:
            # A process that is frozen in the middle of a write must not hold up all others.
            server["idle_in_transaction_session_timeout"] = str(int(busy * 500))
        options |= {"pool_pre_ping": True, "connect_args": {"server_settings": server}}
        return create_async_engine(url, **options)
    engine = create_async_engine(
        url,
        # The driver must not begin transactions of its own: ours begin below.
        connect_args={"timeout": busy, "isolation_level": None},
        **options,
    )
    if makes:
        event.listen(engine.sync_engine, "connect", _write_ahead)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_immediate if writes else _begin)
    return engine


def _write_ahead(connection: Any, record: object) -> None:
    del record
    cursor = connection.cursor()
    # Readers do not wait for the writer. The file remembers it.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _set_up_sqlite(connection: Any, record: object) -> None:
    del record
    cursor = connection.cursor()
    # An ID must survive a power cut; grouping pays for it.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    # A transaction that reads first and then wants to write cannot wait for the lock: it fails.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


# --- errors ---------------------------------------------------------------------------------------


#: What drivers raise without wrapping: no route to the server, and values that no column can hold.
_FOREIGN = (SQLAlchemyError, OSError, ValueError, ArithmeticError, TypeError)

#: SQLite's result codes (their lowest byte) that a person can do something about.
_SQLITE = {
    sqlite3.SQLITE_BUSY: (LedgerLocked, "Another process has held the ledger's lock for too long"),
    sqlite3.SQLITE_LOCKED: (
        LedgerLocked,
        "Another process has held the ledger's lock for too long",
    ),
    sqlite3.SQLITE_FULL: (LedgerUnavailable, "The disk of the ledger is full"),
    sqlite3.SQLITE_READONLY: (LedgerUnavailable, "The ledger's file or folder is read-only"),
    sqlite3.SQLITE_CANTOPEN: (LedgerUnavailable, "The ledger's file cannot be opened"),
    sqlite3.SQLITE_NOTADB: (LedgerUnavailable, "The ledger's file is not a SQLite database"),
    sqlite3.SQLITE_CORRUPT: (LedgerUnavailable, "The ledger's file is damaged"),
    sqlite3.SQLITE_IOERR: (LedgerUnavailable, "The disk of the ledger does not answer"),
    sqlite3.SQLITE_PERM: (LedgerUnavailable, "The ledger's file may not be used by this user"),
    sqlite3.SQLITE_ERROR: (LedgerUnavailable, "The ledger's tables are not as expected"),
}

#: The first two characters of PostgreSQL's codes, and whole codes, likewise.
_POSTGRESQL = {
    "55P03": (LedgerLocked, "Another process has held a lock of the ledger for too long"),
    "40": (LedgerLocked, "Other processes kept changing the same attempts"),
    "42": (LedgerUnavailable, "The ledger's tables are not as expected"),
    "22": (LedgerInconsistent, "The ledger cannot store a value"),
    "23": (LedgerInconsistent, "The ledger refused a row"),
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of drivers into those of the ledger."""
    try:
        yield
    except Exception as exc:
        if not _is_foreign(exc):
            raise
        raise ledger_error(exc) from exc


def _is_foreign(error: Exception) -> bool:
    if isinstance(error, ResponsesError):
        return False
    # asyncpg's own errors come unwrapped while it connects.
    return isinstance(error, _FOREIGN) or hasattr(error, "sqlstate")


#: What a person can do about each kind.
_REPAIRS: dict[type[LedgerError], str] = {
    LedgerUnavailable: "Check its URL, its folder and its permissions.",
    LedgerLocked: "Find the process that holds its lock, or try again.",
    LedgerInconsistent: "Report it with the output of `prefect-responses audit`.",
}


def ledger_error(error: BaseException) -> LedgerError:
    """Say what an error of a driver means, and what to do."""
    cause = getattr(error, "orig", None) or error
    kind, sentence = _meaning(error, cause)
    return kind(f"{sentence}: {str(cause) or type(cause).__name__}. {_REPAIRS[kind]}")


def _meaning(error: BaseException, cause: BaseException) -> tuple[type[LedgerError], str]:
    code = getattr(cause, "sqlite_errorcode", None)
    state = getattr(cause, "sqlstate", None)
    if isinstance(cause, sqlite3.IntegrityError):
        return LedgerInconsistent, "The ledger refused a row"
    if code is not None:
        return _SQLITE.get(code & 0xFF, (LedgerUnavailable, "The ledger cannot be read or written"))
    if state is not None:
        unreachable = (LedgerUnavailable, "The ledger's server does not serve")
        return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2], unreachable)
    lost = getattr(error, "connection_invalidated", False)
    if lost or isinstance(cause, SQLAlchemyError | OSError):
        return LedgerUnavailable, "The ledger cannot be reached"
    return LedgerInconsistent, "The ledger cannot store a value"


def is_conflict(error: BaseException) -> bool:
    """Tell whether a group failed only because another process was quicker with the same rows."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state in {"23505", "40001", "40P01"}


#: PostgreSQL's codes, or what they begin with, of connections that broke and of servers that stop
#: or start: 08 connection, 57P shut down, 25P03 idle for too long.
_AWAY = ("08", "57P", "25P03")


def is_outage(error: BaseException) -> bool:
    """Tell whether a group failed only because its server went away, and may be back soon."""
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or ""
    lost = getattr(error, "connection_invalidated", False) or isinstance(cause, OSError)
    return lost or state.startswith(_AWAY)
