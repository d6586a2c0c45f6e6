"""What a table is to a row job: columns of text that can be read again and again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SHOWN_COLUMNS = 30


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


def different(columns: Sequence[str], place: str) -> tuple[str, ...]:
    """Return *columns* as they are; *place* is how people know the table.

    Raises:
        TableInvalid: two share a name.
    """
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise TableInvalid(f"{place} has more than one column {listed(twice)}: rename them.")
    return tuple(columns)


def listed(names: Sequence[str]) -> str:
    """Return *names* for a sentence, without filling the screen."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN_COLUMNS])
    left = len(names) - _SHOWN_COLUMNS
    return f"{shown} and {left} more" if left > 0 else shown
