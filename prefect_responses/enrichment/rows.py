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
    "OVER_BUDGET",
    "REPLAYABLE",
    "REPLAY_RULES",
    "ReplayRule",
    "Row",
    "RowOutcome",
    "RowResult",
    "key_values",
    "row_key",
]


#: Bytes that a row's key may have: PostgreSQL's indexes take little more.
LONGEST_KEY = 2000


#: What is said of a row that is not sent whatever else the job spends.
OVER_BUDGET = "It alone may take more than the whole budget: raise the budget, or ask less of it."


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
        TableInvalid: all values are blank, or one holds a NUL character, which ledgers cannot keep,
            or the key is longer than they take; the message does not quote it.
    """
    whole = "".join(values)
    if not whole.strip():
        raise TableInvalid("The key is empty.")
    if "\0" in whole:
        raise TableInvalid("The key holds a NUL character.")
    key = values[0] if len(values) == 1 else orjson.dumps(list(values)).decode()
    # Few keys are measured: a character has four bytes at most.
    if len(key) > LONGEST_KEY // 4 and len(key.encode(errors="surrogatepass")) > LONGEST_KEY:
        raise TableInvalid(f"The key is longer than {LONGEST_KEY} bytes in UTF-8.")
    return key


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
