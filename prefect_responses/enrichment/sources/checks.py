"""What is checked in one pass over a table before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from prefect_responses.enrichment.key_sets import KeySet, key_hash
from prefect_responses.enrichment.rows import Row, row_key
from prefect_responses.enrichment.sources.table import listed
from prefect_responses.errors import ColumnMissing, RowKeyDuplicate, TableEmpty, TableInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prefect_responses.enrichment.sources.table import Source


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
    return (row for _, row in numbered_rows(source, key_columns(key)))


def numbered_rows(source: Source, names: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """Read the rows of *source* with their keys, each with the line that it stands on.

    Raises:
        TableInvalid: a row cannot be read or has no key.
    """
    for record in source:
        try:
            key = row_key([record.values[name] for name in names])
        except TableInvalid as error:
            raise TableInvalid(f"Line {record.line} ({listed(names)}): {error}") from error
        yield record.line, Row(key, record.values)


def check_table(
    source: Source, key: str | Sequence[str], columns_needed: Iterable[str]
) -> TableCheck:
    """Read *source* once and refuse what a job could not do; nothing is sent or written.

    It keeps 8 bytes for each key, and nothing else of the rows.

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
    keys = KeySet()
    for _, row in numbered_rows(source, names):
        keys.add(row.key)
    check_keys(source, names, keys)
    return TableCheck(len(keys))


def check_keys(source: Source, names: tuple[str, ...], keys: KeySet) -> None:
    """Refuse a table without rows, or with a key twice; *keys* are all that it has.

    It is read again only where two keys look the same.

    Raises:
        TableEmpty: the table has no rows.
        RowKeyDuplicate: two rows share a key.
    """
    if not len(keys):
        raise TableEmpty("The table has a header and no rows.")
    if twice := set(keys.twice()):
        first: dict[str, int] = {}
        for line, row in numbered_rows(source, names):
            if key_hash(row.key) not in twice:
                continue
            if row.key in first:
                raise _duplicate(names, row.key, first[row.key], line)
            first[row.key] = line


def check_columns(columns: Sequence[str], needed: Iterable[str]) -> None:
    """Refuse *needed* columns that are not among *columns*, naming what comes close.

    Raises:
        ColumnMissing: at least one is not there.
    """
    missing = [name for name in dict.fromkeys(needed) if name not in columns]
    if missing:
        hints = (_near_miss(name, columns) for name in missing)
        raise ColumnMissing(
            f"The table has no column {listed(missing)}.{''.join(hints)} "
            f"Its columns: {listed(columns)}."
        )


def _near_miss(name: str, columns: Sequence[str]) -> str:
    folded = {column.strip().casefold(): column for column in columns}
    close = get_close_matches(name.strip().casefold(), folded, n=1)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def _duplicate(names: tuple[str, ...], key: str, first: int, line: int) -> RowKeyDuplicate:
    return RowKeyDuplicate(
        f"Lines {first} and {line} share the key {key!r} ({listed(names)}): "
        "each row needs its own; add a column to the key or remove a row."
    )
