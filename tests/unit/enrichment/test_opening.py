from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pandas as pd
import pytest

from prefect_responses.enrichment.sinks import (
    CsvSink,
    JsonlSink,
    ParquetSink,
    open_sink,
    place_of,
)
from prefect_responses.enrichment.sources import (
    AsyncMappingSource,
    CsvSource,
    FrameSource,
    JsonlSource,
    MappingSource,
    ParquetSource,
    aopen_source,
    open_source,
)
from prefect_responses.enrichment.sql.sink import SqlSink
from prefect_responses.enrichment.sql.source import SqlSource
from prefect_responses.errors import TableInvalid


async def numbers():
    for number in range(2):
        await asyncio.sleep(0)
        yield {"id": number}


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ("t.csv", CsvSource),
        (Path("t.CSV"), CsvSource),
        ("t.jsonl", JsonlSource),
        ("t.ndjson", JsonlSource),
        ("t.parquet", ParquetSource),
        ("sqlite:///t.db?table=rows", SqlSource),
        (pd.DataFrame({"id": [1]}), FrameSource),
        ([{"id": 1}], MappingSource),
        ((), MappingSource),
        ({"a": {"id": 1}}.values(), MappingSource),
    ],
)
def test_the_source_is_told_from_what_is_given(rows, kind) -> None:
    assert type(open_source(rows, "id")) is kind


@pytest.mark.parametrize(
    "rows", ["t.txt", "t", 3, None, b"t.csv", {"id": [1]}, OrderedDict(), "s3://b/t.csv"]
)
def test_what_is_no_table_is_refused(rows) -> None:
    with pytest.raises(TableInvalid, match=r"Take a file \(\.csv|database URL"):
        open_source(rows, "id")


def test_a_source_is_taken_as_it_is() -> None:
    source = CsvSource("t.txt")
    assert open_source(source, "id") is source


async def test_an_asynchronous_iterable_is_read_on_its_own_loop() -> None:
    loops = []

    async def rows():
        loops.append(asyncio.get_running_loop())
        async for row in numbers():
            yield row

    source = await aopen_source(rows(), "id")

    assert loops == [asyncio.get_running_loop()]
    assert [record.values["id"] for record in source] == ["0", "1"]
    assert isinstance(source, AsyncMappingSource)
    await source.read()
    assert await asyncio.to_thread(list, source) == list(source)


async def test_it_is_read_on_another_loop_where_there_is_a_thread_for_it() -> None:
    source = open_source(numbers(), "id")
    assert len(await asyncio.to_thread(list, source)) == 2


async def test_a_broken_asynchronous_row_is_refused_when_it_is_opened() -> None:
    async def rows():
        yield {"id": 1}
        yield {}

    with pytest.raises(TableInvalid, match="Row 2 lacks 'id'"):
        await aopen_source(rows(), "id")


@pytest.mark.parametrize(
    ("sink", "kind"),
    [
        ("o.csv", CsvSink),
        (Path("o.jsonl"), JsonlSink),
        ("o.ndjson", JsonlSink),
        ("o.Parquet", ParquetSink),
        ("sqlite:///o.db?table=results", SqlSink),
    ],
)
def test_the_sink_is_told_from_what_is_given(sink, kind) -> None:
    opened = open_sink(sink)
    assert type(opened) is kind
    assert open_sink(opened) is opened
    assert place_of(opened) == str(sink)


@pytest.mark.parametrize("sink", ["o.xlsx", "o", 3, [], "s3://bucket/o.csv"])
def test_what_nothing_writes_to_is_refused(sink) -> None:
    with pytest.raises(TableInvalid, match=r"Take a file \(\.csv|database URL"):
        open_sink(sink)
    assert place_of(sink) is None


@pytest.mark.parametrize("open_", [open_sink, lambda url: open_source(url, "id")])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://u:hunter2@h/d", "Name one table"),
        ("postgresql://u:hunter2@h:port/d?table=t", "cannot be read"),
        ("nosuch://u:hunter2@h/d?table=t", "cannot be read"),
        ("sqlite:///a.db?table=a&table=b", "Name one table"),
    ],
)
def test_a_url_that_cannot_be_used_keeps_its_password(open_, url: str, message: str) -> None:
    with pytest.raises(TableInvalid, match=message) as caught:
        open_(url)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


def test_places_and_representations_hold_no_credentials() -> None:
    url = "postgresql://user:hunter2@host:5433/data?password=hunter2&table=out"
    for opened in (open_sink(url), open_source(url, "id")):
        assert "postgresql://host:5433/data" in repr(opened)
        assert "hunter2" not in repr(opened) + str(place_of(opened))
        assert "user" not in repr(opened)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys, prefect_responses, prefect_responses.enrichment.sources as s, "
        "prefect_responses.enrichment.sinks as k; "
        "s.open_source([{'a': 1}], 'a'); s.open_source('t.csv', 'a'); k.open_sink('o.jsonl'); "
        "print({'pyarrow', 'narwhals', 'pandas', 'polars', 'sqlalchemy', 'prefect'} "
        "& set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert shown.stdout.decode().strip() == "set()"


@pytest.mark.parametrize(
    ("module", "extra", "open_"),
    [
        ("pyarrow", "parquet", "s.open_source('t.parquet', 'a')"),
        ("pyarrow", "parquet", "k.open_sink('t.parquet')"),
        ("narwhals", "dataframes", "s.FrameSource(object())"),
    ],
)
def test_a_missing_extra_is_named(module: str, extra: str, open_: str) -> None:
    program = (
        f"import sys; sys.modules['{module}'] = None\n"
        "import prefect_responses.enrichment.sources as s\n"
        "import prefect_responses.enrichment.sinks as k\n"
        f"try:\n    {open_}\nexcept s.checks.TableInvalid as error:\n    print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert f"needs {module}: install `prefect-responses[{extra}]`" in shown.stdout.decode()
