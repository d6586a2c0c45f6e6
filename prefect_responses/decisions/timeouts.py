"""What a deadline came to: whether the response was cancelled, ended anyway, or goes on."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from prefect_responses.statuses import AttemptState, CancelAnswer, CancelReason, Outcome

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt

#: `error.error` of an attempt that was given up, unsent, because its deadline had passed.
DEADLINE_PASSED = "DeadlinePassed"


class TimeoutOutcome(StrEnum):
    """Say what became of a response whose deadline passed."""

    #: It was cancelled.
    CANCELLED = "cancelled"
    #: It had ended by itself, or did before the cancel reached it: its answer is kept.
    COMPLETED = "completed"
    #: The API would not cancel it, and it had not ended when it was last read.
    CANCEL_REFUSED = "cancel_refused"
    #: The cancel could not be delivered, or did not show: it is owed, and the harvester goes on.
    UNKNOWN = "unknown"
    #: The deadline passed before it could be sent: nothing was paid.
    NOT_SENT = "not_sent"


def timeout_outcome(attempt: Attempt) -> TimeoutOutcome | None:
    """Return what the deadline of *attempt* came to, or None if it had nothing to do with it."""
    if (attempt.error or {}).get("error") == DEADLINE_PASSED:
        return TimeoutOutcome.NOT_SENT
    if attempt.cancel_reason is not CancelReason.DEADLINE:
        return None
    if attempt.is_answered:
        return TimeoutOutcome.COMPLETED
    if attempt.outcome is Outcome.CANCELLED:
        return TimeoutOutcome.CANCELLED
    is_open = attempt.state is AttemptState.SUBMITTED
    if is_open and attempt.cancel_answer is CancelAnswer.REFUSED:
        return TimeoutOutcome.CANCEL_REFUSED
    return TimeoutOutcome.UNKNOWN if is_open else None
