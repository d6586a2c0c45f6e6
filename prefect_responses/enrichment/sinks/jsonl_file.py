"""Results as a file of JSON lines."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from prefect_responses.enrichment.sinks.kinds import json_text
from prefect_responses.enrichment.sinks.whole_files import WholeFileSink

if TYPE_CHECKING:
    from prefect_responses.enrichment.rows import RowResult
    from prefect_responses.enrichment.sinks.columns import ResultColumns


class JsonlSink(WholeFileSink):
    """A file with one JSON object on each line (UTF-8), replaced atomically.

    Every object has all columns; answers keep their JSON types, keys are text.

    While it is written, a hidden file `.NAME.*.partial` lies in the same folder. A killed process
    leaves it there; it may be deleted.

    Args:
        path: the file; a symbolic link is followed.
    """

    def _writer(self, file: BinaryIO, columns: ResultColumns) -> _JsonRows:
        return _JsonRows(file, columns)


class _JsonRows:
    def __init__(self, file: BinaryIO, columns: ResultColumns) -> None:
        self._file = file
        self._columns = columns
        self._header = columns.header

    def add(self, result: RowResult) -> None:
        values = map(_number_for_cost, self._columns.values(result))
        self._file.write(json_text(dict(zip(self._header, values, strict=True))).encode() + b"\n")

    def finish(self) -> None:
        pass

    def drop(self) -> None:
        pass


def _number_for_cost(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
