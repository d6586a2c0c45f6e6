"""Which source reads what is given as the rows of a job."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from inspect import getattr_static
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect_responses.enrichment.places import is_url
from prefect_responses.enrichment.sources.csv_file import CsvSource
from prefect_responses.enrichment.sources.frames import FrameSource, is_frame
from prefect_responses.enrichment.sources.jsonl_file import JsonlSource
from prefect_responses.enrichment.sources.mappings import AsyncMappingSource, MappingSource
from prefect_responses.enrichment.sources.parquet_file import ParquetSource
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prefect_responses.enrichment.sources.table import Source

_TAKEN = (
    "Take a file (.csv, .jsonl, .ndjson, .parquet), a database URL with ?table=NAME, a frame of "
    "pandas or Polars, an iterable of mappings, or a source such as SqlSource."
)

_BY_SUFFIX: Mapping[str, Callable[[Path], Source]] = {
    ".csv": CsvSource,
    ".jsonl": JsonlSource,
    ".ndjson": JsonlSource,
    ".parquet": ParquetSource,
}


def open_source(rows: object, key: str | Sequence[str]) -> Source:
    """Return the source that reads *rows*.

    Args:
        rows: a path, a database URL with `?table=NAME`, a frame, an iterable or an asynchronous
            iterable of mappings, or a source, which is returned as it is.
        key: the column, or columns, that tell rows apart; a table of a database is read in their
            order.

    Raises:
        TableInvalid: nothing reads this; the message says what is taken.
    """
    match rows:
        case str() if is_url(rows):
            from prefect_responses.enrichment.sql.source import SqlSource  # noqa: PLC0415 - slow

            return SqlSource.of_url(rows, key=key)
        case str() | os.PathLike():
            return _open_file(Path(cast("str", rows)))
        case _ if is_frame(rows):
            return FrameSource(rows)
        case _ if _is_source(rows):
            return cast("Source", rows)
        case AsyncIterable():
            return AsyncMappingSource(rows)
        case Mapping() | bytes():
            raise TableInvalid(f"A {type(rows).__name__} cannot be read as rows. {_TAKEN}")
        case Iterable():
            return MappingSource(rows)
        case _:
            raise TableInvalid(f"A {type(rows).__name__} cannot be read as rows. {_TAKEN}")


async def aopen_source(rows: Any, key: str | Sequence[str]) -> Source:
    """Return the source that reads *rows*, as `open_source`.

    An asynchronous iterable is read here and now, on the loop that it may belong to.

    Raises:
        TableInvalid: nothing reads this, or a row of an asynchronous iterable is broken.
        TableEmpty: an asynchronous iterable has no rows.
    """
    source = open_source(rows, key)
    if isinstance(source, AsyncMappingSource):
        await source.read()
    return source


def _is_source(rows: object) -> bool:
    # Without asking for the columns, which may read the table.
    return isinstance(rows, Iterable) and getattr_static(rows, "columns", None) is not None


def _open_file(path: Path) -> Source:
    if path.suffix.lower() not in _BY_SUFFIX:
        raise TableInvalid(f"What is in {path.name!r} cannot be told from its name. {_TAKEN}")
    return _BY_SUFFIX[path.suffix.lower()](path)
