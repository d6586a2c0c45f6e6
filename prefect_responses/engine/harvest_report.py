"""What a harvest did, and what it found that needs a person: counts, names, never a body."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prefect_responses.engine.report_text import escaped, markdown_table, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prefect_responses.attempt import Attempt

#: Attempts of one kind that a report names; the others are counted.
SHOWN = 50
_SHOWN_IN_LINES = 10
_LONGEST_NOTE = 300


class Happened(StrEnum):
    """Name what a harvest counts, in the order in which a report says it."""

    READ = "read"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    LATE = "late"
    AT_WORK = "at_work"
    UNREAD = "unread"
    CANCELS_TAKEN = "cancels_taken"
    CANCELS_REFUSED = "cancels_refused"
    CANCELS_OWED = "cancels_owed"
    DEADLINES_REFUSED = "deadlines_refused"
    DEADLINES_OPEN = "deadlines_open"
    GIVEN_UP = "given_up"
    ORPHANED = "orphaned"
    DOUBTED = "doubted"
    WARNED = "warned"


_TITLES: Mapping[Happened, str] = {
    Happened.READ: "responses read",
    Happened.COMPLETED: "completed",
    Happened.INCOMPLETE: "cut short",
    Happened.FAILED: "failed",
    Happened.CANCELLED: "cancelled",
    Happened.TIMED_OUT: "cancelled at their deadline",
    Happened.EXPIRED: "gone from the API after their retention",
    Happened.LATE: "completed after their cancel, and kept",
    Happened.AT_WORK: "still at work",
    Happened.UNREAD: "could not be read",
    Happened.CANCELS_TAKEN: "cancels that the API took",
    Happened.CANCELS_REFUSED: "cancels that the API refused: already ended, or not cancellable",
    Happened.CANCELS_OWED: "cancels still owed",
    Happened.DEADLINES_REFUSED: "past their deadline, and the API will not cancel them",
    Happened.DEADLINES_OPEN: "past their deadline, and not known to be cancelled",
    Happened.GIVEN_UP: "never sent, and given up",
    Happened.ORPHANED: "newly found to be nobody's",
    Happened.DOUBTED: "newly in doubt: their process died while it was submitting",
    Happened.WARNED: "newly warned of: they may be lost unread",
}

#: What is found anew by each harvest, although nothing has happened.
_STANDING = frozenset({Happened.READ, Happened.AT_WORK})


@dataclass(frozen=True, slots=True)
class NamedAttempt:
    """One attempt that a report names.

    Args:
        attempt_id: the ledger's ID.
        name: what tells it from others of its scope.
        scope: within which its name counts.
        response_id: the API's ID, if it is known.
        flow_run_id: the flow run that wanted it last, if one did.
        note: what a person needs to know or do, in one line.
    """

    attempt_id: str
    name: str
    scope: str
    response_id: str | None
    flow_run_id: str | None
    note: str

    @classmethod
    def of(cls, attempt: Attempt, note: str) -> NamedAttempt:
        """Name *attempt*, with a *note*."""
        return cls(
            attempt.id,
            attempt.name,
            attempt.scope,
            attempt.response_id,
            attempt.flow_run_id,
            plain(note, _LONGEST_NOTE),
        )


@dataclass(slots=True)
class Listing:
    """Attempts of one kind: all counted, the first ones named."""

    count: int = 0
    named: list[NamedAttempt] = field(default_factory=list)

    def add(self, attempt: Attempt, note: str) -> None:
        """Count *attempt*, and name it while there is room."""
        self.count += 1
        if len(self.named) < SHOWN:
            self.named.append(NamedAttempt.of(attempt, note))


@dataclass(frozen=True, slots=True)
class LeftAccount:
    """An account whose responses were left as they are.

    Args:
        credentials: the reference to its key, as the ledger has it.
        base_url: its endpoint.
        reason: why, in one sentence.
        unread: how many responses were not read.
    """

    credentials: str
    base_url: str
    reason: str
    unread: int


@dataclass(frozen=True, slots=True)
class HarvestReport:
    """What one harvest did and found.

    Args:
        counts: how often each thing happened; what did not happen is left out.
        in_doubt: attempts that may have been accepted; a person must say.
        missing: responses that the API does not know although it must still keep them: the wrong
            key or project, or somebody deleted them.
        expiring: responses that may be lost soon because they cannot be read.
        orphaned: attempts that no call of their completed flow run asked for, found just now.
        left: accounts that could not be used.
        skipped: what was not looked at, and why.
        seconds: how long the harvest took.
    """

    counts: Mapping[Happened, int]
    in_doubt: Listing
    missing: Listing
    expiring: Listing
    orphaned: Listing
    left: tuple[LeftAccount, ...]
    skipped: tuple[str, ...]
    seconds: float

    @property
    def needs_a_person(self) -> bool:
        """Tell whether something was found that no later harvest will put right by itself."""
        return bool(self.in_doubt.count or self.missing.count or self.expiring.count or self.left)

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing happened that is worth a page of its own."""
        return not self.needs_a_person and set(self.counts) <= _STANDING

    def without_events(self, dropped: int) -> HarvestReport:
        """Return this report, saying that *dropped* events could not be sent."""
        if not dropped:
            return self
        sentence = f"{dropped:,} events could not be sent to Prefect; the ledger has the facts."
        return replace(self, skipped=(*self.skipped, sentence))

    def headline(self) -> str:
        """Return the harvest in one line."""
        told = ", ".join(f"{title} {count:,}" for title, count in self._counted())
        return f"Harvested in {self.seconds:,.1f} s: {told or 'nothing was due'}."

    def as_lines(self) -> list[str]:
        """Return short plain lines for a terminal or a log."""
        lines = [self.headline(), *self.skipped]
        for left in self.left:
            lines.append(
                f"Left: {plain(left.credentials)} at {left.base_url}, {left.unread:,} unread:"
            )
            lines.append(f"  {plain(left.reason, _LONGEST_NOTE)}")
        for title, listing in self._listings():
            lines.append(f"{title} ({listing.count:,}):")
            lines += [f"  {_line(one)}" for one in listing.named[:_SHOWN_IN_LINES]]
            lines += _rest(listing, _SHOWN_IN_LINES)
        return lines

    def as_markdown(self) -> str:
        """Return Markdown for an artifact; text from outside is escaped, so it stays text."""
        counted = [(title, f"{count:,}") for title, count in self._counted()]
        blocks = [
            "# Harvest",
            f"{self.seconds:,.1f} s.",
            markdown_table(("what", "count"), counted) if counted else "Nothing was due.",
            *(escaped(sentence, _LONGEST_NOTE) for sentence in self.skipped),
        ]
        if self.left:
            rows = [
                (escaped(one.credentials), escaped(one.base_url), f"{one.unread:,}", _said(one))
                for one in self.left
            ]
            blocks.append("## Accounts that could not be used")
            blocks.append(markdown_table(("credentials", "endpoint", "unread", "why"), rows))
        for title, listing in self._listings():
            blocks += [f"## {title} ({listing.count:,})", _table(listing), *_rest(listing, SHOWN)]
        return "\n\n".join(blocks) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self) | {
            "counts": {str(what): count for what, count in self.counts.items()},
            "needs_a_person": self.needs_a_person,
        }

    def _counted(self) -> Iterator[tuple[str, int]]:
        return ((_TITLES[what], self.counts[what]) for what in Happened if what in self.counts)

    def _listings(self) -> Iterator[tuple[str, Listing]]:
        listings = {
            "In doubt: look on the server, then say what you found": self.in_doubt,
            "Not found although it must still be kept: wrong key or project, or deleted": (
                self.missing
            ),
            "May be lost soon, and cannot be read": self.expiring,
            "Nobody's: their flow run completed without asking for them": self.orphaned,
        }
        return ((title, listing) for title, listing in listings.items() if listing.count)


def _line(one: NamedAttempt) -> str:
    response = f" ({plain(one.response_id)})" if one.response_id else ""
    return f"{one.attempt_id}: {plain(one.name)} in {plain(one.scope)}{response}: {one.note}"


def _rest(listing: Listing, shown: int) -> list[str]:
    left = listing.count - min(shown, len(listing.named))
    return [f"  and {left:,} more"] if left > 0 else []


def _said(left: LeftAccount) -> str:
    return escaped(left.reason, _LONGEST_NOTE)


def _table(listing: Listing) -> str:
    rows = (
        (one.attempt_id, *map(escaped, (one.name, one.scope, one.response_id or "")), _note(one))
        for one in listing.named
    )
    return markdown_table(("attempt", "call", "scope", "response", "what to do or know"), rows)


def _note(one: NamedAttempt) -> str:
    return escaped(one.note, _LONGEST_NOTE)
