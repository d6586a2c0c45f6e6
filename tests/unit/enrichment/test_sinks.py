from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.enrichment.rows import RowOutcome, RowResult, row_key
from prefect_responses.enrichment.sinks import CsvSink, ResultColumns, written
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ResultColumns(key=("id",), answer=("label", "tags"))


def ok(key: str, **parsed: object) -> RowResult:
    return RowResult(key, RowOutcome.OK, parsed, f"resp_{key}", 10, 2, cost=10_000)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_row_has_key_answer_and_record(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with written(CsvSink(path), COLUMNS) as sink:
        sink.write(ok("1", label="a,b", tags=["x", "ü"]))
        sink.write(RowResult("2", RowOutcome.REFUSAL, error="I cannot."))

    assert read(path) == [
        {
            "id": "1",
            "label": "a,b",
            "tags": '["x","ü"]',
            "status": "ok",
            "response_id": "resp_1",
            "input_tokens": "10",
            "output_tokens": "2",
            "cost_usd": "0.00001",
            "error": "",
        },
        {
            "id": "2",
            "label": "",
            "tags": "",
            "status": "refusal",
            "response_id": "",
            "input_tokens": "",
            "output_tokens": "",
            "cost_usd": "",
            "error": "I cannot.",
        },
    ]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        (True, "true"),
        (0, "0"),
        (1.5, "1.5"),
        ({"a": None}, '{"a":null}'),
        ([], "[]"),
        ("null", "null"),
        ("=1+1", "=1+1"),
        ('line\r\nbreak "q"', 'line\r\nbreak "q"'),
        ("half \ud800", "half \\ud800"),
        (["half \ud800", 10**30], '["half \\ud800",1000000000000000000000000000000]'),
    ],
)
def test_values_become_text(tmp_path: Path, value: object, field: str) -> None:
    path = tmp_path / "out.csv"
    with written(CsvSink(path), COLUMNS) as sink:
        sink.write(ok("1", label=value))
    assert read(path)[0]["label"] == field


@pytest.mark.parametrize(
    ("text", "field"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("-3", "'-3"), ("a=b", "a=b")]
)
def test_formulas_are_escaped_where_asked_for(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "out.csv"
    with written(CsvSink(path, escape_formulas=True), COLUMNS) as sink:
        sink.write(ok(text, label=text, tags=-3))
    assert [read(path)[0][name] for name in ("id", "label", "tags")] == [field, field, "-3"]


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(cell, cell, cell).filter(lambda t: (t[0] + t[1]).strip())))
def test_any_text_comes_back(tmp_path_factory, rows) -> None:
    path = tmp_path_factory.mktemp("csv") / "out.csv"
    with written(CsvSink(path), ResultColumns(key=("k", "l"), answer=("label",))) as sink:
        for one, other, label in rows:
            sink.write(ok(row_key([one, other]), label=label))

    assert [(row["k"], row["l"], row["label"]) for row in read(path)] == rows


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    versions = []
    for _ in range(2):
        with written(CsvSink(path), COLUMNS) as sink:
            sink.write(ok("1", label="a"))
        versions.append(path.read_bytes())
    assert versions[0] == versions[1]


def test_nobody_sees_a_table_before_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    sink = CsvSink(path)
    sink.open(COLUMNS)
    sink.write(ok("1", label="a"))
    assert path.read_text() == "old"

    sink.commit()

    assert read(path)[0]["id"] == "1"
    assert names(tmp_path) == ["out.csv"]


def test_a_block_that_raises_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def interrupted() -> None:
        with written(CsvSink(path), COLUMNS) as sink:
            sink.write(ok("1", label="a"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.csv"]


def test_abort_without_open_does_nothing(tmp_path: Path) -> None:
    CsvSink(tmp_path / "out.csv").abort()
    assert names(tmp_path) == []


def test_a_link_is_followed_and_the_mode_kept(tmp_path: Path) -> None:
    path = tmp_path / "real.csv"
    path.write_text("old")
    path.chmod(0o640)
    link = tmp_path / "link.csv"
    link.symlink_to(path)

    with written(CsvSink(link), COLUMNS):
        pass

    assert link.is_symlink()
    assert path.read_text().startswith("id,label,tags,status")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("place", "message"), [("", "is a folder"), ("nowhere/out.csv", "No such file or directory")]
)
def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, place: str, message: str
) -> None:
    with pytest.raises(TableInvalid, match=message):
        CsvSink(tmp_path / place).open(COLUMNS)


@pytest.mark.parametrize(
    ("key", "answer", "name"),
    [(("id",), ("id",), "id"), (("status",), ("x",), "status"), (("id",), ("error",), "error")],
)
def test_columns_that_would_share_a_name_are_refused(key, answer, name: str) -> None:
    with pytest.raises(TableInvalid, match=f"more than one column {name}: rename"):
        ResultColumns(key, answer)


def test_a_sink_is_used_in_order(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "out.csv")
    with pytest.raises(RuntimeError, match="not open"):
        sink.write(ok("1"))
    with pytest.raises(RuntimeError, match="not open"):
        sink.commit()
    sink.open(COLUMNS)
    with pytest.raises(RuntimeError, match="open already"):
        sink.open(COLUMNS)
    sink.abort()
