from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from prefect_sqlalchemy import SqlAlchemyConnector
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from prefect_responses.enrichment.rows import RowOutcome, RowResult, row_key
from prefect_responses.enrichment.sinks import ColumnKind, ResultColumns, open_sink, written
from prefect_responses.enrichment.sql import result_table
from prefect_responses.enrichment.sql.result_table import ResultTable
from prefect_responses.enrichment.sql.sink import SqlSink
from prefect_responses.errors import TableInvalid
from prefect_responses.job_errors import TableUnavailable

if TYPE_CHECKING:
    from conftest import Store

COLUMNS = ResultColumns(
    ("id",),
    ("label", "count", "share", "is_new", "tags"),
    (
        *(ColumnKind.TEXT, ColumnKind.INTEGER, ColumnKind.NUMBER, ColumnKind.BOOLEAN),
        ColumnKind.JSON,
    ),
)


def ok(key: str, **parsed: Any) -> RowResult:
    return RowResult(key, RowOutcome.OK, parsed, f"resp_{key}", 10, 2, cost=1_234_500_001)


def write(store: Store, *rows: RowResult, columns: ResultColumns = COLUMNS) -> None:
    with written(SqlSink(store.url, store.results), columns) as sink:
        for row in rows:
            sink.write(row)


def test_a_row_has_key_answer_and_record(store: Store) -> None:
    write(
        store,
        ok("1", label="ü", count=3, share=1, is_new=True, tags=["x", {"a": None}]),
        RowResult("2", RowOutcome.REFUSAL, error="I cannot."),
    )
    first, second = store.all()

    assert first.pop("is_new") in (True, 1)
    assert float(first.pop("cost_usd")) == 1.234500001
    assert first == {
        "id": "1",
        "label": "ü",
        "count": 3,
        "share": 1.0,
        "tags": '["x",{"a":null}]',
        "status": "ok",
        "response_id": "resp_1",
        "input_tokens": 10,
        "output_tokens": 2,
        "error": "",
    }
    nulls = ("label", "count", "share", "is_new", "tags", "response_id", "cost_usd")
    assert [second[name] for name in nulls] == [None] * 7
    assert (second["status"], second["error"]) == ("refusal", "I cannot.")


def test_a_second_run_with_the_same_answers_changes_nothing(store: Store) -> None:
    rows = [ok(str(n), label="a", count=n, share=0.1, tags=None) for n in range(1200)]
    write(store, *rows)
    before = versions(store)
    write(store, *rows)
    assert versions(store) == before
    assert len(before) == 1200


def versions(store: Store) -> list[dict[str, Any]]:
    if store.is_sqlite:
        return store.all()
    return store.do(f"SELECT *, xmin::text, ctid::text FROM {store.results} ORDER BY id")


def test_a_row_that_changed_is_updated_and_others_stay(store: Store) -> None:
    write(store, ok("1", label="old"), ok("2", label="stays"), ok("3", label="x"))
    write(store, ok("1", label="new"), RowResult("3", RowOutcome.FAILED, error="e"))
    assert [(row["label"], row["status"]) for row in store.all()] == [
        ("new", "ok"),
        ("stays", "ok"),
        (None, "failed"),
    ]


