"""Which rows of a table a pass is about, by what they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from prefect_responses.errors import RequestInvalid

if TYPE_CHECKING:
    from prefect_responses.enrichment.rows import Row

#: By column the value, or the values, that a row may have there; or a function of the row.
Where: TypeAlias = Mapping[str, Any] | Callable[["Row"], bool]


def columns_of(where: Where | None) -> tuple[str, ...]:
    """Return the columns that *where* names."""
    return tuple(where) if isinstance(where, Mapping) else ()


def row_filter(where: Where | None) -> Callable[[Row], bool]:
    """Return the function that tells whether a row is wanted.

    Values are compared as text, as a table holds them.

    Raises:
        RequestInvalid: *where* is neither a mapping nor a function.
    """
    if where is None:
        return _every
    if isinstance(where, Mapping):
        wanted = {column: _texts(value) for column, value in where.items()}
        return lambda row: all(row.values.get(name) in texts for name, texts in wanted.items())
    if callable(where):
        return where
    raise RequestInvalid("where= takes a mapping of columns to values, or a function of a row.")


def _every(row: Row) -> bool:
    del row
    return True


def _texts(value: Any) -> frozenset[str]:
    values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return frozenset(str(each) for each in values)
