"""What all files of results have in common, and what is particular to JSON lines and Parquet."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, Field

from prefect_responses.enrichment.output_types import OutputType
from prefect_responses.enrichment.rows import RowOutcome, RowResult
from prefect_responses.enrichment.sinks import (
    RECORD_COLUMNS,
    ColumnKind,
    ResultColumns,
    open_sink,
    written,
)
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from pathlib import Path


class Part(BaseModel):
    name: str


class Answer(BaseModel):
    label: Literal["good", "bad"] | None
    count: int
    share: float | int
    is_new: bool | None
    parts: list[Part]
    main: Part | None
    mixed: str | int
    note: str = Field(alias="Note")


COLUMNS = ResultColumns.of(("id",), OutputType(Answer))


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out.{request.param}"


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return pq.read_table(path).to_pylist()


def ok(key: str, **parsed: Any) -> RowResult:
    return RowResult(key, RowOutcome.OK, parsed, f"resp_{key}", 10, 2, cost=1_500_000_001)


def test_the_kinds_of_columns_come_from_the_schema() -> None:
    assert COLUMNS.answer_kinds == (
        *(ColumnKind.TEXT, ColumnKind.INTEGER, ColumnKind.NUMBER, ColumnKind.BOOLEAN),
        *(ColumnKind.JSON, ColumnKind.JSON, ColumnKind.JSON, ColumnKind.TEXT),
    )
    recursive = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"enum": ["x", None]}},
        "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": ["integer", "null"]}]}},
    }
    columns = ResultColumns.of(("id",), OutputType(recursive))
    assert columns.answer_kinds == (ColumnKind.INTEGER, ColumnKind.TEXT)


def test_rows_keep_their_order_and_all_columns(path: Path) -> None:
    with written(open_sink(path), COLUMNS) as sink:
        for n in range(12_000):
            sink.write(ok(f"{n % 7}-{n}", label="good", count=n))
    rows = read(path)
    assert [row["id"] for row in rows] == [f"{n % 7}-{n}" for n in range(12_000)]
    assert tuple(rows[0]) == ("id", *COLUMNS.answer, *RECORD_COLUMNS)


def test_the_same_rows_make_the_same_file(path: Path) -> None:
    versions = []
    for _ in range(2):
        with written(open_sink(path), COLUMNS) as sink:
            sink.write(ok("1", label="good", parts=[{"name": "ü"}]))
        versions.append(path.read_bytes())
    assert versions[0] == versions[1]
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_table_without_rows_has_its_columns(path: Path) -> None:
    with written(open_sink(path), COLUMNS):
        pass
    assert read(path) == []
    if path.suffix == ".parquet":
        assert tuple(pq.read_schema(path).names) == COLUMNS.header


def test_a_block_that_raises_leaves_the_old_table(path: Path) -> None:
    path.write_text("old")

    def interrupted() -> None:
        with written(open_sink(path), COLUMNS) as sink:
            sink.write(ok("1"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert path.read_text() == "old"
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_old_table(path: Path, monkeypatch) -> None:
    path.write_text("old")
    sink = open_sink(path)
    sink.open(COLUMNS)
    sink.write(ok("1"))

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        sink.commit()

    assert path.read_text() == "old"
    assert [other.name for other in path.parent.iterdir()] == [path.name]


KILLED = """
    import os, signal, sys
    from prefect_responses.enrichment.rows import RowOutcome, RowResult
    from prefect_responses.enrichment.sinks import ResultColumns, open_sink

    sink = open_sink(sys.argv[1])
    sink.open(ResultColumns(("id",), ("label",)))
    for n in range(12_000):
        sink.write(RowResult(str(n), RowOutcome.OK, {"label": "x" * 50}))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_the_old_table(path: Path) -> None:
    path.write_text("old")

    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(path)], check=False)

    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with written(open_sink(path), COLUMNS) as sink:
        sink.write(ok("1"))
    assert len(read(path)) == 1


def test_a_place_that_cannot_be_written(path: Path) -> None:
    with pytest.raises(TableInvalid, match="No such file"):
        open_sink(path.parent / "nowhere" / path.name).open(COLUMNS)
    path.mkdir()
    with pytest.raises(TableInvalid, match="is a folder"):
        open_sink(path).open(COLUMNS)


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "out.jsonl")
    tracemalloc.start()
    try:
        with written(sink, COLUMNS) as out:
            for n in range(5000):
                out.write(ok(str(n), label="x" * 500))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000


NESTED = {"label": "good", "count": 3, "share": 1, "parts": [{"name": "ü"}], "mixed": "m"}


def test_json_lines_keep_json_types(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    odd = ok("\ud800", count=10**30, Note="\ud800")
    with written(open_sink(path), COLUMNS) as sink:
        sink.write(ok("1", **NESTED, Note="=1"))
        sink.write(RowResult("2", RowOutcome.FAILED, error="e"))
        sink.write(odd)

    first, second, third = read(path)

    record = {"status": "ok", "response_id": "resp_1", "input_tokens": 10, "output_tokens": 2}
    answer = {**NESTED, "is_new": None, "main": None, "Note": "=1"}
    assert first == {"id": "1", **answer, **record, "cost_usd": 1.500000001, "error": ""}
    assert set(second.values()) == {"2", None, "failed", "e"}
    assert (third["id"], third["count"], third["Note"]) == ("\ud800", 10**30, "\ud800")


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with written(open_sink(path), COLUMNS) as sink:
        sink.write(ok("1", **NESTED, is_new=True, Note="\ud800"))
        sink.write(ok("2", count=2.0, share=2.5))
        sink.write(ok("3", count=2**63, share="x"))
        sink.write(RowResult("4", RowOutcome.FAILED, error="e"))

    assert [str(kind) for kind in pq.read_schema(path).types] == [
        *("string", "string", "int64", "double", "bool", "string", "string", "string", "string"),
        *("string", "string", "int64", "int64", "double", "string"),
    ]
    rows = read(path)
    assert [row["count"] for row in rows] == [3, 2, None, None]
    assert [row["share"] for row in rows] == [1.0, 2.5, None, None]
    assert [row["cost_usd"] for row in rows] == [1.500000001] * 3 + [None]
    assert (rows[0]["parts"], rows[0]["mixed"]) == ('[{"name":"ü"}]', '"m"')
    assert (rows[0]["main"], rows[0]["Note"]) == (None, "\\ud800")
    assert rows[2]["error"] == (
        "The value of count does not fit its column. The value of share does not fit its column."
    )


def test_results_are_read_back_as_frames(path: Path) -> None:
    with written(open_sink(path), COLUMNS) as sink:
        sink.write(ok("1", count=3))
    kind = path.suffix[1:]
    frames = {
        "csv": (pd.read_csv, pl.read_csv),
        "jsonl": (lambda file: pd.read_json(file, lines=True), pl.read_ndjson),
        "parquet": (pd.read_parquet, pl.read_parquet),
    }
    for reader in frames[kind]:
        frame = reader(path)
        assert frame["count"].sum() == 3
        assert frame["cost_usd"].sum() == pytest.approx(1.500000001)


@pytest.mark.parametrize(
    ("nano", "usd"), [(0, "0"), (1, "0.000000001"), (10**10, "10"), (1_500_000_000, "1.5")]
)
def test_a_cost_is_a_plain_decimal_number(tmp_path: Path, nano: int, usd: str) -> None:
    path = tmp_path / "out.csv"
    with written(open_sink(path), ResultColumns(("id",), ())) as sink:
        sink.write(RowResult("1", RowOutcome.OK, cost=nano))
    assert read(path)[0]["cost_usd"] == usd
