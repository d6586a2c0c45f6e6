"""What goes into a row job and what comes out of it: rows, their keys, and how each ended.

`REPLAY_RULES` is the only place that says when a row is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RowOutcome(StrEnum):
    """Name how one row ended, or why it has not."""

    #: Answered, and the answer has the type that was asked for.
    OK = "ok"
    #: The model declined to answer.
    REFUSAL = "refusal"
    #: Cut short, by `max_output_tokens` as a rule.
    TRUNCATED = "truncated"
    #: Answered with text that is not a JSON object.
    INVALID_JSON = "invalid_json"
    #: Answered with JSON that does not have the type that was asked for.
    SCHEMA = "schema"
    #: Cut short by the API's content filter.
    CONTENT_FILTER = "content_filter"
    #: Completed without any answer text.
    EMPTY = "empty"
    #: The API reports that the response failed.
    FAILED = "failed"
    #: The response was cancelled.
    CANCELLED = "cancelled"
    #: The API no longer knows the response, and nobody had read it.
    EXPIRED = "expired"
    #: The API refused the request of this row.
    REFUSED = "refused"
    #: In doubt, and given up.
    ABANDONED = "abandoned"
    #: A POST may have been accepted; a person or a policy decides.
    IN_DOUBT = "in_doubt"
    #: Not sent: the job stopped for credentials, quota or the model.
    PARKED = "parked"
    #: Submitted and not ended yet.
    IN_FLIGHT = "in_flight"


class ReplayRule(StrEnum):
    """Say what it takes to ask a row again."""

    #: The row has its answer.
    NEVER = "never"
    #: An answer was paid for and is kept until a replay of its outcome is asked for.
    ON_REQUEST = "on_request"
    #: The next run of the job submits it again by itself.
    NEXT_RUN = "next_run"
    #: Nothing to submit again: the next run goes on where this one stopped.
    RESUMES = "resumes"
    #: It has to be found out first whether the API accepted it.
    WHEN_RESOLVED = "when_resolved"


REPLAY_RULES: Mapping[RowOutcome, ReplayRule] = {
    RowOutcome.OK: ReplayRule.NEVER,
    RowOutcome.REFUSAL: ReplayRule.ON_REQUEST,
    RowOutcome.TRUNCATED: ReplayRule.ON_REQUEST,
    RowOutcome.INVALID_JSON: ReplayRule.ON_REQUEST,
    RowOutcome.SCHEMA: ReplayRule.ON_REQUEST,
    RowOutcome.CONTENT_FILTER: ReplayRule.ON_REQUEST,
    RowOutcome.EMPTY: ReplayRule.ON_REQUEST,
    RowOutcome.FAILED: ReplayRule.NEXT_RUN,
    RowOutcome.CANCELLED: ReplayRule.NEXT_RUN,
    RowOutcome.EXPIRED: ReplayRule.NEXT_RUN,
    RowOutcome.REFUSED: ReplayRule.NEXT_RUN,
    RowOutcome.ABANDONED: ReplayRule.NEXT_RUN,
    RowOutcome.IN_DOUBT: ReplayRule.WHEN_RESOLVED,
    RowOutcome.PARKED: ReplayRule.RESUMES,
    RowOutcome.IN_FLIGHT: ReplayRule.RESUMES,
}

#: Outcomes that a replay can be asked for by name.
REPLAYABLE = frozenset(
    outcome for outcome, rule in REPLAY_RULES.items() if rule is ReplayRule.ON_REQUEST
)

#: Outcomes of rows that ended without a usable answer.
DEAD = REPLAYABLE | frozenset(
    outcome for outcome, rule in REPLAY_RULES.items() if rule is ReplayRule.NEXT_RUN
)


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
    """

    key: str
    outcome: RowOutcome
    parsed: Mapping[str, Any] | None = field(default=None, hash=False)
    response_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str = ""


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
