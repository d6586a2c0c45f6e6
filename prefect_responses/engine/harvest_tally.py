"""What one harvest has done so far: counted as it happens, and told to whoever listens."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prefect_responses.engine.harvest_doors import ResponseEvent
from prefect_responses.engine.harvest_report import Happened, HarvestReport, Listing
from prefect_responses.statuses import CancelAnswer, Outcome

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.harvest_accounts import AccountBook
    from prefect_responses.engine.harvest_doors import Events

_COUNTED_AS = {
    ResponseEvent.COMPLETED: Happened.COMPLETED,
    ResponseEvent.FAILED: Happened.FAILED,
    ResponseEvent.INCOMPLETE: Happened.INCOMPLETE,
    ResponseEvent.CANCELLED: Happened.CANCELLED,
    ResponseEvent.EXPIRED: Happened.EXPIRED,
    ResponseEvent.TIMED_OUT: Happened.TIMED_OUT,
    ResponseEvent.ORPHANED: Happened.ORPHANED,
    ResponseEvent.IN_DOUBT: Happened.DOUBTED,
}

_ENDS = (
    Happened.COMPLETED,
    Happened.INCOMPLETE,
    Happened.FAILED,
    Happened.CANCELLED,
    Happened.TIMED_OUT,
    Happened.EXPIRED,
)


class Tally:
    """Count what happens in one harvest. It observes the engines that the harvest uses.

    Only what this harvest moved in the ledger is counted and told: of two harvesters, one each.

    Args:
        events: who is told.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        #: What is being done, in a few words.
        self.step = "beginning"
        self.counts: Counter[Happened] = Counter()
        self.in_doubt, self.missing = Listing(), Listing()
        self.expiring, self.orphaned = Listing(), Listing()
        self.skipped: list[str] = []

    def add(self, what: Happened, count: int = 1) -> None:
        """Count *what*."""
        self.counts[what] += count

    def happened(self, event: ResponseEvent, attempt: Attempt) -> None:
        """Count *event* of *attempt*, and tell it."""
        self.add(_COUNTED_AS[event])
        self.events.response(event, attempt)

    def answered_cancel(self, attempt: Attempt) -> None:
        """Count what the API said to the cancel of *attempt*."""
        if attempt.owes_cancel:
            self.add(Happened.CANCELS_OWED)
        elif attempt.cancel_answer is CancelAnswer.TAKEN:
            self.add(Happened.CANCELS_TAKEN)
        elif attempt.cancel_answer is not None:
            self.add(Happened.CANCELS_REFUSED)

    def settled(self, attempt: Attempt) -> None:
        """Hear from an engine that it recorded how *attempt* ended."""
        if attempt.outcome is Outcome.ABANDONED:
            self.add(Happened.GIVEN_UP)
        if attempt.is_answered and attempt.cancel_answer is CancelAnswer.TAKEN:
            self.add(Happened.LATE)
        if (event := ResponseEvent.of_end(attempt)) is not None:
            self.happened(event, attempt)

    def as_line(self) -> str:
        """Tell how far the harvest is, in a few words."""
        read, ended = self.counts[Happened.READ], sum(self.counts[one] for one in _ENDS)
        return f"{self.step}: {read:,} read, {ended:,} ended"

    def submitted(self, attempt: Attempt) -> None:
        """Hear nothing: a harvest submits nothing."""

    def resubmitted(self, abandoned: Attempt, successor: Attempt) -> None:
        """Hear nothing: a harvest submits nothing."""

    def report(self, book: AccountBook, seconds: float) -> HarvestReport:
        """Return what happened, as it is reported."""
        return HarvestReport(
            counts={what: self.counts[what] for what in Happened if self.counts[what]},
            in_doubt=self.in_doubt,
            missing=self.missing,
            expiring=self.expiring,
            orphaned=self.orphaned,
            left=book.left(),
            skipped=tuple(self.skipped),
            seconds=seconds,
        )
