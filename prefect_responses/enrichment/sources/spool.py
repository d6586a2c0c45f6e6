"""A table that is read once and kept in a temporary file, to be read again and again."""

from __future__ import annotations

import io
import json
import os
import tempfile
import threading
import weakref
from typing import IO, TYPE_CHECKING

from prefect_responses.enrichment.sources.table import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_BUFFER = 1 << 18


class Spool:
    """The rows of one table in a file without a name.

    The file is gone with the last reading of it, or with the process, however that ends. Rows are
    added first and read afterwards; several may read at a time.

    Args:
        columns: the names of the columns.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="prefect-responses-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def add(self, texts: Sequence[str]) -> None:
        """Add one row: the text of each column.

        Raises:
            OSError: the disk of temporary files is full.
        """
        # The ASCII form can hold every text, half a surrogate pair too.
        self._file.write(json.dumps(texts).encode() + b"\n")

    def finish(self) -> None:
        """Make all that was added readable.

        Raises:
            OSError: the disk of temporary files is full.
        """
        self._file.flush()

    def __iter__(self) -> Iterator[Record]:
        reader = io.BufferedReader(_Reading(self._file), _BUFFER)
        for number, line in enumerate(reader, start=1):
            yield Record(number, dict(zip(self.columns, json.loads(line), strict=True)))


class SpoolOnce:
    """A spool that is filled by whoever needs it first; after a failure there is no second try."""

    def __init__(self) -> None:
        self.spool: Spool | None = None
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def filled(self, fill: Callable[[], Spool]) -> Spool:
        """Return the spool, filled by *fill* if nobody did; its failure is raised again."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self.spool is None:
                try:
                    self.spool = fill()
                except BaseException as error:
                    self._failure = error
                    raise
            return self.spool


class _Reading(io.RawIOBase):
    """One reading of the file, at a place of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._place = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = os.pread(self._file.fileno(), len(buffer), self._place)
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)
