"""Read what is due, keep what has ended, and warn of what may be lost unread."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect_responses.engine.abreast import each_abreast, one_by_one
from prefect_responses.engine.harvest_doors import Expiring
from prefect_responses.engine.harvest_report import Happened
from prefect_responses.engine.settlement import settle_as_gone
from prefect_responses.errors import IllegalMove
from prefect_responses.ledger import MarkWarned
from prefect_responses.wire.requests import STORED_FOR

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.engine.harvest_accounts import AccountBook
    from prefect_responses.engine.harvest_tally import Tally
    from prefect_responses.engine.polling import Look
    from prefect_responses.errors import ApiError
    from prefect_responses.ledger import Ledger

#: Seconds before a response may be gone in which it is warned of, if it cannot be read.
WARN_BEFORE = 86_400.0
#: Share of its retention after which a response that is kept only shortly is warned of.
_WARN_SHARE = 0.5
#: Attempts that one harvest warns of at most; the next one goes on.
_MOST_WARNED = 10_000
_NAMED_IN_WARNING = 20


@dataclass(frozen=True, slots=True)
class Choices:
    """What a user may say about a harvest.

    Args:
        limit: how many due responses are read at most; the soonest-expiring first.
        warn_before: seconds before a response may be gone in which it is warned of.
        cancel_orphans: cancel what no call of a completed flow run asked for.
        abreast: responses that are read or cancelled at once.
    """

    limit: int | None = None
    warn_before: float = WARN_BEFORE
    cancel_orphans: bool = False
    abreast: int = 100


@dataclass(frozen=True, slots=True)
class Round:
    """What the steps of one harvest share."""

    ledger: Ledger
    book: AccountBook
    tally: Tally
    clock: Clock
    choices: Choices


@dataclass(slots=True)
class _Warning:
    """What is going to be warned of."""

    told: Expiring = field(default_factory=Expiring)
    attempt_ids: list[str] = field(default_factory=list)

    def add(self, attempt: Attempt, *, missing: bool) -> None:
        self.attempt_ids.append(attempt.id)
        told, expiry = self.told, kept_until(attempt)
        told.count += 1
        told.missing += missing
        told.soonest = expiry if told.soonest is None else min(told.soonest, expiry)
        _name(told.response_ids, attempt.response_id)
        _name(told.flow_run_ids, attempt.flow_run_id)


def _name(named: list[str], one: str | None) -> None:
    if one is not None and len(named) < _NAMED_IN_WARNING and one not in named:
        named.append(one)


def kept_until(attempt: Attempt) -> float:
    """Return until when the API keeps the response at least, in seconds since the epoch."""
    if attempt.expires_at is not None:
        return attempt.expires_at
    return (attempt.submitted_at or attempt.planned_at) + STORED_FOR


class Reads:
    """Read the responses of a round.

    Args:
        round_: what is shared.
    """

    def __init__(self, round_: Round) -> None:
        self._round = round_
        self._warning = _Warning()

    async def look(self, attempt: Attempt) -> Look | None:
        """Read one response once; None if its account was left."""
        book = self._round.book
        reader = await book.reader_for(attempt)
        if reader is None:
            return None
        self._round.tally.add(Happened.READ)
        look = await reader.look(attempt)
        if look.error is None or look.missing:
            book.worked(attempt)
        else:
            book.failed(attempt, look.error)
        return look

    async def read_due(self) -> None:
        """Read every submitted response, whoever owns it, and settle what has ended.

        After a crash the next harvest reads again: nothing is lost.
        """
        due = self._round.ledger.due(self._round.choices.limit)
        await each_abreast(due, self._read, self._round.choices.abreast)

    async def read_watched(self) -> None:
        """Read the cancelled responses that may still turn out completed; such an end is kept."""
        watched = await self._round.ledger.watched(self._round.clock.now())
        await each_abreast(one_by_one(watched), self.look, self._round.choices.abreast)

    async def _read(self, attempt: Attempt) -> None:
        look = await self.look(attempt)
        if look is not None and look.error is None:
            if not look.attempt.is_settled:
                self._round.tally.add(Happened.AT_WORK)
        elif look is not None and look.missing and look.error is not None:
            await self._miss(look.attempt, look.error)
        else:
            self._leave(attempt, look)

    async def _miss(self, attempt: Attempt, error: ApiError) -> None:
        """Settle what is gone after its retention; of anything else only say that it is missing.

        A harvester with a wrong key or project gets 404 for every response that there is.
        """
        if self._round.clock.now() >= kept_until(attempt):
            await self._expire(attempt, error)
            return
        note = f"kept until {_moment(kept_until(attempt))}; {error}"
        self._round.tally.missing.add(attempt, note)
        self._warn(attempt, missing=True)

    async def _expire(self, attempt: Attempt, error: ApiError) -> None:
        now = self._round.clock.now()
        verb = settle_as_gone(attempt, error, polls=attempt.polls + 1, at=now)
        try:
            verdict = await self._round.ledger.do(verb)
        except IllegalMove:
            return  # another process saw how it ended, before it was gone
        if verdict.moved:
            self._round.tally.settled(verdict.attempt)

    def _leave(self, attempt: Attempt, look: Look | None) -> None:
        self._round.tally.add(Happened.UNREAD)
        reason = self._round.book.unread(attempt) or (look.error if look is not None else None)
        if self._expires_soon(attempt):
            note = f"kept until {_moment(kept_until(attempt))}; {reason}"
            self._round.tally.expiring.add(attempt, note)
            self._warn(attempt, missing=False)

    def _expires_soon(self, attempt: Attempt) -> bool:
        expiry = kept_until(attempt)
        retention = expiry - (attempt.submitted_at or attempt.planned_at)
        margin = min(self._round.choices.warn_before, _WARN_SHARE * retention)
        return self._round.clock.now() >= expiry - margin

    def _warn(self, attempt: Attempt, *, missing: bool) -> None:
        if attempt.warned_at is None and len(self._warning.attempt_ids) < _MOST_WARNED:
            self._warning.add(attempt, missing=missing)

    async def warn(self) -> None:
        """Warn once of all that may be lost.

        An attempt counts as warned of when the warning has arrived: after a crash, or without
        anybody to tell, the next harvest warns.
        """
        if not self._warning.attempt_ids:
            return
        if await self._round.tally.events.expiring(self._warning.told):
            now = self._round.clock.now()
            verbs = [MarkWarned(attempt_id, now) for attempt_id in self._warning.attempt_ids]
            verdicts = await self._round.ledger.do_all(verbs)
            self._round.tally.add(Happened.WARNED, sum(verdict.moved for verdict in verdicts))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")
