"""Build the verb that settles an attempt from what was read of its response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_responses.ledger import Settle
from prefect_responses.statuses import OUTCOME_OF_STATUS

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.wire.responses import Response


def settle_as_read(
    attempt: Attempt, response: Response, body: bytes, *, polls: int, at: float
) -> Settle:
    """Return the verb that records the end of *response*, which must be terminal.

    Args:
        attempt: whose response it is.
        response: as it was read.
        body: the API's own bytes, kept as they are.
        polls: how often it was polled so far.
        at: seconds since the epoch.
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
    )


def _reason(response: Response) -> dict[str, Any] | None:
    if (error := response.error) is not None:
        return {"error": "ResponseFailed", "message": error.message, "code": error.code}
    if (reason := response.incomplete_reason) is not None:
        return {"error": "ResponseIncomplete", "message": reason, "code": reason}
    return None
