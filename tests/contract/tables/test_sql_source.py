from __future__ import annotations

import asyncio
import os
import traceback
from typing import TYPE_CHECKING

import pytest
from prefect_sqlalchemy import SqlAlchemyConnector
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from prefect_responses.enrichment.sources import check_table, keyed_rows, open_source
from prefect_responses.enrichment.sql.source import SqlSource
from prefect_responses.errors import ColumnMissing, RowKeyDuplicate, TableEmpty, TableInvalid
from prefect_responses.job_errors import TableUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Store


@pytest.fixture
def filled(store: Store) -> Store:
    """Three rows, not in the order of their keys."""
    store.do(
        f"CREATE TABLE {store.rows} (id INTEGER, lang TEXT, name TEXT, price NUMERIC(9, 2))",
        f"INSERT INTO {store.rows} VALUES (2, 'en', 'Zoë 漢', 1.5), (10, 'de', NULL, 2.25), "
        "(1, 'en', 'a:b', NULL)",
    )
    return store


def test_rows_come_in_the_order_of_the_key_again_and_again(filled: Store) -> None:
    source = SqlSource(filled.url, f"SELECT * FROM {filled.rows};", key="id")
    expected = [("1", "a:b", ""), ("2", "Zoë 漢", "1.5"), ("10", "", "2.25")]
    if not filled.is_sqlite:
        expected[1] = ("2", "Zoë 漢", "1.50")

    assert source.columns == ("id", "lang", "name", "price")
    for _ in range(2):
        rows = [record.values for record in source]
        assert [(row["id"], row["name"], row["price"]) for row in rows] == expected


def test_all_readings_are_of_one_moment(filled: Store) -> None:
    source = SqlSource(filled.url, f"SELECT id FROM {filled.rows}", key="id")
    assert check_table(source, "id", []).rows == 3
    filled.do(f"INSERT INTO {filled.rows} VALUES (3, 'x', 'x', 1)")

    assert [row.key for row in keyed_rows(source, "id")] == ["1", "2", "10"]
    again = SqlSource(filled.url, f"SELECT id FROM {filled.rows}", key="id")
    assert [row.key for row in keyed_rows(again, "id")] == ["1", "2", "3", "10"]


def test_several_key_columns_and_parameters(filled: Store) -> None:
    source = SqlSource(
        filled.url,
        f"WITH chosen AS (SELECT * FROM {filled.rows} WHERE lang = :lang) "
        "SELECT lang, id, '12:30' AS \"at\" FROM chosen -- as of today",
        key=("lang", "id"),
        parameters={"lang": "en"},
    )
    assert [row.key for row in keyed_rows(source, ("lang", "id"))] == ['["en","1"]', '["en","2"]']


def test_a_table_is_named_in_the_url(filled: Store) -> None:
    source = open_source(filled.with_table(filled.rows), "id")
    assert check_table(source, "id", ["name"]).rows == 3


def test_more_rows_than_are_fetched_at_a_time(store: Store) -> None:
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2500)"
    source = SqlSource(store.url, f"{numbers} SELECT x FROM n", key="x")
    assert [record.values["x"] for record in source] == [str(n) for n in range(1, 2501)]


async def test_it_is_read_beside_a_running_loop(filled: Store) -> None:
    source = SqlSource(filled.url, f"SELECT id FROM {filled.rows}", key="id")
    assert len(list(source)) == 3
    assert len(await asyncio.to_thread(list, source)) == 3


def test_prefects_connector_and_engines_are_taken(filled: Store) -> None:
    query = f"SELECT id FROM {filled.rows}"
    if filled.url.startswith("sqlite:"):
        connector = SqlAlchemyConnector(connection_info=filled.url)
        engine = create_engine(filled.url)
        targets = (connector, engine)
    else:
        engine = create_async_engine(filled.url.replace("postgresql:", "postgresql+asyncpg:"))
        targets = (engine,)
    for target in targets:
        assert len(list(SqlSource(target, query, key="id"))) == 3
    if filled.url.startswith("sqlite:"):
        connector.get_engine().dispose()
        engine.dispose()


async def test_the_pool_of_an_asynchronous_engine_is_left_to_its_owner(filled: Store) -> None:
    if filled.url.startswith("sqlite:"):
        pytest.skip("it has no asynchronous engine")
    engine = create_async_engine(filled.url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as mine:
        source = SqlSource(engine, f"SELECT id FROM {filled.rows}", key="id")
        assert len(list(source)) == 3
        await mine.exec_driver_sql("SELECT 1")
    async with engine.connect() as mine:
        await mine.exec_driver_sql("SELECT 1")
    await engine.dispose()


# --- what is refused ---


def test_what_is_no_database() -> None:
    with pytest.raises(TableInvalid, match="A int is no database"):
        SqlSource(3, "SELECT 1", key="id")


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("SELECT 1 AS id, 2 AS id", TableInvalid, "The query has more than one column 'id'"),
        ("SELECT 1 AS ids", ColumnMissing, r"no column 'id'\. Did you mean 'ids'"),
        ("SELEC 1", TableInvalid, "syntax error"),
        ("SELECT id FROM nosuchtable", TableInvalid, "nosuchtable"),
        ("CREATE TEMPORARY TABLE t (id INTEGER)", TableInvalid, "gives no rows"),
    ],
)
def test_a_query_that_gives_no_table(store: Store, query, error, message: str) -> None:
    with pytest.raises(error, match=message):
        _ = SqlSource(store.url, query, key="id").columns


def test_the_check_of_a_table_is_the_same_for_all(filled: Store) -> None:
    empty = SqlSource(filled.url, f"SELECT * FROM {filled.rows} WHERE id > 99", key="id")
    with pytest.raises(TableEmpty):
        check_table(empty, "id", [])
    twice = SqlSource(filled.url, f"SELECT * FROM {filled.rows}", key="lang")
    with pytest.raises(RowKeyDuplicate, match="share the key 'en'"):
        check_table(twice, "lang", [])
    with pytest.raises(ColumnMissing, match=r"'naem'\. Did you mean 'name'"):
        check_table(twice, "lang", ["naem"])
    nameless = SqlSource(filled.url, f"SELECT * FROM {filled.rows}", key="name")
    with pytest.raises(TableInvalid, match="The key is empty"):
        check_table(nameless, "name", [])


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match=r"There is no file .*nowhere\.db"):
        _ = open_source(f"sqlite:///{tmp_path}/nowhere.db?table=t", "id").columns
    assert list(tmp_path.iterdir()) == []


def test_a_value_without_a_form_as_text_is_named(store: Store) -> None:
    if store.is_sqlite:
        pytest.skip("it has no such values")
    source = SqlSource(store.url, "SELECT 1 AS id, int4range(1, 2) AS span", key="id")
    with pytest.raises(TableInvalid, match="Row 1 of the query: A value of type Range"):
        list(source)


def test_no_error_shows_a_password() -> None:
    # The server names the user that it does not know, and here that is the password too.
    server = os.environ["PREFECT_RESPONSES_TEST_POSTGRES_URL"].partition("@")[2]
    for url in (
        f"postgresql://hunt%23er2:hunt%23er2@{server}",
        f"postgresql://hunt%23er2@{server}&password=hunt%23er2",
        "postgresql://nobody:hunt%23er2@127.0.0.1:1/d",
    ):
        with pytest.raises(TableUnavailable) as caught:
            _ = SqlSource(url, "SELECT 1 AS id", key="id").columns
        shown = "".join(traceback.format_exception(caught.value))
        assert "hunt" not in shown
