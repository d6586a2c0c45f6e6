"""Tables of results that were there before: what does not hold a job's rows is refused first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine

from prefect_responses.enrichment.rows import RowOutcome, RowResult, row_key
from prefect_responses.enrichment.sinks import ColumnKind, ResultColumns, check_sink, written
from prefect_responses.enrichment.sql.sink import SqlSink
from prefect_responses.errors import TableInvalid
from prefect_responses.job_errors import ResultRefused, TableUnavailable

if TYPE_CHECKING:
    from conftest import Store

COLUMNS = ResultColumns(("id",), ("label",), (ColumnKind.TEXT,))
RECORD = (
    "status TEXT, response_id TEXT, input_tokens INTEGER, output_tokens INTEGER, "
    "cost_usd NUMERIC, error TEXT"
)
FITS = f"id TEXT PRIMARY KEY, label TEXT, {RECORD}"

on_both = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("store", ["postgresql"], indirect=True)

#: Kinds of answers, and columns that hold them.
HELD = {
    ColumnKind.TEXT: ("TEXT", "VARCHAR"),
    ColumnKind.JSON: ("TEXT",),
    ColumnKind.INTEGER: ("BIGINT", "NUMERIC"),
    ColumnKind.NUMBER: ("DOUBLE PRECISION", "NUMERIC"),
    ColumnKind.BOOLEAN: ("BOOLEAN",),
}
#: Kinds of answers, and columns that would change or refuse some of them.
NOT_HELD = {
    ColumnKind.TEXT: ("INTEGER", "DATE", "NUMERIC"),
    ColumnKind.JSON: ("NUMERIC",),
    ColumnKind.INTEGER: ("TEXT", "REAL"),
    ColumnKind.NUMBER: ("TEXT",),
    ColumnKind.BOOLEAN: ("TEXT",),
}
#: SQLite knows no lengths, and its numbers have 64 bits whatever they are called.
TOO_NARROW_ON_POSTGRESQL = {
    ColumnKind.TEXT: ("VARCHAR(255)", "CHAR(20000)"),
    ColumnKind.JSON: ("JSONB",),
    ColumnKind.INTEGER: ("INTEGER",),
    ColumnKind.NUMBER: ("REAL", "NUMERIC(12, 2)", "BIGINT"),
    ColumnKind.BOOLEAN: ("INTEGER",),
}


def pairs(types: dict[ColumnKind, tuple[str, ...]]) -> list[Any]:
    return [(kind, name) for kind, names in types.items() for name in names]


def with_key(type_: str) -> str:
    return FITS.replace("id TEXT", f"id {type_}", 1)


def make(store: Store, columns: str, *statements: str) -> None:
    here = [statement.replace("{table}", store.results) for statement in statements]
    store.do(f"CREATE TABLE {store.results} ({columns})", *here)


def check(store: Store, columns: ResultColumns = COLUMNS) -> None:
    try:
        check_sink(SqlSink(store.url, store.results), columns)
    finally:
        assert store.all() == []


def check_answer(store: Store, kind: ColumnKind, type_: str) -> None:
    make(store, f"id TEXT PRIMARY KEY, label {type_}, {RECORD}")
    check(store, ResultColumns(("id",), ("label",), (kind,)))


def ok(key: str, label: str | None = "a") -> RowResult:
    return RowResult(key, RowOutcome.OK, {"label": label}, f"resp_{key}", 10, 2, cost=5)


def write(store: Store, *rows: RowResult, columns: ResultColumns = COLUMNS) -> None:
    with written(SqlSink(store.url, store.results), columns) as sink:
        for row in rows:
            sink.write(row)


# --- types ----------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize(("kind", "type_"), pairs(HELD))
def test_a_column_that_holds_the_answers(store: Store, kind: ColumnKind, type_: str) -> None:
    check_answer(store, kind, type_)


@on_both
@pytest.mark.parametrize(("kind", "type_"), pairs(NOT_HELD))
def test_a_column_that_changes_answers(store: Store, kind: ColumnKind, type_: str) -> None:
    with pytest.raises(TableInvalid, match=r"label|type"):
        check_answer(store, kind, type_)


@on_postgresql
@pytest.mark.parametrize(("kind", "type_"), pairs(TOO_NARROW_ON_POSTGRESQL))
def test_a_column_that_is_too_narrow(store: Store, kind: ColumnKind, type_: str) -> None:
    with pytest.raises(TableInvalid):
        check_answer(store, kind, type_)


@on_sqlite
def test_columns_without_a_type(store: Store) -> None:
    record = "status, response_id, input_tokens, output_tokens, cost_usd, error"
    make(store, f"id PRIMARY KEY, label, {record}")
    write(store, ok("7"), ok("007", "007"), ok("7.0"))
    assert [(row["id"], row["label"]) for row in store.all()] == [
        ("007", "007"),
        ("7", "a"),
        ("7.0", "a"),
    ]


@on_postgresql
def test_a_column_that_rounds_costs(store: Store) -> None:
    make(store, FITS.replace("cost_usd NUMERIC", "cost_usd NUMERIC(12, 2)"))
    with pytest.raises(TableInvalid, match=r"column 'cost_usd' makes .* of "):
        check(store)


# --- keys -----------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize("type_", ["INTEGER", "NUMERIC", "DATE", "INTEGER CHECK (id < 1000)"])
def test_a_key_that_is_no_text(store: Store, type_: str) -> None:
    make(store, with_key(type_))
    with pytest.raises(TableInvalid, match="column 'id' is no text"):
        check(store)


@on_sqlite
@pytest.mark.parametrize("type_", ["TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM"])
def test_a_key_that_makes_texts_equal(store: Store, type_: str) -> None:
    make(store, with_key(type_))
    with pytest.raises(TableInvalid, match="tell keys apart"):
        check(store)


@on_postgresql
def test_a_key_that_makes_texts_longer(store: Store) -> None:
    make(store, with_key("CHAR(300)"))
    with pytest.raises(TableInvalid, match="tell keys apart"):
        check(store)


@on_both
def test_one_column_of_a_key_that_makes_texts_equal(store: Store) -> None:
    columns = ResultColumns(("id", "part"), ())
    key = "id TEXT, part {}, {}, PRIMARY KEY (id, part)"
    make(store, key.format("TEXT", RECORD))
    check(store, columns)
    write(store, RowResult(row_key(["a", "b"]), RowOutcome.OK), columns=columns)
    if store.is_sqlite:
        store.do(f"DROP TABLE {store.results}")
        make(store, key.format("TEXT COLLATE NOCASE", RECORD))
        with pytest.raises(TableInvalid, match="tell keys apart"):
            check(store, columns)


# --- constraints ----------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize(
    "statements",
    [
        [
            f"id TEXT, label TEXT, {RECORD}",
            "CREATE UNIQUE INDEX ON {table} (id) WHERE label IS NULL",
        ],
        [f"{FITS}, owner TEXT NOT NULL"],
        [FITS.replace("label TEXT", "label TEXT NOT NULL")],
        [FITS.replace("cost_usd NUMERIC", "cost_usd NUMERIC NOT NULL")],
        [FITS.replace("label TEXT", "label TEXT UNIQUE")],
        [FITS, "CREATE UNIQUE INDEX ON {table} (label) WHERE label IS NOT NULL"],
        [FITS, "CREATE UNIQUE INDEX ON {table} (lower(id))"],
    ],
)
def test_a_constraint_that_refuses_rows(store: Store, statements: list[str]) -> None:
    named = [one.replace("INDEX ON", f"INDEX u_{store.results} ON") for one in statements]
    make(store, *named)
    with pytest.raises(TableInvalid, match=r"a row for trial|without a primary key"):
        check(store)


@on_postgresql
def test_a_constraint_that_is_checked_too_late(store: Store) -> None:
    make(store, f"id TEXT UNIQUE DEFERRABLE, label TEXT, {RECORD}")
    with pytest.raises(TableInvalid, match="deferrable"):
        check(store)


@on_both
def test_columns_and_keys_of_the_users_own(store: Store) -> None:
    serial = "INTEGER" if store.is_sqlite else "BIGINT GENERATED ALWAYS AS IDENTITY"
    own = "seen TEXT NOT NULL DEFAULT 'x', UNIQUE (id), UNIQUE (seen, id)"
    make(store, f"mine {serial} PRIMARY KEY, {FITS.replace(' PRIMARY KEY', '')}, {own}")
    check(store)
    write(store, ok("1"), ok("2"))
    assert [(row["id"], row["seen"]) for row in store.all()] == [("1", "x"), ("2", "x")]


@on_both
def test_a_rule_of_the_users_own_is_theirs_and_what_it_refuses_is_said(store: Store) -> None:
    rules = "CHECK (id LIKE 'P%'), CHECK (length(label) < 4)"
    make(store, f"{FITS}, {rules}")
    check(store)
    write(store, ok("P1"))
    with pytest.raises(ResultRefused, match="Answers are kept") as caught:
        write(store, ok("P2"), ok("P3", "secret"))
    assert not caught.value.retryable
    assert "secret" not in str(caught.value)
    assert [row["id"] for row in store.all()] == ["P1"]


@on_both
def test_a_rule_hides_no_type_that_does_not_fit(store: Store) -> None:
    type_ = "TEXT COLLATE NOCASE" if store.is_sqlite else "VARCHAR(9)"
    make(store, f"{with_key(type_)}, CHECK (label IN ('a', 'b'))")
    with pytest.raises(TableInvalid, match=r"tell keys apart|too long"):
        check(store)


@on_postgresql
def test_a_row_of_another_table_that_a_key_has_to_name(store: Store) -> None:
    store.do(
        f"CREATE TABLE {store.rows} (id TEXT PRIMARY KEY)", f"INSERT INTO {store.rows} VALUES ('1')"
    )
    make(store, with_key(f"TEXT REFERENCES {store.rows}"))
    check(store)
    write(store, ok("1"))
    store.do(f"DROP TABLE {store.results}")
    make(
        store,
        with_key(f"TEXT REFERENCES {store.rows}").replace("label TEXT", "label VARCHAR(5)"),
    )
    with pytest.raises(TableInvalid, match="too long"):
        check(store)


# --- the trial itself -----------------------------------------------------------------------------


@on_sqlite
def test_a_database_that_cannot_roll_back(store: Store) -> None:
    make(store, FITS)
    engine = create_engine(store.url, isolation_level="AUTOCOMMIT")
    with pytest.raises(TableInvalid, match="AUTOCOMMIT"):
        check_sink(SqlSink(engine, store.results), COLUMNS)
    engine.dispose()
    assert store.all() == []


@on_sqlite
def test_a_lock_of_another_is_no_fault_of_the_table(store: Store) -> None:
    make(store, FITS)
    engine = create_engine(store.url, connect_args={"timeout": 0})
    with engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(TableUnavailable, match="locked"):
            check_sink(SqlSink(engine, store.results), COLUMNS)
    engine.dispose()
