"""Turn a settled attempt into what its caller gets: the answer, or the right error."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from prefect_responses.decisions.timeouts import TimeoutOutcome, timeout_outcome
from prefect_responses.errors import (
    LedgerInconsistent,
    RequestRefused,
    ResponseCancelled,
    ResponseExpired,
    ResponseFailed,
    ResponsesError,
    ResponseTimedOut,
    SubmissionInDoubt,
)
from prefect_responses.statuses import Outcome

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt


def failure_of(attempt: Attempt) -> ResponsesError | None:
    """Return the error that stands for how *attempt* ended, or None if it holds an answer."""
    timeout = timeout_outcome(attempt)
    if timeout is not None and timeout is not TimeoutOutcome.COMPLETED:
        return timed_out(attempt, timeout)
    return _failure(attempt)


_SENTENCES = {
    TimeoutOutcome.CANCELLED: (
        "was not done at its deadline and was cancelled. Retry the flow run to submit it once more."
    ),
    TimeoutOutcome.COMPLETED: "was done after its deadline.",
    TimeoutOutcome.CANCEL_REFUSED: (
        "was not done at its deadline, and the API would not cancel it. It may still be at work: "
        "a harvest keeps its end, and a Retry of the flow run looks at it again."
    ),
    TimeoutOutcome.UNKNOWN: (
        "was not done at its deadline, and has not ended since it was to be cancelled. A harvest "
        "delivers what is owed and keeps its end, and a Retry of the flow run looks at it again."
    ),
    TimeoutOutcome.NOT_SENT: (
        "could not be sent before its deadline; nothing was paid. Retry the flow run to submit it."
    ),
}


def timed_out(attempt: Attempt, outcome: TimeoutOutcome) -> ResponseTimedOut:
    """Return the error that says what the deadline of *attempt* came to."""
    what = f"Response {attempt.response_id}" if attempt.response_id else f"Attempt {attempt.id}"
    return ResponseTimedOut(
        f"{what} {_SENTENCES[outcome]}",
        outcome=outcome.value,
        deadline_at=attempt.deadline_at,
        response_id=attempt.response_id,
        attempt_id=attempt.id,
    )


def _failure(attempt: Attempt) -> ResponsesError | None:  # noqa: PLR0911 - one an outcome
    match attempt.outcome:
        case Outcome.COMPLETED | Outcome.INCOMPLETE:
            return None
        case Outcome.FAILED:
            return _unsuccessful(ResponseFailed, attempt, "failed")
        case Outcome.CANCELLED:
            return _unsuccessful(ResponseCancelled, attempt, "was cancelled")
        case Outcome.EXPIRED:
            return _unsuccessful(ResponseExpired, attempt, "is gone from the API")
        case Outcome.REFUSED:
            return RequestRefused.from_record(attempt.error or {})
        case Outcome.ABANDONED:
            return SubmissionInDoubt(
                attempt.id,
                f"Attempt {attempt.id} was given up without an answer. "
                "Retry the flow run to submit it once more.",
            )
        case Outcome.SURPLUS | None:
            return LedgerInconsistent(
                f"Attempt {attempt.id} is {attempt.outcome} and was returned."
            )
        case _:
            assert_never(attempt.outcome)


def _unsuccessful(
    kind: type[ResponseFailed | ResponseCancelled | ResponseExpired], attempt: Attempt, what: str
) -> ResponsesError:
    error = attempt.error or {}
    reason = f": {str(error['message']).rstrip('.')}" if error.get("message") else ""
    return kind(
        f"Response {attempt.response_id} {what}{reason}. "
        "Retry the flow run to submit it once more.",
        response_id=attempt.response_id,
        attempt_id=attempt.id,
        code=error.get("code"),
    )
