"""Where the rows come from: tables that can be read again and again, one row at a time.

A table is checked in one pass before anything is sent, and read again while the job runs.
"""

from __future__ import annotations

import csv
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prefect_responses.enrichment.rows import Row, row_key
from prefect_responses.errors import ColumnMissing, RowKeyDuplicate, TableEmpty, TableInvalid

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SHOWN_COLUMNS = 30
#: Characters; the most that the csv module can be told on every platform.
_LARGEST_FIELD = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Record:
    """One row as its source has it.

    Args:
        line: where it stands, for people: the line of the file that it begins on, from 1.
        values: the text of each column.
    """

    line: int
    values: Mapping[str, str] = field(hash=False)


class Source(Protocol):
    """A table that can be read more than once."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns, all different.

        Raises:
            TableInvalid: the table cannot be read.
        """

    def __iter__(self) -> Iterator[Record]:
        """Read the table from its beginning, in a fixed order, without holding all of it.

        Raises:
            TableInvalid: the table cannot be read, or a row does not have its columns.
        """


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
        if twice := [name for name, count in Counter(header).items() if count > 1]:
            raise TableInvalid(
                f"{self._path} has more than one column {_listed(twice)}: rename them."
            )
        return tuple(header)


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


# --- checks before anything is sent ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableCheck:
    """What a check of a table found.

    Args:
        rows: how many rows it has.
    """

    rows: int


def key_columns(key: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the key columns, given one or several.

    Raises:
        TableInvalid: none is named, or one is named twice.
    """
    names = (key,) if isinstance(key, str) else tuple(key)
    if not names or len(set(names)) != len(names):
        raise TableInvalid("Name one key column, or several different ones.")
    return names


def keyed_rows(source: Source, key: str | Sequence[str]) -> Iterator[Row]:
    """Read the rows of *source* with their keys, in the order of the table.

    Raises:
        TableInvalid: a row cannot be read or has no key.
    """
    return (row for _, row in _keyed(source, key_columns(key)))


def check_table(
    source: Source, key: str | Sequence[str], columns_needed: Iterable[str]
) -> TableCheck:
    """Read *source* once and refuse what a job could not do; nothing is sent or written.

    It keeps 16 bytes of digest for each key, and nothing else of the rows.

    Args:
        source: the table.
        key: the key column, or several that together tell rows apart.
        columns_needed: the columns that the prompt names.

    Raises:
        ColumnMissing: the table lacks a key column or a needed column.
        TableEmpty: the table has no rows.
        RowKeyDuplicate: two rows share a key.
        TableInvalid: the table cannot be read, or a row has no key.
    """
    names = key_columns(key)
    check_columns(source.columns, (*names, *columns_needed))
    seen: set[bytes] = set()
    rows = 0
    for line, row in _keyed(source, names):
        digest = blake2b(row.key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in seen:
            raise _duplicate(source, names, row.key, line)
        seen.add(digest)
        rows += 1
    if not rows:
        raise TableEmpty("The table has a header and no rows.")
    return TableCheck(rows)


def check_columns(columns: Sequence[str], needed: Iterable[str]) -> None:
    """Refuse *needed* columns that are not among *columns*, naming what comes close.

    Raises:
        ColumnMissing: at least one is not there.
    """
    missing = [name for name in dict.fromkeys(needed) if name not in columns]
    if missing:
        hints = (_near_miss(name, columns) for name in missing)
        raise ColumnMissing(
            f"The table has no column {_listed(missing)}.{''.join(hints)} "
            f"Its columns: {_listed(columns)}."
        )


def _near_miss(name: str, columns: Sequence[str]) -> str:
    folded = {column.strip().casefold(): column for column in columns}
    close = get_close_matches(name.strip().casefold(), folded, n=1)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def _keyed(source: Source, names: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    for record in source:
        try:
            key = row_key([record.values[name] for name in names])
        except TableInvalid as error:
            raise TableInvalid(f"Line {record.line} ({_listed(names)}): {error}") from error
        yield record.line, Row(key, record.values)


def _duplicate(source: Source, names: tuple[str, ...], key: str, line: int) -> RowKeyDuplicate:
    first = next((at for at, row in _keyed(source, names) if row.key == key), line)
    return RowKeyDuplicate(
        f"Lines {first} and {line} share the key {key!r} ({_listed(names)}): "
        "each row needs its own; add a column to the key or remove a row."
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN_COLUMNS])
    left = len(names) - _SHOWN_COLUMNS
    return f"{shown} and {left} more" if left > 0 else shown
