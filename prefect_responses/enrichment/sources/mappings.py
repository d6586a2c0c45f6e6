"""Mappings as a table: a list of them, a generator, or an asynchronous one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prefect_responses.enrichment.sources.cell_text import cell_text
from prefect_responses.enrichment.sources.spool import Spool, SpoolOnce
from prefect_responses.enrichment.sources.table import Record, listed
from prefect_responses.errors import TableEmpty, TableInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = Mapping[str, Any]

#: Rows that an event loop reads before it looks after others.
_AT_A_TIME = 1000


class MappingSource:
    """An iterable of mappings from column to value.

    The first row names the columns and their order; the others have the same. A collection such as
    a list is read again and again. What can be read only once, such as a generator, is read at the
    first need and kept in a temporary file, which is gone when the job or the process ends.

    Args:
        rows: the rows.
        columns: the columns, if rows may lack some (their text is empty) or have others (which are
            left out).

    Raises:
        TableInvalid: *rows* is no iterable of mappings.
    """

    def __init__(self, rows: Iterable[Row], *, columns: Sequence[str] | None = None) -> None:
        if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
            raise TableInvalid(f"A {type(rows).__name__} is no iterable of mappings.")
        self._rows = rows
        self._shape = Shape(columns)
        self._spool = SpoolOnce() if isinstance(rows, Iterator) else None

    def __repr__(self) -> str:
        return f"MappingSource({type(self._rows).__name__})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns.

        Raises:
            TableEmpty: there are no rows, and no columns were named.
            TableInvalid: the first row is no mapping.
        """
        if self._spool is not None:
            return self._spool.filled(self._fill).columns
        return self._shape.of(next(iter(self._rows), None))

    def __iter__(self) -> Iterator[Record]:
        if self._spool is not None:
            yield from self._spool.filled(self._fill)
            return
        columns = self.columns
        for number, row in enumerate(self._rows, start=1):
            texts = self._shape.texts(columns, number, row)
            yield Record(number, dict(zip(columns, texts, strict=True)))

    def _fill(self) -> Spool:
        rows = iter(self._rows)
        first = next(rows, None)
        spool = Spool(self._shape.of(first))
        number = 0
        while first is not None:
            number += 1
            spool.add(self._shape.texts(spool.columns, number, first))
            first = next(rows, None)
        spool.finish()
        return spool


class AsyncMappingSource:
    """An asynchronous iterable of mappings, read once and kept in a temporary file.

    `await source.read()` reads it on the running event loop; without that, it is read at the first
    need on a loop of its own. See `MappingSource` for columns and the file.

    Args:
        rows: the rows.
        columns: as of `MappingSource`.
    """

    def __init__(self, rows: AsyncIterable[Row], *, columns: Sequence[str] | None = None) -> None:
        self._rows = rows
        self._shape = Shape(columns)
        self._spool = SpoolOnce()

    def __repr__(self) -> str:
        return f"AsyncMappingSource({type(self._rows).__name__})"

    async def read(self) -> None:
        """Read all rows, unless that was done.

        Raises:
            TableInvalid: a row is no mapping, or does not have the columns of the first.
            TableEmpty: there are no rows, and no columns were named.
        """
        if self._spool.spool is None:
            self._spool.spool = await self._fill()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns; see `read` for errors."""
        return self._read_here().columns

    def __iter__(self) -> Iterator[Record]:
        yield from self._read_here()

    def _read_here(self) -> Spool:
        return self._spool.filled(lambda: asyncio.run(self._fill()))

    async def _fill(self) -> Spool:
        spool, number = None, 0
        async for row in self._rows:
            number += 1
            spool = spool or Spool(self._shape.of(row))
            spool.add(self._shape.texts(spool.columns, number, row))
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        spool = spool or Spool(self._shape.of(None))
        spool.finish()
        return spool


class Shape:
    """The columns that every mapping of a table has to have.

    Args:
        columns: these, whatever the rows have; or None: those of the first row.
    """

    def __init__(self, columns: Sequence[str] | None) -> None:
        self._chosen = None if columns is None else tuple(columns)

    def of(self, first: object) -> tuple[str, ...]:
        """Return the columns, given the first row or None.

        Raises:
            TableEmpty: there is no row, and no columns were named.
            TableInvalid: the row is no mapping, or a name is no text.
        """
        if self._chosen is not None:
            return self._chosen
        if first is None:
            raise TableEmpty
        columns: tuple[Any, ...] = tuple(_mapping(1, first))
        if odd := [name for name in columns if not isinstance(name, str)]:
            raise TableInvalid(f"A column is named {odd[0]!r}, which is no text.")
        return columns

    def texts(self, columns: tuple[str, ...], number: int, row: object) -> list[str]:
        """Return the text of each column of a row; *number* says which row it is.

        Raises:
            TableInvalid: the row does not have the columns, or a value has no form as text.
        """
        values = _mapping(number, row)
        if self._chosen is None and values.keys() != set(columns):
            raise _misfit(number, values, columns)
        try:
            return [cell_text(values.get(name)) for name in columns]
        except TableInvalid as error:
            raise TableInvalid(f"Row {number}: {error}") from error


def _mapping(number: int, row: object) -> Row:
    if not isinstance(row, Mapping):
        raise TableInvalid(f"Row {number} is no mapping but {type(row).__name__}.")
    return row


def _misfit(number: int, row: Row, columns: tuple[str, ...]) -> TableInvalid:
    lacks = [name for name in columns if name not in row]
    what = f"lacks {listed(lacks)}" if lacks else f"has also {listed([*(row.keys() - columns)])}"
    return TableInvalid(
        f"Row {number} {what}; the first row has {listed(columns)}. Name the columns with columns= "
        "to read what is missing as empty and to leave out the rest."
    )
