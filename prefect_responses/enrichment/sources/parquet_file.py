"""A Parquet file as a table."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_responses.enrichment.extras import needed
from prefect_responses.enrichment.sources.cell_text import cell_text
from prefect_responses.enrichment.sources.table import Record, different
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

#: Rows that are made into values of Python at a time.
_AT_A_TIME = 1000


class ParquetSource:
    """A Parquet file; it needs the extra `parquet`.

    Values become text as `cell_text` says; times are read to the microsecond. One row group is
    held at a time. The file may not change while a job reads it.

    Args:
        path: the file.

    Raises:
        TableInvalid: pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._arrow = needed("pyarrow", extra="parquet", what="A Parquet file")
        self._parquet = needed("pyarrow.parquet", extra="parquet", what="A Parquet file")

    def __repr__(self) -> str:
        return f"ParquetSource({str(self._path)!r})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Read the file's footer and return the names.

        Raises:
            TableInvalid: the file cannot be read, or two columns share a name.
        """
        with self._opened() as file:
            return different(file.schema_arrow.names, str(self._path))

    def __iter__(self) -> Iterator[Record]:
        number = 0
        with self._opened() as file:
            columns = different(file.schema_arrow.names, str(self._path))
            for batch in file.iter_batches(batch_size=_AT_A_TIME):
                for values in self._rows(batch):
                    number += 1
                    yield Record(number, dict(zip(columns, values, strict=True)))

    def _rows(self, batch: Any) -> Iterator[tuple[str, ...]]:
        cells = (self._to_microseconds(column).to_pylist() for column in batch.columns)
        return zip(*([cell_text(value) for value in column] for column in cells), strict=True)

    def _to_microseconds(self, column: Any) -> Any:
        # A value of Python's holds no nanoseconds; pyarrow would make it one of pandas' where that
        # is installed, and refuse it elsewhere.
        kind, types = column.type, self._arrow.types
        if types.is_timestamp(kind) and kind.unit == "ns":
            return column.cast(self._arrow.timestamp("us", kind.tz), safe=False)
        if types.is_time64(kind) and kind.unit == "ns":
            return column.cast(self._arrow.time64("us"), safe=False)
        if types.is_duration(kind) and kind.unit == "ns":
            return column.cast(self._arrow.duration("us"), safe=False)
        return column

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self._parquet.ParquetFile(self._path) as file:
                yield file
        except FileNotFoundError as error:
            raise TableInvalid(f"There is no file {self._path}.") from error
        except (OSError, self._arrow.ArrowException) as error:
            raise TableInvalid(f"{self._path} cannot be read as Parquet: {error}.") from error
