"""The databases of users: how they are reached, by any driver, and what their errors become.

SQLAlchemy's synchronous face is used for all of them. Over an asynchronous driver it runs on an
event loop of its own, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from prefect_responses.errors import ResponsesError, TableInvalid
from prefect_responses.job_errors import ResultRefused, TableUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from sqlalchemy.engine import Connection

T = TypeVar("T")

#: Seconds that a connection to SQLite waits for a lock of another.
_PATIENCE = 30
#: What needs no package that is not there anyway, where the URL names no driver.
_DRIVERS = {"postgresql": "postgresql+asyncpg"}
#: What drivers raise beside SQLAlchemy's own: no route to the server, an option that is unknown.
_FOREIGN = (SQLAlchemyError, OSError, ValueError, TypeError, ArithmeticError, ImportError)
#: SQLite's result codes of a statement that it cannot read, and of a file that it cannot open.
_SQLITE_INVALID = (1, 14)
#: SQLSTATE classes of values that a column or constraint does not take (a view's, a trigger's too).
_REFUSED = ("22", "23", "44", "P0")
#: SQLSTATE classes of statements that never work: wrong, unknown, or not for such a constraint.
_NEVER = ("0A", "21", "42", "55000")
#: What rules of users refuse by its value: foreign keys, CHECKs, views with one, and triggers.
_RULES = ("23503", "23514", "44000", "P0001")
_SQLITE_RULES = (275, 787, 1811)


class Database:
    """A database of the user.

    Args:
        target: an SQLAlchemy URL, an engine of either kind, or what gives one by `get_engine()`,
            such as Prefect's `SqlAlchemyConnector`. `postgresql://` without a driver uses asyncpg.

    Raises:
        TableInvalid: it is none of these, or the URL cannot be read.
    """

    def __init__(self, target: Any) -> None:
        self._engine, self._url = _target(target)

    @property
    def place(self) -> str:
        """Return the URL without its user, its password and its options."""
        url = self._url
        at = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
        return f"{url.get_backend_name()}://{at}/{url.database or ''}"

    def check_file(self) -> None:
        """Refuse a SQLite file that is not there: connecting would make it.

        Raises:
            TableInvalid: there is no such file.
        """
        name = self._url.database if self._url.get_backend_name() == "sqlite" else None
        if name and not name.startswith((":", "file:")) and not Path(name).is_file():
            raise TableInvalid(f"There is no file {name}.")

    @contextmanager
    def connected(self) -> Iterator[Session]:
        """Connect for as long as the block lasts; what is not committed is rolled back.

        Raises:
            TableInvalid: a statement in the block is wrong, or a SQLite file cannot be opened.
            TableUnavailable: the database cannot be reached, or a statement failed otherwise.
        """
        with self.translated(refuses=True), ExitStack() as stack:
            yield self._session(self._engine or _new_engine(self._url), stack)

    def _session(self, engine: Engine | AsyncEngine, stack: ExitStack) -> Session:
        if isinstance(engine, Engine):
            if engine is not self._engine:
                stack.callback(engine.dispose)
            return Session(stack.enter_context(engine.connect()))
        loop = stack.enter_context(_LoopThread())
        mine = _own_pool(engine)
        stack.callback(lambda: loop.run(mine.dispose()))
        connection = loop.run(mine.connect().start())
        stack.callback(lambda: loop.run(connection.close()))
        return Session(connection.sync_connection, lambda do: loop.run(connection.run_sync(do)))

    @contextmanager
    def translated(self, *, refuses: bool = False, hint: str = "") -> Iterator[None]:
        """Turn the errors of drivers into ours, without secrets and values.

        Args:
            refuses: whether nothing was sent yet, so that what another try cannot mend is
                `TableInvalid`. Later, a row that the table refuses is `ResultRefused`. All else is
                `TableUnavailable`.
            hint: what a `TableInvalid` says at its end.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, ResponsesError) or not _is_foreign(error):
                raise
            # Not `from error`: it may show the URL or the values of a row.
            sentence = f"{self.place}: {self._sentence(error)}"
            if refuses and _is_invalid(error):
                raise TableInvalid(f"{sentence} {hint}".rstrip()) from None
            if _is_refusal(error):
                raise ResultRefused(
                    f"{sentence} Answers are kept: change the table and run the job again."
                ) from None
            raise TableUnavailable(sentence) from None

    def _sentence(self, error: BaseException) -> str:
        cause = getattr(error, "orig", None) or error
        text = next(iter(str(cause).strip().splitlines()), "") or type(cause).__name__
        for secret in _secrets(self._url):
            text = text.replace(secret, "***")
        return text if text.endswith(".") else f"{text}."


