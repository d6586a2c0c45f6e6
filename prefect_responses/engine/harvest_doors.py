"""What a harvest needs of the world outside: accounts, flow runs, and somebody to tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from prefect_responses.statuses import CancelReason, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from prefect_responses.attempt import Attempt, Endpoint
    from prefect_responses.engine.polling import Look


class Reader(Protocol):
    """Read and cancel the responses of one account; `DurableResponses` is one."""

    async def look(self, attempt: Attempt) -> Look:
        """Read the response of *attempt* once, and record what is news."""

    async def deliver_cancel(self, attempt: Attempt) -> Attempt:
        """Send the cancel that *attempt* owes, and read it once more."""


class Accounts(Protocol):
    """Open accounts by what the ledger says of them."""

    async def open(self, credentials: str, endpoint: Endpoint) -> Reader:
        """Return the account that *credentials* refers to, for that endpoint and no other.

        Raises:
            ResponsesError: the credentials are not there, or cannot be asked for.
        """


@dataclass(frozen=True, slots=True)
class Ended:
    """Flow runs that have ended for good. Those that failed or crashed may yet be retried.

    Args:
        cancelled: IDs of the runs that were cancelled.
        completed: of the runs that completed, the ID of the last Running state.
    """

    cancelled: frozenset[str] = frozenset()
    completed: Mapping[str, str] = field(default_factory=dict, hash=False)


class FlowRuns(Protocol):
    """Ask how flow runs ended."""

    async def ended(self, flow_run_ids: Collection[str]) -> Ended:
        """Return those of *flow_run_ids* that ended for good.

        Raises:
            ResponsesError: they could not be asked for; nothing is known of any.
        """


class ResponseEvent(StrEnum):
    """Name what is told of one response."""

    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    TIMED_OUT = "timed_out"
    ORPHANED = "orphaned"
    IN_DOUBT = "in_doubt"

    @classmethod
    def of_end(cls, attempt: Attempt) -> ResponseEvent | None:
        """Return what a settled attempt is told as, or None if no response ended."""
        if attempt.outcome is Outcome.CANCELLED and attempt.cancel_reason is CancelReason.DEADLINE:
            return cls.TIMED_OUT
        return _OF_OUTCOME.get(attempt.outcome) if attempt.outcome is not None else None


_OF_OUTCOME = {
    Outcome.COMPLETED: ResponseEvent.COMPLETED,
    Outcome.FAILED: ResponseEvent.FAILED,
    Outcome.INCOMPLETE: ResponseEvent.INCOMPLETE,
    Outcome.CANCELLED: ResponseEvent.CANCELLED,
    Outcome.EXPIRED: ResponseEvent.EXPIRED,
}


@dataclass(slots=True)
class Expiring:
    """What is told at once of all responses that may be lost unread.

    Args:
        count: how many there are.
        missing: how many of them the API says it does not know.
        soonest: when the first of them may be gone, in seconds since the epoch.
        response_ids: some of them, the soonest first.
        flow_run_ids: some of the flow runs that they belong to.
    """

    count: int = 0
    missing: int = 0
    soonest: float | None = None
    response_ids: list[str] = field(default_factory=list)
    flow_run_ids: list[str] = field(default_factory=list)


class Events(Protocol):
    """Tell the world. Telling is best effort: it neither fails nor delays a harvest for long."""

    def response(self, event: ResponseEvent, attempt: Attempt) -> None:
        """Tell of one response, after the ledger has committed it. It must not wait or raise."""

    async def expiring(self, warning: Expiring) -> bool:
        """Warn of all responses that may be lost, once; return whether the warning arrived."""


class Untold:
    """Events that nobody is told of."""

    def response(self, event: ResponseEvent, attempt: Attempt) -> None:
        """Tell nobody."""

    async def expiring(self, warning: Expiring) -> bool:
        """Tell nobody."""
        del warning
        return False
