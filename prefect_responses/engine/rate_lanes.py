"""Let the requests of one process to one model leave by slots that all processes share.

A lane asks the ledger for slots in batches, about twice a second, and hands them to those who wait,
the first come first. As long as no limit is known it asks for none, and only looks now and then
whether others have learned of one. It lets no more leave than can be on the wire: whoever waited
for a turn after its slot would leave too late, and into a storm that had begun meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from prefect_responses.decisions.limit_headers import LimitsSaid
from prefect_responses.decisions.rate_limits import (
    AHEAD,
    SLOT_LASTS,
    Admitted,
    Bucket,
    RateLimits,
    Storm,
    admit,
    heard,
    pause_for,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect_responses.clock import Clock
    from prefect_responses.decisions.limit_headers import Refusal

#: Seconds between two questions to the ledger while someone waits for a slot.
ASK_EVERY = 0.5
#: Seconds between two questions while slots are used up as they come.
ASK_AHEAD_EVERY = 1.0
#: Seconds between two looks at what others learned, while no limit is known.
LOOK_EVERY = 5.0
#: Seconds after which the ledger is asked again at most: what all share may change meanwhile.
LONGEST_WAIT = 30.0
#: The shortest sleep between two slots, in seconds: nearer ones are handed out together.
SHORTEST_SLEEP = 0.05
#: Seconds over which a process counts its own rate.
_COUNTED_OVER = 10.0


class Mode(Enum):
    """Say what is known of the limits."""

    #: The ledger was not asked yet.
    UNKNOWN = auto()
    #: None holds: requests leave at once.
    FREE = auto()
    #: One holds: requests leave by slots.
    BOUNDED = auto()


class Share(Protocol):
    """What all processes share of one model's limits."""

    async def change(
        self, decide: Callable[[Bucket, float], tuple[Bucket, tuple[Admitted, float]]]
    ) -> tuple[Admitted, float]:
        """Let *decide* change it, given it and its time, and return what that tells beside it."""

    async def read(self) -> tuple[Bucket, float]:
        """Return it, and its time."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment, by the clock of this process, for a request of so many tokens."""

    at: float
    tokens: float


@dataclass(slots=True)
class News:
    """What a process has heard from the server and not yet told the others.

    Args:
        said: what an answer said of the limits last, None if there was none.
        said_at: when.
        refused_until: until when the server wants nothing, None if it refused nothing.
        is_explained: whether its numbers say why it refused.
        by_slots: whether what it refused was sent by slots.
    """

    said: LimitsSaid | None = None
    said_at: float = 0.0
    refused_until: float | None = None
    is_explained: bool = True
    by_slots: bool = True

    def hear(self, said: LimitsSaid, now: float) -> None:
        """Keep what was said last, and silence only as long as nothing was said."""
        if self.said is None or said != LimitsSaid():
            self.said, self.said_at = said, now

    def refuse(self, refusal: Refusal, now: float, *, by_slots: bool) -> float:
        """Keep the longest pause, and return its end; call `hear` before."""
        self.refused_until = max(self.refused_until or 0.0, now + pause_for(refusal))
        explained = self.said is not None and self.said.explains_refusal
        self.is_explained = self.is_explained and explained
        self.by_slots = self.by_slots and by_slots
        return self.refused_until


