"""What every kind of table has in common, whoever holds it."""

from __future__ import annotations

import csv
import gc
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import narwhals
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_responses.enrichment.sources import Source, check_table, keyed_rows, open_source
from prefect_responses.errors import ColumnMissing, RowKeyDuplicate, TableEmpty, TableInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

Rows = list[dict[str, Any]]


def to_csv(rows: Rows, folder: Path) -> Path:
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "t.csv"


def to_jsonl(rows: Rows, folder: Path) -> Path:
    path = folder / "t.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def to_parquet(rows: Rows, folder: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    return folder / "t.parquet"


def to_generator(rows: Rows, _: Path) -> Iterator[dict[str, Any]]:
    return (row for row in rows)


async def to_async_generator(rows: Rows, _: Path) -> AsyncIterator[dict[str, Any]]:
    for row in rows:
        yield row


KINDS: dict[str, Callable[[Rows, Path], Any]] = {
    "csv": to_csv,
    "jsonl": to_jsonl,
    "parquet": to_parquet,
    "pandas": lambda rows, _: pd.DataFrame(rows),
    "polars": lambda rows, _: pl.DataFrame(rows),
    "arrow": lambda rows, _: pa.Table.from_pylist(rows),
    "narwhals": lambda rows, _: narwhals.from_native(pl.DataFrame(rows)),
    "list": lambda rows, _: rows,
    "generator": to_generator,
    "async_generator": to_async_generator,
}


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Rows], Source]:
    return lambda rows: open_source(KINDS[request.param](rows, tmp_path), "id")


def test_rows_are_read_again_and_again_in_one_order(table) -> None:
    source = table([{"id": f"k{n % 7}-{n}", "text": "ü\n漢"} for n in range(2500)])

    first = [(record.values["id"], record.values["text"]) for record in source]

    assert source.columns == ("id", "text")
    assert first == [(f"k{n % 7}-{n}", "ü\n漢") for n in range(2500)]
    assert [(record.values["id"], record.values["text"]) for record in source] == first


def test_two_readings_at_a_time_do_not_meet(table) -> None:
    source = table([{"id": str(n)} for n in range(5)])
    one, other = iter(source), iter(source)

    assert next(one).values["id"] == "0"
    assert [record.values["id"] for record in other] == list("01234")
    assert [record.values["id"] for record in one] == list("1234")


def test_whole_numbers_and_text_are_the_same_rows_everywhere(table) -> None:
    rows = list(keyed_rows(table([{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]), "id"))
    assert [(row.key, dict(row.values)) for row in rows] == [
        ("1", {"id": "1", "text": "a"}),
        ("2", {"id": "2", "text": "b"}),
    ]


def test_what_is_missing_is_empty(table) -> None:
    source = table([{"id": "1", "text": None}, {"id": "2", "text": "b"}])
    assert [record.values["text"] for record in source] == ["", "b"]


def test_a_missing_column_is_named(table) -> None:
    with pytest.raises(ColumnMissing, match=r"no column 'txet'\. Did you mean 'text'"):
        check_table(table([{"id": "1", "text": "a"}]), "id", ["txet"])


def test_a_repeated_key_is_refused(table) -> None:
    with pytest.raises(RowKeyDuplicate, match="share the key '1'"):
        check_table(table([{"id": "1"}, {"id": "2"}, {"id": "1"}]), "id", [])


def test_a_blank_key_is_refused(table) -> None:
    with pytest.raises(TableInvalid, match="The key is empty"):
        check_table(table([{"id": "1", "a": ""}, {"id": "", "a": ""}]), "id", [])


def to_empty_parquet(folder: Path) -> Path:
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), folder / "t.parquet")
    return folder / "t.parquet"


def touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    "empty",
    [
        lambda _: [],
        lambda _: iter(()),
        lambda _: pd.DataFrame({"id": []}),
        lambda _: pl.DataFrame({"id": []}),
        lambda _: pa.table({"id": pa.array([], pa.string())}),
        to_empty_parquet,
        lambda folder: touched(folder / "t.csv"),
        lambda folder: touched(folder / "t.jsonl"),
    ],
)
def test_an_empty_table_is_refused(empty, tmp_path: Path) -> None:
    with pytest.raises(TableEmpty):
        check_table(open_source(empty(tmp_path), "id"), "id", [])


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame([[1, 2]], columns=["id", "id"]),
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"]),
    ],
    ids=["pandas", "arrow"],
)
def test_a_column_of_a_frame_that_is_named_twice(rows, tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match="more than one column 'id'"):
        open_source(rows, "id")
    if isinstance(rows, pa.Table):
        pq.write_table(rows, tmp_path / "t.parquet")
        with pytest.raises(TableInvalid, match="more than one column 'id'"):
            _ = open_source(tmp_path / "t.parquet", "id").columns


def test_a_frame_column_that_is_no_text() -> None:
    with pytest.raises(TableInvalid, match="a column 0, which is no text"):
        open_source(pd.DataFrame([[1]]), "id")


def test_a_lazy_frame_is_collected_by_its_owner() -> None:
    with pytest.raises(TableInvalid, match=r"polars\.LazyFrame.*collected first"):
        open_source(pl.LazyFrame({"id": [1]}), "id")


def test_a_broken_value_of_a_frame_is_named_with_its_row() -> None:
    with pytest.raises(TableInvalid, match="Row 2: A value of type object"):
        list(open_source(pd.DataFrame({"id": [1, object()]}), "id"))


# --- mappings ---


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1, "b": 2}, {"a": 1}], "Row 2 lacks 'b'; the first row has 'a', 'b'"),
        ([{"a": 1}, {"a": 1, "c": 3}], "Row 2 has also 'c'"),
        ([{"a": 1}, "x"], "Row 2 is no mapping but str"),
        (["x"], "Row 1 is no mapping"),
        ([{1: "a"}], "a column is named 1|A column is named 1"),
        ([{"a": object()}], "Row 1: A value of type object"),
    ],
)
@pytest.mark.parametrize("kind", [list, iter])
def test_a_broken_row_is_named(kind, rows, message: str) -> None:
    with pytest.raises(TableInvalid, match=message):
        list(open_source(kind(rows), "a"))


def test_what_went_wrong_in_a_generator_is_told_at_every_reading() -> None:
    def rows() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        raise ConnectionError("gone")

    source = open_source(rows(), "id")
    for _ in range(2):
        with pytest.raises(ConnectionError, match="gone"):
            list(source)


def open_files(folder: Path) -> list[str]:
    """Return what this process has open in *folder*, which no other test uses."""
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, some gone by now
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115 - no path
    return [name for name in found if name.startswith(str(folder))]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")  # noqa: PTH112
def test_the_temporary_file_has_no_name_and_goes_with_its_source(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = open_source(iter([{"id": "\ud800"}, {"id": "b"}]), "id")
    assert open_files(tmp_path) == []

    assert [record.values["id"] for record in source] == ["\ufffd", "b"]
    assert len(open_files(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []
    del source
    gc.collect()
    assert open_files(tmp_path) == []