def test_the_other_way_for_databases_without_an_upsert(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(result_table, "_UPSERTS", {})
    write(store, ok("1", label="old"), ok("2", label="stays"))
    write(store, ok("1", label="new"))
    write(store, ok("1", label="new"))
    assert [row["label"] for row in store.all()] == ["new", "stays"]


def test_several_key_columns_and_odd_names(store: Store) -> None:
    columns = ResultColumns(("a b", "Straße"), ("x:y", "%s", "select"))
    row = ok(row_key(["1", "2"]), **{"x:y": 1, "%s": "p", "select": None})
    write(store, row, columns=columns)
    write(store, row, columns=columns)

    (found,) = store.all()

    names = ("a b", "Straße", "x:y", "%s", "select")
    assert [found[name] for name in names] == ["1", "2", "1", '"p"', None]


def test_what_no_column_can_hold_is_said_and_the_row_is_written(store: Store) -> None:
    row = ok("1", label="a\0b\ud800", count=10**30, share=10**400, is_new="yes", tags=10**30)
    write(store, row)

    (found,) = store.all()

    assert (found["label"], found["tags"]) == ("a\\x00b\\ud800", "1" + "0" * 30)
    assert (found["count"], found["share"], found["is_new"]) == (None, None, None)
    assert found["status"] == "ok"
    assert "The value of count does not fit its column." in found["error"]


def test_a_table_that_is_there_needs_the_columns_and_a_unique_key(store: Store) -> None:
    store.do(f"CREATE TABLE {store.results} (id TEXT, label TEXT)")
    with pytest.raises(TableInvalid, match="has no column 'count', 'share', 'is_new', 'tags'"):
        write(store)
    columns = ResultColumns(("id",), ())
    rest = "status TEXT, response_id TEXT, input_tokens BIGINT, output_tokens BIGINT, error TEXT"
    store.do(
        f"DROP TABLE {store.results}",
        f"CREATE TABLE {store.results} (id TEXT, mine TEXT, cost_usd DOUBLE PRECISION, {rest})",
    )
    with pytest.raises(TableInvalid, match="without a primary key or unique constraint on 'id'"):
        write(store, columns=columns)

    store.do(f"CREATE UNIQUE INDEX u_{store.results} ON {store.results} (id)")
    write(store, ok("1"), columns=columns)
    write(store, ok("1"), columns=columns)

    assert [(row["id"], row["mine"]) for row in store.all()] == [("1", None)]


def test_the_table_is_named_in_the_url(store: Store) -> None:
    sink = open_sink(store.with_table(store.results))
    with written(sink, COLUMNS) as out:
        out.write(ok("1"))
    assert len(store.all()) == 1


def test_prefects_connector_is_taken(store: Store) -> None:
    if not store.url.startswith("sqlite:"):
        pytest.skip("one driver is enough")
    connector = SqlAlchemyConnector(connection_info=store.url)
    with written(SqlSink(connector, store.results), COLUMNS) as sink:
        sink.write(ok("1"))
    connector.get_engine().dispose()
    assert len(store.all()) == 1


def test_rows_that_were_not_committed_are_dropped(store: Store) -> None:
    sink = SqlSink(store.url, store.results)
    sink.open(COLUMNS)
    for n in range(700):
        sink.write(ok(str(n)))
    sink.abort()
    sink.abort()
    assert len(store.all()) == 500


def test_a_sink_is_used_in_order(store: Store) -> None:
    sink = SqlSink(store.url, store.results)
    for verb in (lambda: sink.write(ok("1")), sink.commit):
        with pytest.raises(RuntimeError, match="not open"):
            verb()
    sink.open(COLUMNS)
    with pytest.raises(RuntimeError, match="open already"):
        sink.open(COLUMNS)
    sink.commit()


def test_a_database_that_does_not_take_a_batch(store: Store) -> None:
    sink = SqlSink(store.url, store.results)
    sink.open(COLUMNS)
    sink.write(ok("1", label="secret"))
    store.do(f"DROP TABLE {store.results}")
    with pytest.raises(TableUnavailable, match=store.results) as caught:
        sink.commit()
    assert "secret" not in str(caught.value)
    with pytest.raises(RuntimeError, match="not open"):
        sink.commit()


KILLED = """
    import os, signal, sys
    from prefect_responses.enrichment.rows import RowOutcome, RowResult
    from prefect_responses.enrichment.sinks import ResultColumns
    from prefect_responses.enrichment.sql.sink import SqlSink

    sink = SqlSink(*sys.argv[1:])
    sink.open(ResultColumns(("id",), ("label",)))
    for n in range(1300):
        sink.write(RowResult(f"{n:04}", RowOutcome.OK, {"label": "new"}, error="e"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_whole_rows_and_the_next_run_ends_the_table(store: Store) -> None:
    columns = ResultColumns(("id",), ("label",))
    old = [RowResult(f"{n:04}", RowOutcome.OK, {"label": "old"}, error="") for n in range(1300)]
    write(store, *old, columns=columns)

    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), store.url, store.results], check=False
    )

    assert killed.returncode == -signal.SIGKILL
    states = [(row["label"], row["error"]) for row in store.all()]
    assert states == [('"new"', "e")] * 1000 + [('"old"', "")] * 300
    new = [RowResult(f"{n:04}", RowOutcome.OK, {"label": "new"}, error="e") for n in range(1300)]
    write(store, *new, columns=columns)
    assert {(row["label"], row["error"]) for row in store.all()} == {('"new"', "e")}


@pytest.mark.parametrize("dialect", [mysql.dialect(), postgresql.dialect()])
def test_what_other_databases_are_told(dialect) -> None:
    table = ResultTable("data.results", COLUMNS)
    statements = [str(one.compile(dialect=dialect)) for one in table._statements(dialect.name)]
    begins = ["DELETE FROM", "INSERT INTO"] if dialect.name == "mysql" else ["INSERT INTO"]
    assert [" ".join(statement.split()[:2]) for statement in statements] == begins
    assert all("data.results" in statement for statement in statements)


def test_keys_of_other_databases_are_compared_exactly() -> None:
    made = str(CreateTable(ResultTable("t", COLUMNS)._table).compile(dialect=mysql.dialect()))
    assert "id VARCHAR(255) COLLATE utf8mb4_0900_bin NOT NULL" in made
