"""Learn from the ledger, and from what this process sees end, when to poll."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefect_responses.decisions.poll_schedule import learn_schedule
from prefect_responses.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.poll_schedule import PollSchedule
    from prefect_responses.ledger import Ledger

#: Latencies that a schedule is learned from: the last ones, for servers change.
REMEMBERED = 500
#: As many at most, where more are in flight together: those of one wave that ended first are the
#: short ones, those that ended last the long ones, and only together they tell the truth.
MOST_REMEMBERED = 4000
#: Seconds between two readings of the ledger for one endpoint and model.
READ_EVERY = 60.0
#: Ends that this process saw after which it learns again without the ledger: these at least, and a
#: share of what it knows, for one more among many says little.
_NEWS, _NEWS_SHARE = 8, 8


@dataclass(slots=True)
class _Experience:
    """What is known of one endpoint and model."""

    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))
    #: When those were accepted that are at work now, by attempt.
    running: dict[str, float] = field(default_factory=dict)
    schedule: PollSchedule | None = None
    read_at: float | None = None
    news: int = 0
    #: How many were at work together lately.
    crowd: float = 0.0

    @property
    def window(self) -> int:
        """Return how many of the last latencies count."""
        self.crowd = max(self.crowd, len(self.running))
        return int(min(MOST_REMEMBERED, max(REMEMBERED, 2.0 * self.crowd)))

    def is_stale(self, now: float) -> bool:
        return self.read_at is None or not 0.0 <= now - self.read_at < READ_EVERY

    def begin_again(self, latencies: Iterable[float], now: float) -> None:
        self.latencies.clear()
        self.latencies.extend(latencies)
        self.learn(now)
        self.crowd /= 2.0

    def add(self, latency: float, now: float) -> None:
        self.latencies.append(latency)
        self.news += 1
        known = min(self.window, len(self.latencies))
        if self.news >= max(_NEWS, (known + len(self.running)) // _NEWS_SHARE):
            self.learn(now)

    def learn(self, now: float) -> None:
        self.news = 0
        ages = (now - accepted_at for accepted_at in self.running.values())
        self.schedule = learn_schedule([*self.latencies][-self.window :], ages)


class PollLearning:
    """Keep a poll schedule for each endpoint and model that this process polls.

    Nothing here is needed after a crash: the ledger holds the latencies.

    Args:
        ledger: where latencies are read, at most once in `READ_EVERY` seconds for each.
        clock: the time.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._experiences: dict[tuple[str, str | None], _Experience] = {}

    async def schedule(self, attempt: Attempt) -> PollSchedule | None:
        """Return when responses like that of *attempt* are worth a poll, or None if unknown.

        A ledger that cannot be read teaches nothing, and what was learned before stays.
        """
        experience, now = self._experience(attempt), self._clock.now()
        if experience.is_stale(now):
            experience.read_at = now  # before the read: who comes meanwhile takes what is there
            with suppress(LedgerError):
                experience.begin_again(await self._read(attempt, experience.window), now)
        return experience.schedule

    def begin(self, attempt: Attempt) -> None:
        """Take note that *attempt*, which is submitted, is waited for."""
        if attempt.submitted_at is not None:
            self._experience(attempt).running[attempt.id] = attempt.submitted_at

    def leave(self, attempt: Attempt) -> None:
        """Take note that *attempt* is waited for no more."""
        self._experience(attempt).running.pop(attempt.id, None)

    def observe(self, attempt: Attempt) -> None:
        """Learn from an attempt that was settled just now, if it says how long it took."""
        experience = self._experience(attempt)
        experience.running.pop(attempt.id, None)
        if attempt.is_answered and attempt.latency is not None:
            experience.add(attempt.latency, self._clock.now())

    def running(self, attempt: Attempt) -> int:
        """Return how many responses like that of *attempt* are waited for here."""
        return len(self._experience(attempt).running)

    def _experience(self, attempt: Attempt) -> _Experience:
        key = (attempt.endpoint.base_url, attempt.model)
        found = self._experiences.get(key)
        if found is None:
            found = self._experiences[key] = _Experience()
        return found

    async def _read(self, attempt: Attempt, limit: int) -> list[float]:
        base_url, model = attempt.endpoint.base_url, attempt.model
        latest_first = await self._ledger.latencies(base_url, model, limit)
        return latest_first[::-1]
