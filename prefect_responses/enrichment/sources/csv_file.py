"""A CSV file as a table."""

from __future__ import annotations

import csv
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_responses.enrichment.sources.table import Record, different
from prefect_responses.errors import TableEmpty, TableInvalid

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

#: Characters; the most that the csv module can be told on every platform.
_LARGEST_FIELD = 2**31 - 1


class CsvSource:
    """A CSV file with a header line.

    Blank lines are skipped. Quoting errors are refused rather than guessed at. The file may not
    change while a job reads it.

    Args:
        path: the file.
        encoding: a codec name; the default reads UTF-8 with or without a byte order mark.
        delimiter: the character between fields.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, encoding: str = "utf-8-sig", delimiter: str = ","
    ) -> None:
        self._path = Path(path)
        self._encoding = encoding
        self._delimiter = delimiter

    def __repr__(self) -> str:
        return f"CsvSource({str(self._path)!r})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Read and return the header.

        Raises:
            TableInvalid: the file cannot be read, or two columns share a name.
            TableEmpty: the file has no header.
        """
        with self._lines() as lines:
            return self._header(lines)

    def __iter__(self) -> Iterator[Record]:
        with self._lines() as lines:
            header = self._header(lines)
            for line, fields in lines:
                if len(fields) != len(header):
                    raise TableInvalid(
                        f"Line {line} of {self._path} has {len(fields)} fields; "
                        f"the header has {len(header)}."
                    )
                yield Record(line, dict(zip(header, fields, strict=True)))

    @contextmanager
    def _lines(self) -> Iterator[Iterator[tuple[int, list[str]]]]:
        try:
            with self._path.open(encoding=self._encoding, newline="") as file:
                yield self._numbered(file)
        except FileNotFoundError as error:
            raise TableInvalid(f"There is no file {self._path}.") from error
        except OSError as error:
            raise TableInvalid(f"{self._path} cannot be read: {error.strerror}.") from error
        except LookupError as error:
            raise TableInvalid(f"There is no encoding {self._encoding!r}.") from error

    def _numbered(self, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(file, delimiter=self._delimiter, strict=True)
        begins = 1
        try:
            while (fields := _next_record(reader)) is not None:
                if fields:
                    yield begins, fields
                begins = reader.line_num + 1
        except csv.Error as error:
            raise TableInvalid(f"{self._path} is no CSV at line {begins}: {error}.") from error
        except UnicodeDecodeError as error:
            raise TableInvalid(
                f"{self._path} is not {self._encoding}, after line {begins}: give its encoding."
            ) from error

    def _header(self, lines: Iterator[tuple[int, list[str]]]) -> tuple[str, ...]:
        _, header = next(lines, (0, None))
        if header is None:
            raise TableEmpty(f"{self._path} has no header: it is empty.")
        return different(header, str(self._path))


_field_limit = threading.Lock()


def _next_record(reader: Iterator[list[str]]) -> list[str] | None:
    # The csv module has one field limit (128 KiB) for the whole process. It is raised only while
    # one record is read, so that nobody else finds it changed.
    with _field_limit:
        before = csv.field_size_limit(_LARGEST_FIELD)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(before)
