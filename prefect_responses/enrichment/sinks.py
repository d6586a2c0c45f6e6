"""Where the results go: a table with one row for each key, whole or not there at all."""

from __future__ import annotations

import csv
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import orjson

from prefect_responses.enrichment.rows import RowResult, key_values
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What every table of results says of a row beside its answer.
RECORD_COLUMNS = ("status", "response_id", "input_tokens", "output_tokens", "error")

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """The columns of a table of results: the key, then the answer, then `RECORD_COLUMNS`.

    Args:
        key: the key columns, as in the source.
        answer: the columns of the output type.

    Raises:
        TableInvalid: two columns would share a name.
    """

    key: tuple[str, ...]
    answer: tuple[str, ...]

    def __post_init__(self) -> None:
        if twice := {name for name in self.header if self.header.count(name) > 1}:
            raise TableInvalid(
                f"The results would have more than one column {', '.join(sorted(twice))}: rename "
                "the field of the output type, or give it an alias."
            )

    @property
    def header(self) -> tuple[str, ...]:
        """Return all names, in order."""
        return (*self.key, *self.answer, *RECORD_COLUMNS)

    def values(self, result: RowResult) -> tuple[Any, ...]:
        """Return the values of *result*, in the order of `header`."""
        answer = result.parsed or {}
        return (
            *key_values(result.key, len(self.key)),
            *(answer.get(name) for name in self.answer),
            str(result.outcome),
            result.response_id,
            result.input_tokens,
            result.output_tokens,
            result.error,
        )


class Sink(Protocol):
    """A table of results that is replaced as a whole.

    Until `commit` nobody sees what was written; after a kill the table is the old one or the new
    one. Writing a key again changes nothing, so a job may write all its rows at every run.
    """

    def open(self, columns: ResultColumns) -> None:
        """Begin a new table.

        Raises:
            TableInvalid: the place cannot be written.
        """

    def write(self, result: RowResult) -> None:
        """Add one row; a key that was written before is passed over."""

    def commit(self) -> None:
        """Make the new table the one that others see, and durable."""

    def abort(self) -> None:
        """Leave the old table as it was; nothing happens if none is open."""


@contextmanager
def written(sink: Sink, columns: ResultColumns) -> Iterator[Sink]:
    """Open *sink*, commit it when the block ends well and abort it when it raises."""
    sink.open(columns)
    try:
        yield sink
    except BaseException:
        sink.abort()
        raise
    sink.commit()


class CsvSink:
    """A CSV file (RFC 4180, UTF-8), replaced atomically.

    Lists and objects of an answer are written as JSON text, true and false likewise, null as an
    empty field. Text is written as it is: a spreadsheet program may run a field that begins with
    `=`, `+`, `-` or `@` as a formula. Pass `escape_formulas=True` for files that people open in
    one; it puts an apostrophe before such text, keys included.

    While it is written, a hidden file `.NAME.*.partial` lies in the same folder. A killed process
    leaves it there; it may be deleted.

    Args:
        path: the file; a symbolic link is followed.
        delimiter: the character between fields.
        escape_formulas: see above.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, delimiter: str = ",", escape_formulas: bool = False
    ) -> None:
        self.path = Path(path)
        self._delimiter = delimiter
        self._escape_formulas = escape_formulas
        self._draft: _Draft | None = None

    def __repr__(self) -> str:
        return f"CsvSink({str(self.path)!r})"

    def open(self, columns: ResultColumns) -> None:
        """Begin a new file beside the old one.

        Raises:
            TableInvalid: the path is a folder, or its folder is missing or cannot be written.
            RuntimeError: the sink is open already.
        """
        if self._draft is not None:
            raise RuntimeError(f"{self!r} is open already.")
        target = self.path.resolve()
        if target.is_dir():
            raise TableInvalid(f"{self.path} is a folder: name a file.")
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        try:
            file = partial.open("x", encoding="utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            raise TableInvalid(f"{self.path} cannot be written: {error.strerror}.") from error
        self._draft = _Draft(target, partial, file, columns, self._delimiter)
        self._draft.write(columns.header)

    def write(self, result: RowResult) -> None:
        """Add one row; a key that was written before is passed over.

        Raises:
            RuntimeError: the sink is not open.
        """
        self._opened().add(result, self._field)

    def commit(self) -> None:
        """Replace the old file; both the new file and its folder entry are on the disk then.

        Raises:
            RuntimeError: the sink is not open.
            OSError: the disk is full or gone; the old file is as it was.
        """
        draft = self._opened()
        try:
            draft.publish()
        except BaseException:
            self.abort()
            raise
        self._draft = None

    def abort(self) -> None:
        """Remove the new file and leave the old one; nothing happens if none is open."""
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.discard()

    def _opened(self) -> _Draft:
        if self._draft is None:
            raise RuntimeError(f"{self!r} is not open.")
        return self._draft

    def _field(self, value: Any) -> str:
        match value:
            case None:
                return ""
            case str():
                is_formula = self._escape_formulas and value.startswith(_FORMULA_STARTS)
                return f"'{value}" if is_formula else value
            case _:
                return orjson.dumps(value).decode()


class _Draft:
    def __init__(
        self, target: Path, partial: Path, file: TextIO, columns: ResultColumns, delimiter: str
    ) -> None:
        self._target = target
        self._partial = partial
        self._file = file
        self._columns = columns
        self._writer = csv.writer(file, delimiter=delimiter)
        self._seen: set[bytes] = set()

    def write(self, fields: Sequence[str]) -> None:
        self._writer.writerow(fields)

    def add(self, result: RowResult, field: Any) -> None:
        digest = blake2b(result.key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest not in self._seen:
            self.write([field(value) for value in self._columns.values(result)])
            self._seen.add(digest)

    def publish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with suppress(FileNotFoundError):
            self._partial.chmod(stat.S_IMODE(self._target.stat().st_mode))
        self._partial.replace(self._target)
        _fsync_folder(self._target.parent)

    def discard(self) -> None:
        with suppress(OSError):  # a full disk refuses the last buffer; it is not wanted any more
            self._file.close()
        self._partial.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    # Windows opens no folders; its rename is in the journal of the file system.
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
