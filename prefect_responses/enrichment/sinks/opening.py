"""Which sink writes to what is given as the place of the results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from prefect_responses.enrichment.places import is_url
from prefect_responses.enrichment.sinks.csv_file import CsvSink
from prefect_responses.enrichment.sinks.jsonl_file import JsonlSink
from prefect_responses.enrichment.sinks.parquet_file import ParquetSink
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prefect_responses.enrichment.sinks.table import Sink

_TAKEN = (
    "Take a file (.csv, .jsonl, .ndjson, .parquet), a database URL with ?table=NAME, or a sink "
    "such as SqlSink."
)

_BY_SUFFIX: Mapping[str, Callable[[Path], Sink]] = {
    ".csv": CsvSink,
    ".jsonl": JsonlSink,
    ".ndjson": JsonlSink,
    ".parquet": ParquetSink,
}

_VERBS = ("open", "write", "commit", "abort")


def open_sink(sink: object) -> Sink:
    """Return the sink that writes to *sink*; nothing is written yet.

    Args:
        sink: a path, a database URL with `?table=NAME`, or a sink, which is returned as it is.

    Raises:
        TableInvalid: nothing writes to this; the message says what is taken.
    """
    match sink:
        case str() if is_url(sink):
            from prefect_responses.enrichment.sql.sink import SqlSink  # noqa: PLC0415 - slow

            return SqlSink.of_url(sink)
        case str() | os.PathLike():
            return _open_file(Path(cast("str", sink)))
        case _ if all(hasattr(sink, verb) for verb in _VERBS):
            return cast("Sink", sink)
        case _:
            raise TableInvalid(f"A {type(sink).__name__} cannot be written to. {_TAKEN}")


def _open_file(path: Path) -> Sink:
    if path.suffix.lower() not in _BY_SUFFIX:
        raise TableInvalid(f"What {path.name!r} has to become is not in its name. {_TAKEN}")
    return _BY_SUFFIX[path.suffix.lower()](path)
