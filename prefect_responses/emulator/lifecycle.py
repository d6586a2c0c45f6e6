"""The status of a response as a function of time.

Nothing runs in the background: a response gets its whole timeline when it is accepted, and its
status is computed from the timeline and the clock whenever somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Status(StrEnum):
    """What the API says of a response."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.INCOMPLETE, Status.CANCELLED})

#: Where a response may go from each status. `cancelled` to `completed` is the race that real
#: servers have shown; it happens only where a fault asks for it.
MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.IN_PROGRESS, *TERMINAL}),
    Status.IN_PROGRESS: TERMINAL,
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.INCOMPLETE: frozenset(),
    Status.CANCELLED: frozenset({Status.COMPLETED}),
}


@dataclass(frozen=True, slots=True)
class Timeline:
    """When a response is accepted, starts and ends, and how it ends."""

    accepted_at: float
    starts_at: float
    ends_at: float
    ending: Status
    cancelled_at: float | None = None
    completes_anyway_at: float | None = None

    def status_at(self, now: float) -> Status:
        """Tell the status at a moment."""
        if self.completes_anyway_at is not None and now >= self.completes_anyway_at:
            return Status.COMPLETED
        if self.cancelled_at is not None:
            return Status.CANCELLED
        if now >= self.ends_at:
            return self.ending
        return Status.IN_PROGRESS if now >= self.starts_at else Status.QUEUED

    def terminal_at(self) -> float:
        """Tell when the response reaches, or reached, its first terminal status."""
        return self.ends_at if self.cancelled_at is None else self.cancelled_at

    def cancelled(self, now: float, completes_after: float | None = None) -> Timeline:
        """End the timeline now, or end it twice: a cancelled response that completes anyway."""
        anyway = None if completes_after is None else now + completes_after
        return replace(self, cancelled_at=now, completes_anyway_at=anyway)

    def started_at_once(self) -> Timeline:
        """Skip the queue."""
        return replace(self, starts_at=self.accepted_at)
