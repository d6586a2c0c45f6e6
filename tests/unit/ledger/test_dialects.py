from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError, NoResultFound, StatementError

from prefect_responses.errors import (
    LedgerInconsistent,
    LedgerLocked,
    LedgerUnavailable,
    RequestInvalid,
)
from prefect_responses.ledger.dialects import (
    POSTGRESQL,
    SQLITE,
    connect,
    dialect_of,
    is_conflict,
    ledger_error,
    parse_url,
    translated,
)


def wrapped(cause, *, lost=False):
    return DBAPIError("SELECT 1", {}, cause, connection_invalidated=lost)


def sqlite_error(code, kind=sqlite3.OperationalError):
    error = kind("details")
    error.sqlite_errorcode = code
    return wrapped(error)


class ServerError(Exception):
    """As asyncpg's errors are: with the server's code."""

    def __init__(self, sqlstate):
        super().__init__("details")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), LedgerLocked, "held the ledger's lock"),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), LedgerLocked, "held the ledger's lock"),
        (sqlite_error(sqlite3.SQLITE_LOCKED), LedgerLocked, "held the ledger's lock"),
        (sqlite_error(sqlite3.SQLITE_FULL), LedgerUnavailable, "full"),
        (sqlite_error(sqlite3.SQLITE_READONLY_DIRECTORY), LedgerUnavailable, "read-only"),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), LedgerUnavailable, "cannot be opened"),
        (sqlite_error(sqlite3.SQLITE_NOTADB), LedgerUnavailable, "not a SQLite database"),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), LedgerUnavailable, "damaged"),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), LedgerUnavailable, "does not answer"),
        (sqlite_error(sqlite3.SQLITE_PERM), LedgerUnavailable, "may not be used"),
        (sqlite_error(sqlite3.SQLITE_ERROR), LedgerUnavailable, "not as expected"),
        (sqlite_error(sqlite3.SQLITE_NOMEM), LedgerUnavailable, "cannot be read or written"),
        (
            sqlite_error(sqlite3.SQLITE_CONSTRAINT_CHECK, sqlite3.IntegrityError),
            LedgerInconsistent,
            "refused a row",
        ),
        (wrapped(sqlite3.ProgrammingError("details")), LedgerInconsistent, "cannot store"),
        (wrapped(ServerError("55P03")), LedgerLocked, "held a lock"),
        (wrapped(ServerError("40P01")), LedgerLocked, "kept changing"),
        (wrapped(ServerError("42P01")), LedgerUnavailable, "not as expected"),
        (wrapped(ServerError("22003")), LedgerInconsistent, "cannot store"),
        (wrapped(ServerError("23514")), LedgerInconsistent, "refused a row"),
        (wrapped(ServerError("57P01")), LedgerUnavailable, "does not serve"),
        (ServerError("3D000"), LedgerUnavailable, "does not serve"),
        (wrapped(Exception("details"), lost=True), LedgerUnavailable, "cannot be reached"),
        (ConnectionRefusedError("details"), LedgerUnavailable, "cannot be reached"),
        (TimeoutError(), LedgerUnavailable, "cannot be reached: TimeoutError"),
        (NoResultFound("details"), LedgerUnavailable, "cannot be reached"),
        (OverflowError("details"), LedgerInconsistent, "cannot store"),
        (
            StatementError("details", "SELECT 1", {}, TypeError("details")),
            LedgerInconsistent,
            "cannot store",
        ),
    ],
)
def test_each_error_of_a_driver_says_what_happened(error, kind, words):
    with pytest.raises(kind, match=words) as caught, translated():
        raise error

    assert type(caught.value) is kind
    assert caught.value.__cause__ is error
    assert "SELECT" not in str(ledger_error(error))


@pytest.mark.parametrize("error", [LedgerLocked(), RequestInvalid("ours"), KeyError("a mistake")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, translated():
        raise error

    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "conflict"),
    [
        (wrapped(ServerError("23505")), True),
        (wrapped(ServerError("40001")), True),
        (wrapped(ServerError("40P01")), True),
        (wrapped(ServerError("23514")), False),
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.IntegrityError), False),
        (KeyError("a mistake"), False),
    ],
)
def test_only_a_lost_race_is_worth_another_try(error, conflict):
    assert is_conflict(error) is conflict


@pytest.mark.parametrize(
    ("url", "driver", "dialect"),
    [
        ("sqlite:///ledger.db", "sqlite+aiosqlite", SQLITE),
        ("sqlite+aiosqlite:////var/ledger.db", "sqlite+aiosqlite", SQLITE),
        ("postgresql://me@host/db", "postgresql+asyncpg", POSTGRESQL),
        ("postgresql+psycopg://me@host/db", "postgresql+asyncpg", POSTGRESQL),
    ],
)
def test_a_url_gets_the_driver_that_is_used(url, driver, dialect):
    parsed = parse_url(url)

    assert parsed.drivername == driver
    assert dialect_of(parsed) is dialect


@pytest.mark.parametrize("url", ["", "ledger.db", "mysql://host/db", "sqlite://"])
def test_other_urls_are_refused_without_repeating_them(url):
    with pytest.raises(LedgerUnavailable):
        parse_url(url)


def test_a_password_in_a_url_that_cannot_be_read_is_not_repeated():
    with pytest.raises(LedgerUnavailable) as caught:
        parse_url("postgres//me:secret@host/db")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("url", ["sqlite:///ledger.db", "postgresql://me@host/db"])
def test_no_error_of_a_ledger_shows_what_was_written(url, pooled):
    engine = connect(parse_url(url), writes=True, pooled=pooled)

    assert engine.sync_engine.hide_parameters
