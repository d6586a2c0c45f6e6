from __future__ import annotations

import csv
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.enrichment.sources import (
    CsvSource,
    Source,
    check_table,
    key_columns,
    keyed_rows,
)
from prefect_responses.errors import ColumnMissing, RowKeyDuplicate, TableEmpty, TableInvalid

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def table(tmp_path: Path):
    def write(text: str | bytes, **options: str) -> CsvSource:
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return CsvSource(path, **options)

    return write


def test_rows_are_read_again_and_again(table) -> None:
    source: Source = table("id,name\n1,Ada\n2,Grace\n")
    expected = [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Grace"}]

    assert source.columns == ("id", "name")
    assert [record.values for record in source] == expected
    assert [record.values for record in source] == expected


def test_lines_are_those_of_the_file(table) -> None:
    source = table('id,note\n1,"two\nlines"\n\n2,x\r\n3,y\n')
    assert [(record.line, record.values["id"]) for record in source] == [
        (2, "1"),
        (5, "2"),
        (6, "3"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(table) -> None:
    assert table("\ufeffid\n1\n").columns == ("id",)


def test_another_encoding_and_delimiter(table) -> None:
    source = table("id;name\n1;Zoë\n".encode("latin-1"), encoding="latin-1", delimiter=";")
    assert [record.values["name"] for record in source] == ["Zoë"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\n1,a\n2\n", "Line 3 .* has 1 fields; the header has 2"),
        ('id,name\n1,"a\nb"\n2,c,d\n', "Line 4 .* has 3 fields"),
        ("id,name,id\n1,a,2\n", "more than one column 'id'"),
        ('id\n1\n"open\n', "no CSV at line 3: unexpected end of data"),
        ('id\n1\n"a"b\n', "no CSV at line 3"),
        (b"id\n\xff\xfe\n", "not utf-8-sig.*give its encoding"),
    ],
)
def test_a_broken_table_is_refused_where_it_breaks(table, text: str | bytes, message: str) -> None:
    with pytest.raises(TableInvalid, match=message):
        list(table(text))


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_a_file_without_a_header_is_empty(table, text: str) -> None:
    with pytest.raises(TableEmpty, match="no header"):
        _ = table(text).columns


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match=r"There is no file .*nowhere\.csv"):
        list(CsvSource(tmp_path / "nowhere.csv"))


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match="cannot be read: Is a directory"):
        _ = CsvSource(tmp_path).columns


def test_an_unknown_encoding(table) -> None:
    with pytest.raises(TableInvalid, match="no encoding 'utf-9'"):
        _ = table("id\n", encoding="utf-9").columns


def test_a_large_field_is_read_and_nobody_else_finds_the_limit_changed(table) -> None:
    before = csv.field_size_limit()
    source = table("id,code\n1," + "x" * (before + 1) + "\n2,y\n")

    limits = [(len(record.values["code"]), csv.field_size_limit()) for record in source]

    assert limits == [(before + 1, before), (1, before)]


def test_threads_leave_the_limit_as_it_was(table) -> None:
    before = csv.field_size_limit()
    source = table("id\n" + ("x" * (before + 1) + "\n") * 3 + "y\n" * 300)
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(sum(1 for _ in source))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [303] * 6
    assert csv.field_size_limit() == before


def test_a_table_is_never_held_whole(table) -> None:
    source = table("id,text\n" + "".join(f"{n},{'x' * 1000}\n" for n in range(4000)))
    tracemalloc.start()
    try:
        assert check_table(source, "id", ["text"]).rows == 4000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_500_000


cell = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(cell, cell), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("a", "b"), *rows])

    assert [tuple(record.values.values()) for record in CsvSource(path)] == rows


# --- the check before anything is sent ---


def test_a_sound_table_is_counted(table) -> None:
    assert check_table(table("id,name\n1,a\n2,a\n"), "id", ["name"]).rows == 2


@pytest.mark.parametrize(
    ("key", "needed", "message"),
    [
        ("ID", ["name"], r"no column 'ID'\. Did you mean 'id'\?.*'id', 'name', 'price'"),
        ("id", ["nmae"], r"no column 'nmae'\. Did you mean 'name'\?"),
        ("id", ["zzzz", "yyyy"], r"no column 'zzzz', 'yyyy'\. Its columns"),
        (("id", "lang"), [], "no column 'lang'"),
    ],
)
def test_a_missing_column_is_named_with_what_comes_close(table, key, needed, message: str) -> None:
    with pytest.raises(ColumnMissing, match=message):
        check_table(table("id,name,price\n1,a,2\n"), key, needed)


def test_a_wide_table_does_not_fill_the_screen(table) -> None:
    header = ",".join(f"c{n}" for n in range(200))
    with pytest.raises(ColumnMissing, match="'c29' and 170 more") as caught:
        check_table(table(header + "\n"), "id", [])
    assert len(str(caught.value)) < 500


def test_a_header_alone_is_an_empty_table(table) -> None:
    with pytest.raises(TableEmpty, match="header and no rows"):
        check_table(table("id,name\n"), "id", [])


def test_a_repeated_key_is_named_with_both_lines(table) -> None:
    source = table('id,note\n1,"a\nb"\n2,x\n1,y\n')
    with pytest.raises(RowKeyDuplicate, match=r"Lines 2 and 5 share the key '1' \('id'\)"):
        check_table(source, "id", [])


def test_columns_that_only_together_tell_rows_apart(table) -> None:
    source = table("id,lang\n1,en\n1,de\n2,en\n")
    assert check_table(source, ("id", "lang"), []).rows == 3
    with pytest.raises(RowKeyDuplicate):
        check_table(source, "id", [])


def test_an_empty_key_is_refused_with_its_line(table) -> None:
    with pytest.raises(TableInvalid, match=r"Line 3 \('id'\): The key is empty"):
        check_table(table("id,name\n1,a\n ,b\n"), "id", [])


def test_rows_come_with_their_keys(table) -> None:
    rows = list(keyed_rows(table("id,lang,text\n1,en,hello\n"), ("id", "lang")))
    assert [(row.key, row.values["text"]) for row in rows] == [('["1","en"]', "hello")]


@pytest.mark.parametrize("key", [(), ("id", "id")])
def test_a_key_has_columns_and_each_once(key) -> None:
    with pytest.raises(TableInvalid, match="key column"):
        key_columns(key)
