"""Results as a Parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from prefect_responses.enrichment.extras import needed
from prefect_responses.enrichment.sinks.kinds import ColumnKind
from prefect_responses.enrichment.sinks.whole_files import WholeFileSink

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from prefect_responses.enrichment.rows import RowResult
    from prefect_responses.enrichment.sinks.columns import ResultColumns

#: Rows of a row group, which is what is held before it is written.
_GROUP = 10_000


class ParquetSink(WholeFileSink):
    """A Parquet file, replaced atomically; it needs the extra `parquet`.

    Columns have the types of the output type's schema: 64-bit integers and floats, booleans, text,
    and JSON text for what is nested or of several types. A value that does not fit is null, and
    `error` says so. `cost_usd` is a 64-bit float.

    While it is written, a hidden file `.NAME.*.partial` lies in the same folder. A killed process
    leaves it there; it may be deleted.

    Args:
        path: the file; a symbolic link is followed.

    Raises:
        TableInvalid: pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._arrow = needed("pyarrow", extra="parquet", what="A Parquet file")
        self._parquet = needed("pyarrow.parquet", extra="parquet", what="A Parquet file")

    def _writer(self, file: BinaryIO, columns: ResultColumns) -> _Groups:
        types = _arrow_types(self._arrow)
        fields = zip(columns.header, (types[kind] for kind in columns.kinds), strict=True)
        schema = self._arrow.schema(list(fields))
        return _Groups(self._arrow, self._parquet.ParquetWriter(file, schema), columns)


class _Groups:
    def __init__(self, arrow: Any, writer: Any, columns: ResultColumns) -> None:
        self._arrow = arrow
        self._writer = writer
        self._columns = columns
        self._rows: list[list[Any]] = []

    def add(self, result: RowResult) -> None:
        self._rows.append(self._columns.typed_values(result))
        if len(self._rows) >= _GROUP:
            self._write_group()

    def finish(self) -> None:
        self._write_group()
        self._writer.close()

    def drop(self) -> None:
        # One that is left open ends its file when it is collected, which is closed by then.
        self._writer.close()

    def _write_group(self) -> None:
        if self._rows:
            schema = self._writer.schema
            arrays = [
                self._arrow.array(map(_as_float, column) if name == "cost_usd" else column, kind)
                for name, kind, column in zip(
                    schema.names, schema.types, zip(*self._rows, strict=True), strict=True
                )
            ]
            self._writer.write_batch(self._arrow.record_batch(arrays, schema=schema))
            self._rows.clear()


def _as_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _arrow_types(arrow: Any) -> Mapping[ColumnKind, Any]:
    return {
        ColumnKind.INTEGER: arrow.int64(),
        ColumnKind.NUMBER: arrow.float64(),
        ColumnKind.BOOLEAN: arrow.bool_(),
        ColumnKind.TEXT: arrow.string(),
        ColumnKind.JSON: arrow.string(),
        ColumnKind.USD: arrow.float64(),
    }
