"""What is particular to tables in JSON lines and Parquet."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_responses.enrichment.sources import JsonlSource, MappingSource, ParquetSource
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def jsonl(tmp_path: Path):
    def write(text: str | bytes, **options: list[str]) -> JsonlSource:
        path = tmp_path / "t.jsonl"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return JsonlSource(path, **options)

    return write


def test_json_values_become_text_and_lines_are_counted(jsonl) -> None:
    source = jsonl(
        '\ufeff{"id": 12345678901234567890123, "a": null, "b": [1, {"c": true}]}\n'
        '\n  \n{"b": 1e3, "a": false, "id": "\\ud800"}\r\n'
    )
    assert [(record.line, dict(record.values)) for record in source] == [
        (1, {"id": "12345678901234567890123", "a": "", "b": '[1,{"c":true}]'}),
        (4, {"id": "\ufffd", "a": "false", "b": "1000.0"}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 1}\n{"id": 2', r"Line 2 of .*t\.jsonl is no JSON"),
        ('{"id": 1}\n[1]\n', "Line 2 .* is JSON, but no object"),
        ('{"id": 1}\n{"id": NaN}\n', "Line 2 .*NaN is no JSON number"),
        ('{"id": 1, "id": 2}\n', "Line 1 .*more than one 'id'"),
        ('{"id": 1}\n\n{"ID": 2}\n', "t.jsonl: Row 3 lacks 'id'"),
        (b'{"id": "\xff"}\n', "Line 1 .* is no JSON"),
    ],
)
def test_a_broken_line_is_named(jsonl, text: str | bytes, message: str) -> None:
    with pytest.raises(TableInvalid, match=message):
        list(jsonl(text))


def test_chosen_columns_may_be_missing_and_leave_out_others(jsonl) -> None:
    source = jsonl('{"id": 1, "x": 1}\n{"id": 2, "note": "n"}\n', columns=["id", "note"])
    assert source.columns == ("id", "note")
    assert [list(record.values.values()) for record in source] == [["1", ""], ["2", "n"]]
    rows = MappingSource([{"id": 1, "x": 1}], columns=["id", "note"])
    assert [dict(record.values) for record in rows] == [{"id": "1", "note": ""}]


@pytest.mark.parametrize("source", [JsonlSource, ParquetSource])
def test_a_file_that_cannot_be_read(source, tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match=r"There is no file .*nowhere"):
        _ = source(tmp_path / "nowhere").columns
    with pytest.raises(TableInvalid, match="cannot be read"):
        list(source(tmp_path))


def test_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("id\n1\n")
    with pytest.raises(TableInvalid, match=r"t\.parquet cannot be read as Parquet"):
        list(ParquetSource(tmp_path / "t.parquet"))


def test_parquet_values_become_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "day": [dt.date(2026, 1, 2), None],
            "at": pa.array([1_500_000_001, None], pa.timestamp("ns", "UTC")),
            "time": pa.array([1, None], pa.time64("ns")),
            "took": pa.array([1_500_000_000, None], pa.duration("ns")),
            "price": pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)),
            "bytes": pa.array([b"a", None]),
            "tags": [["x", None], []],
            "kind": pa.array(["a", None]).dictionary_encode(),
            "nested": [{"a": 1}, None],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")

    rows = [list(record.values.values()) for record in ParquetSource(tmp_path / "t.parquet")]

    assert rows == [
        [
            *("2026-01-02", "1970-01-01T00:00:01.500000+00:00", "00:00:00", "1.5"),
            *("1.50", "YQ==", '["x",null]', "a", '{"a":1}'),
        ],
        ["", "", "", "", "", "", "[]", "", ""],
    ]


def test_files_are_never_held_whole(jsonl) -> None:
    source = jsonl("".join(f'{{"id": {n}, "text": "{"x" * 1000}"}}\n' for n in range(3000)))
    generated = MappingSource({"id": n, "text": "x" * 1000} for n in range(3000))
    for table in (source, generated):
        tracemalloc.start()
        try:
            assert sum(1 for _ in table) == 3000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1_500_000
