"""A file of JSON lines as a table."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from prefect_responses.enrichment.sources.mappings import Shape
from prefect_responses.enrichment.sources.table import Record
from prefect_responses.errors import TableEmpty, TableInvalid

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence


class JsonlSource:
    """A file with one JSON object on each line, in UTF-8.

    The first object names the columns and their order; the others have the same. Blank lines are
    skipped. Values become text as `cell_text` says. The file may not change while a job reads it.

    Args:
        path: the file.
        columns: the columns, if objects may lack some (their text is empty) or have others (which
            are left out).
    """

    def __init__(
        self, path: str | os.PathLike[str], *, columns: Sequence[str] | None = None
    ) -> None:
        self._path = Path(path)
        self._shape = Shape(columns)

    def __repr__(self) -> str:
        return f"JsonlSource({str(self._path)!r})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Read the first object and return its names, or those that were chosen.

        Raises:
            TableInvalid: the file cannot be read, or its first line is no JSON object.
            TableEmpty: the file has no lines, and no columns were named.
        """
        with self._objects() as objects:
            return self._columns(next(objects, (1, None))[1])

    def __iter__(self) -> Iterator[Record]:
        columns: tuple[str, ...] | None = None
        with self._objects() as objects:
            for number, found in objects:
                columns = columns or self._columns(found)
                try:
                    texts = self._shape.texts(columns, number, found)
                except TableInvalid as error:
                    raise TableInvalid(f"{self._path}: {error}") from error
                yield Record(number, dict(zip(columns, texts, strict=True)))

    def _columns(self, first: object) -> tuple[str, ...]:
        try:
            return self._shape.of(first)
        except TableEmpty as error:
            raise TableEmpty(f"{self._path} has no rows: it is empty.") from error

    @contextmanager
    def _objects(self) -> Iterator[Iterator[tuple[int, dict[str, Any]]]]:
        try:
            with self._path.open("rb") as file:
                yield (
                    (number, self._object(number, line))
                    for number, line in enumerate(file, start=1)
                    if line.strip()
                )
        except FileNotFoundError as error:
            raise TableInvalid(f"There is no file {self._path}.") from error
        except OSError as error:
            raise TableInvalid(f"{self._path} cannot be read: {error.strerror}.") from error

    def _object(self, number: int, line: bytes) -> dict[str, Any]:
        # The json module, because it tells of a name that is given twice and keeps every digit of
        # a whole number.
        try:
            found = _decoder.decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except ValueError as error:
            raise TableInvalid(f"Line {number} of {self._path} is no JSON: {error}.") from error
        if not isinstance(found, dict):
            raise TableInvalid(f"Line {number} of {self._path} is JSON, but no object.")
        return found


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has more than one {twice!r}")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(object_pairs_hook=_object_of, parse_constant=_refuse_constant)
