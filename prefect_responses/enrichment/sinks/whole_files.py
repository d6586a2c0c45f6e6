"""Files of results that are replaced as a whole, or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from prefect_responses.enrichment.rows import RowResult
    from prefect_responses.enrichment.sinks.columns import ResultColumns


class RowWriter(Protocol):
    """Writes rows into a file in one format."""

    def add(self, result: RowResult) -> None:
        """Write one row; it may be kept back until `finish`."""

    def finish(self) -> None:
        """Hand everything to the file; the file stays open."""

    def drop(self) -> None:
        """Let go of the file, whatever is in it: it will be removed."""


class WholeFileSink(ABC):
    """A file that is replaced atomically by a new one.

    While the new one is written, it lies as a hidden file `.NAME.*.partial` in the same folder. A
    killed process leaves it there; it may be deleted.

    Args:
        path: the file; a symbolic link is followed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._draft: _Draft | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def place(self) -> str:
        """Return where the results lie."""
        return str(self.path)

    @abstractmethod
    def _writer(self, file: BinaryIO, columns: ResultColumns) -> RowWriter:
        """Begin the file in its format."""

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
            file = partial.open("xb")
        except OSError as error:
            raise TableInvalid(f"{self.path} cannot be written: {error.strerror}.") from error
        try:
            self._draft = _Draft(target, partial, file, self._writer(file, columns))
        except BaseException:
            file.close()
            partial.unlink()
            raise

    def write(self, result: RowResult) -> None:
        """Add one row.

        Raises:
            RuntimeError: the sink is not open.
        """
        self._opened().rows.add(result)

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


class _Draft:
    def __init__(self, target: Path, partial: Path, file: BinaryIO, rows: RowWriter) -> None:
        self._target = target
        self._partial = partial
        self._file = file
        self.rows = rows

    def publish(self) -> None:
        self.rows.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with suppress(FileNotFoundError):
            self._partial.chmod(stat.S_IMODE(self._target.stat().st_mode))
        self._partial.replace(self._target)
        _fsync_folder(self._target.parent)

    def discard(self) -> None:
        with suppress(OSError):  # a full disk refuses the last buffer; it is not wanted any more
            self.rows.drop()
        with suppress(OSError):  # same
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
