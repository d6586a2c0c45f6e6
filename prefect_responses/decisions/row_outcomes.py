"""How the row of a job can end, and what it takes to ask it again.

`REPLAY_RULES` is the only place that says when a row is asked again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    #: Not sent: a budget was used up.
    BUDGET = "budget"
    #: Not asked: this run was about other rows, a sample or a selection.
    NOT_SELECTED = "not_selected"
    #: Submitted and not ended yet.
    IN_FLIGHT = "in_flight"


class ReplayRule(StrEnum):
    """Say what it takes to ask a row again."""

    #: The row has its answer.
    NEVER = "never"
    #: An answer was paid for and is kept until a replay of its outcome is asked for.
    ON_REQUEST = "on_request"
    #: The next pass of the job submits it again by itself.
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
    RowOutcome.BUDGET: ReplayRule.RESUMES,
    RowOutcome.NOT_SELECTED: ReplayRule.RESUMES,
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

_OF_STATES: Mapping[AttemptState, RowOutcome] = {
    AttemptState.PLANNED: RowOutcome.PARKED,
    AttemptState.SUBMITTING: RowOutcome.IN_FLIGHT,
    AttemptState.SUBMITTED: RowOutcome.IN_FLIGHT,
    AttemptState.IN_DOUBT: RowOutcome.IN_DOUBT,
}
_OF_OUTCOMES: Mapping[Outcome, RowOutcome] = {
    Outcome.COMPLETED: RowOutcome.OK,
    Outcome.INCOMPLETE: RowOutcome.TRUNCATED,
    Outcome.FAILED: RowOutcome.FAILED,
    Outcome.CANCELLED: RowOutcome.CANCELLED,
    Outcome.EXPIRED: RowOutcome.EXPIRED,
    Outcome.REFUSED: RowOutcome.REFUSED,
    Outcome.ABANDONED: RowOutcome.ABANDONED,
    Outcome.SURPLUS: RowOutcome.FAILED,
}


def outcome_unread(state: AttemptState, outcome: Outcome | None) -> RowOutcome:
    """Return how a row ended as far as can be told without its body.

    Args:
        state: of the attempt that speaks for the row.
        outcome: how that attempt ended, or None.
    """
    return _OF_STATES[state] if outcome is None else _OF_OUTCOMES[outcome]