class Session:
    """One connection, used by one thread at a time.

    Args:
        connection: the connection.
        run: runs a function of the connection where that has to be; here if None.
    """

    def __init__(
        self,
        connection: Connection | None,
        run: Callable[[Callable[[Any], Any]], Any] | None = None,
    ) -> None:
        self._connection = connection
        self._run = run

    def run(self, do: Callable[[Connection], T]) -> T:
        """Call *do* with the connection and return its result."""
        if self._run is not None:
            return cast("T", self._run(do))
        assert self._connection is not None  # noqa: S101 - for the type checker
        return do(self._connection)


class _LoopThread:
    """An event loop in a thread of its own, for as long as the block lasts."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="prefect-responses-tables", daemon=True
        )
        self._thread.start()
        return self

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _target(target: Any) -> tuple[Engine | AsyncEngine | None, URL]:
    if isinstance(target, str | URL):
        return None, read_url(target)
    engine = target.get_engine() if hasattr(target, "get_engine") else target
    if not isinstance(engine, Engine | AsyncEngine):
        raise TableInvalid(
            f"A {type(target).__name__} is no database: give an SQLAlchemy URL, an engine or a "
            "SqlAlchemyConnector."
        )
    return engine, engine.url


def read_url(url: str | URL) -> URL:
    """Read an SQLAlchemy URL and put in the driver that is used for it.

    Raises:
        TableInvalid: it is no such URL, or there is no dialect for it.
    """
    with suppress(SQLAlchemyError, ValueError, ImportError):
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        parsed.get_dialect()
        return parsed
    # Neither the URL nor SQLAlchemy's own words: they may show a password.
    raise TableInvalid(
        "The database URL cannot be read, or no driver for it is installed: give an SQLAlchemy URL "
        "such as postgresql://user@host/database or sqlite:///file.db."
    )


def without_table(url: str) -> tuple[URL, str]:
    """Read a URL with `?table=NAME`; return the URL without that, and the name.

    Raises:
        TableInvalid: the URL cannot be read, or names no table.
    """
    parsed = read_url(url)
    table = parsed.query.get("table")
    if not isinstance(table, str) or not table:
        raise TableInvalid(f"Name one table in the URL: {parsed.get_backend_name()}://…?table=NAME")
    return parsed.difference_update_query(["table"]), table


def _new_engine(url: URL) -> Engine | AsyncEngine:
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        # A generator may be read by one thread after the other.
        options["connect_args"] = {"timeout": _PATIENCE, "check_same_thread": False}
    if url.get_dialect().is_async:
        return create_async_engine(url, **options)
    return create_engine(url, **options)


def _own_pool(engine: AsyncEngine) -> AsyncEngine:
    # Connections of an asynchronous pool belong to the loop that made them, so the user's pool is
    # left to the user.
    sync = engine.sync_engine
    return AsyncEngine(Engine(sync.pool.recreate(), sync.dialect, sync.url, hide_parameters=True))


def _is_foreign(error: Exception) -> bool:
    # asyncpg's own errors come unwrapped while it connects.
    return isinstance(error, _FOREIGN) or hasattr(error, "sqlstate")


def _is_invalid(error: Exception) -> bool:
    state, code = _codes(error)
    never = state.startswith(_NEVER) or code in _SQLITE_INVALID
    return never or isinstance(error, ProgrammingError) or _is_refusal(error)


def _is_refusal(error: Exception) -> bool:
    state, _ = _codes(error)
    return isinstance(error, IntegrityError | DataError) or state.startswith(_REFUSED)


def breaks_a_rule(error: SQLAlchemyError) -> bool:
    """Say whether a row was refused for its values, by a rule that other values may obey."""
    state, code = _codes(error)
    return state in _RULES or code in _SQLITE_RULES


def _codes(error: Exception) -> tuple[str, int | None]:
    """Return the SQLSTATE, and SQLite's own code, as far as the driver says them."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) or "", getattr(cause, "sqlite_errorcode", None)


def _secrets(url: URL) -> Iterator[str]:
    if url.password:
        yield str(url.password)
        yield url.render_as_string(hide_password=False).partition("@")[0].rpartition(":")[2]
    for name, value in url.query.items():
        if "pass" in name.lower() and isinstance(value, str):
            yield value
