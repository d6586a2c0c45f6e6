"""What goes into a row job and what comes out of it: rows, their keys, and how each ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.decisions.row_outcomes import (
    DEAD,
    REPLAY_RULES,
    REPLAYABLE,
    ReplayRule,
    RowOutcome,
)
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "DEAD",
    "REPLAYABLE",
    "REPLAY_RULES",
    "ReplayRule",
    "Row",
    "RowOutcome",
    "RowResult",
    "key_values",
    "row_key",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One row to enrich.

    Args:
        key: what the row is found by; see `row_key`.
        values: the text of each column.
    """

    key: str
    values: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class RowResult:
    """How one row ended.

    Args:
        key: the row's key.
        outcome: how it ended.
        parsed: the answer as JSON types by column, if `outcome` is ok.
        response_id: the API's ID, if it gave one.
        input_tokens: tokens read, or None where the API did not say.
        output_tokens: tokens written, reasoning included, or None where the API did not say.
        error: one sentence for people, or empty.
        cost: nano-USD that its attempt cost, or None where no price is known.
    """

    key: str
    outcome: RowOutcome
    parsed: Mapping[str, Any] | None = field(default=None, hash=False)
    response_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str = ""
    cost: int | None = None


def row_key(values: Sequence[str]) -> str:
    """Return the key of a row from the *values* of its key columns.

    One column is taken as it is. Several are written as a JSON array, so that ("a,b", "c") and
    ("a", "b,c") stay apart.

    Raises:
        TableInvalid: all values are blank, or one holds a NUL character, which ledgers cannot keep.
    """
    if not any(value.strip() for value in values):
        raise TableInvalid("The key is empty.")
    if any("\0" in value for value in values):
        raise TableInvalid("The key holds a NUL character.")
    return values[0] if len(values) == 1 else orjson.dumps(list(values)).decode()


def key_values(key: str, columns: int) -> tuple[str, ...]:
    """Return the values that `row_key` made *key* of; *columns* is how many there were.

    Raises:
        ValueError: *key* was not made of so many columns.
    """
    if columns == 1:
        return (key,)
    values = orjson.loads(key)
    if not isinstance(values, list) or len(values) != columns:
        raise ValueError(f"The key {key!r} is not made of {columns} columns.")
    return tuple(str(value) for value in values)
