"""Build the verb that settles an attempt from what was read of its response."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prefect_responses.ledger import Settle
from prefect_responses.statuses import OUTCOME_OF_STATUS, Outcome

#: Seconds that a response may have been at work before it is known here: some POSTs are answered
#: only when all is done.
_SLACK = 60.0
#: Beyond any time in seconds; a server that counts milliseconds is beyond it.
_END_OF_TIME = 1e11

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.attempt import Attempt
    from prefect_responses.errors import ApiError
    from prefect_responses.wire.responses import Response


def settle_as_read(  # noqa: PLR0913 - the facts of an end, all named
    attempt: Attempt,
    response: Response,
    body: bytes,
    *,
    polls: int,
    at: float,
    unfinished_at: float | None = None,
) -> Settle:
    """Return the verb that records the end of *response*, which must be terminal.

    Args:
        attempt: whose response it is.
        response: as it was read.
        body: the API's own bytes, kept as they are.
        polls: how often it was polled so far.
        at: when it was read, in seconds since the epoch.
        unfinished_at: when it was last seen at work, if it was watched since it was accepted: the
            latency is then known better than from the response itself.
    """
    return Settle(
        attempt.id,
        OUTCOME_OF_STATUS[response.status],
        at,
        remote_status=response.status,
        response=body,
        usage=response.usage,
        error=_reason(response),
        polls=polls,
        latency=_latency(attempt, response, at, unfinished_at),
    )


def settle_as_gone(attempt: Attempt, error: ApiError, *, polls: int, at: float) -> Settle:
    """Return the verb that records that the API no longer knows the response.

    Args:
        attempt: whose response it is.
        error: the API's own answer.
        polls: how often it was polled so far.
        at: when it was read, in seconds since the epoch.
    """
    kind, why = _why_gone(attempt.expires_at, at)
    record = {**error.as_record(), "error": kind, "message": f"{why} (HTTP {error.status})"}
    return Settle(attempt.id, Outcome.EXPIRED, at, error=record, polls=polls)


def _why_gone(expires_at: float | None, at: float) -> tuple[str, str]:
    elsewhere = "it was deleted, or these credentials belong to another project"
    if expires_at is None:
        return "ResponseMissing", f"its retention ended unread, {elsewhere}"
    if at < expires_at:
        return "ResponseMissing", elsewhere
    return "RetentionEnded", "its retention ended unread"


def _latency(
    attempt: Attempt, response: Response, at: float, unfinished_at: float | None
) -> float | None:
    """Return how long it took, or None if nobody can say: clocks are wrong, and are set back."""
    if unfinished_at is not None and attempt.submitted_at is not None:
        told = (unfinished_at + at) / 2.0 - attempt.submitted_at
    else:
        # Not from when it was read: one that is harvested a week late would teach a week.
        told = _moment(response.raw, "completed_at") - _moment(response.raw, "created_at")
    longest = math.inf if attempt.submitted_at is None else at - attempt.submitted_at + _SLACK
    return told if 0.0 <= told <= longest else None  # nor is NaN


def _moment(facts: Mapping[str, Any], name: str) -> float:
    """Return a time in seconds since the epoch; NaN if it is none."""
    value = facts.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return math.nan
    return float(value) if 0 < value < _END_OF_TIME else math.nan


def _reason(response: Response) -> dict[str, Any] | None:
    if (error := response.error) is not None:
        return {"error": "ResponseFailed", "message": error.message, "code": error.code}
    if (reason := response.incomplete_reason) is not None:
        return {"error": "ResponseIncomplete", "message": reason, "code": reason}
    return None