class OwnRate:
    """Count how many requests a minute this process sends."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0
        self._before = 0.0

    def count(self, now: float) -> None:
        """Count one request."""
        passed = now - self._since
        if passed > _COUNTED_OVER:
            self._before = self._count * 60.0 / passed if passed < 2 * _COUNTED_OVER else 0.0
            self._since, self._count = now, 0
        self._count += 1

    def per_minute(self, now: float) -> float:
        """Return the rate of the last seconds, or of those before them if that was higher."""
        return max(self._before, self._count * 60.0 / max(1.0, now - self._since))


class Lane:
    """Let requests to one model leave.

    Args:
        share: what all processes share.
        clock: the time here.
        limits: what the user allows.
        on_the_wire: how many may be let out at once and not have come back.
    """

    def __init__(self, share: Share, clock: Clock, limits: RateLimits, on_the_wire: int) -> None:
        self._room = self._on_the_wire = on_the_wire
        self._share = share
        self._clock = clock
        self._limits = limits
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._slots: deque[Slot] = deque()
        self._spare = 0.0
        self._news = News()
        self._rate = OwnRate()
        self._mode = Mode.UNKNOWN
        self._counts_tokens = False
        self._look_at = self._ask_at = self._paused_until = 0.0
        self._used = self._usual = 0
        self._serving: asyncio.Task[None] | None = None
        self._sleeping: asyncio.Future[None] | None = None

    # --- what others call -------------------------------------------------------------------------

    async def enter(self, tokens: int) -> None:
        """Wait for a slot for a request of so many tokens, behind those who wait already.

        Call `leave` when the request was answered. A caller that is cancelled before that leaves
        its slot to the next one.

        Raises:
            LedgerError: the ledger cannot be asked.
        """
        now = self._clock.now()
        self._usual = tokens
        if not self._waiting and self._take(tokens, now):
            if self._due(now):
                self._serve()
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = tokens
        self._serve()
        try:
            await waiter
        except asyncio.CancelledError:
            self._give_up(waiter, tokens)
            raise

    def leave(self) -> None:
        """Make room for the next one."""
        self._room += 1
        if self._waiting:
            self._hand_out()
            self._serve()

    def _give_up(self, waiter: asyncio.Future[None], tokens: int) -> None:
        self._waiting.pop(waiter, None)
        if not waiter.cancelled() and waiter.exception() is None:
            self._slots.appendleft(Slot(self._clock.now(), tokens))
            self.leave()
        if not self._waiting:
            self._wake()

    def learn(self, said: LimitsSaid, refusal: Refusal | None) -> None:
        """Take in what an answer said; what concerns the others is told to them at once."""
        now, is_free = self._clock.now(), self._mode is Mode.FREE
        if is_free and refusal is None and not said.is_scarce:
            return
        self._news.hear(said, now)
        if refusal is not None:
            until = self._news.refuse(refusal, now, by_slots=self._mode is Mode.BOUNDED)
            self._paused_until = max(self._paused_until, until)
            self._slots.clear()
        if is_free:
            self._mode, self._ask_at = Mode.UNKNOWN, now
        if self._has_to_tell():
            self._wake()
            self._serve()

    # --- slots ------------------------------------------------------------------------------------

    def _take(self, tokens: int, now: float) -> bool:
        """Take room and a slot whose time has come; several if they were meant for fewer tokens."""
        if self._room > 0 and (self._mode is Mode.FREE or self._take_slot(tokens, now)):
            self._room -= 1
            self._rate.count(now)
            return True
        return False

    def _take_slot(self, tokens: int, now: float) -> bool:
        needed = tokens if self._counts_tokens else 0
        while now >= self._paused_until and self._slots and self._slots[0].at <= now:
            slot = self._slots.popleft()
            if slot.at + SLOT_LASTS < now:
                self._spare = 0.0
                continue
            self._used += 1
            self._spare += slot.tokens
            if self._spare >= needed:
                self._spare = self._spare - needed if needed else 0.0
                return True
        return False

    def _hand_out(self) -> None:
        now = self._clock.now()
        while self._waiting:
            waiter, tokens = next(iter(self._waiting.items()))
            if not waiter.done():
                if not self._take(tokens, now):
                    return
                waiter.set_result(None)
            del self._waiting[waiter]

    # --- the one task that asks and hands out -----------------------------------------------------

    def _serve(self) -> None:
        if self._serving is None and self._has_work():
            self._serving = asyncio.create_task(self._run(), name="prefect-responses rate limits")

    async def _run(self) -> None:
        try:
            while self._has_work():
                await self._step()
                self._hand_out()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._fail(error)
        finally:
            self._serving = None

    def _has_work(self) -> bool:
        waits = self._waiting and self._mode is not Mode.FREE and self._room > 0
        return bool(waits) or self._has_to_tell() or self._due(self._clock.now())

    async def _step(self) -> None:
        now = self._clock.now()
        if self._due(now):
            await (self._look() if self._may_look() else self._ask())
        else:
            await self._sleep(max(SHORTEST_SLEEP, self._next_at() - now))

    def _next_at(self) -> float:
        """Return when there is something to do; it is never called with nothing to wait for."""
        asks = self._lacks() or self._has_to_tell()
        if not self._slots or not self._waiting:
            return self._ask_at
        next_slot = max(self._paused_until, self._slots[0].at)
        return min(next_slot, self._ask_at) if asks else next_slot

    def _due(self, now: float) -> bool:
        """Tell whether the ledger is to be asked now."""
        if self._mode is Mode.FREE:
            return now >= self._look_at
        if self._lacks() or self._has_to_tell():
            return now >= self._ask_at
        are_used_up = len(self._slots) - len(self._waiting) < self._used
        return are_used_up and now >= self._ask_at + ASK_AHEAD_EVERY - ASK_EVERY

    def _lacks(self) -> bool:
        return len(self._waiting) > len(self._slots)

    def _has_to_tell(self) -> bool:
        is_new = self._mode is Mode.UNKNOWN and self._news.said is not None
        return is_new or self._news.refused_until is not None

    def _may_look(self) -> bool:
        """Tell whether a look, which locks nothing, is enough."""
        knows_none = self._mode is not Mode.BOUNDED and self._limits == RateLimits()
        return knows_none and self._news == News()

    async def _look(self) -> None:
        """See whether others know of a limit."""
        bucket, at = await self._share.read()
        self._settle(admit(bucket, self._limits, (), at), at, [])

    async def _ask(self) -> None:
        """Tell the others what was heard, and ask for slots, in one transaction."""
        news, self._news = self._news, News()
        tokens, self._used = self._demand(), 0
        asked_at = self._clock.now()
        self._ask_at = asked_at + ASK_EVERY

        def decide(bucket: Bucket, now: float) -> tuple[Bucket, tuple[Admitted, float]]:
            told = self._told(news, bucket, now - asked_at, now)
            admitted = admit(told, self._limits, tokens, now)
            return admitted.bucket, (admitted, now)

        try:
            self._settle(*await self._share.change(decide), tokens)
        except BaseException:
            # What is not told must not be lost: it is told with what is heard next.
            self._news = news if self._news == News() else self._news
            raise

    def _told(self, news: News, bucket: Bucket, ahead: float, now: float) -> Bucket:
        """Tell *news*, with times of a clock that is *ahead* of the one here."""
        if news.said is not None:
            bucket = heard(bucket, news.said, news.said_at + ahead, self._limits)
        if news.refused_until is None:
            return bucket
        storm = Storm(
            max(0.0, news.refused_until + ahead - now),
            is_explained=news.is_explained,
            per_minute=self._rate.per_minute(now - ahead),
            by_slots=news.by_slots,
        )
        return refused(bucket, self._limits, storm, now)

    def _demand(self) -> list[float]:
        """Return the tokens of those who have no slot yet, and of as many as came lately."""
        covered, most = len(self._slots), max(self._on_the_wire, 2 * self._used)
        tokens: list[float] = [*islice(self._waiting.values(), covered, covered + most)]
        ahead = self._used - max(0, covered - len(self._waiting))
        tokens += [self._usual] * min(ahead, most - len(tokens))
        if tokens:
            tokens[0] = max(0.0, tokens[0] - self._spare)
        return tokens

    def _settle(self, admitted: Admitted, at: float, tokens: list[float]) -> None:
        """Go by what was answered at *at* by the clock of the others."""
        now = self._clock.now()
        self._counts_tokens = admitted.counts_tokens
        if not admitted.is_bounded and self._news.refused_until is None:
            self._mode, self._look_at, self._used = Mode.FREE, now + LOOK_EVERY, 0
            self._slots.clear()
            return
        self._mode = Mode.BOUNDED
        granted = zip(admitted.slots, tokens, strict=False)
        self._slots.extend(Slot(now + slot - at, count) for slot, count in granted)
        wait = min(LONGEST_WAIT, admitted.wait - AHEAD / 2)
        self._ask_at = max(self._ask_at, now + wait)

    async def _sleep(self, seconds: float) -> None:
        self._sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({self._sleeping})
        finally:
            self._wake()
            self._sleeping = None

    def _wake(self) -> None:
        if self._sleeping is not None:
            self._sleeping.cancel()

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(error)
