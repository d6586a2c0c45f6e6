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
REMEMBERED = 200
#: Seconds between two readings of the ledger for one endpoint and model.
READ_EVERY = 60.0
#: Ends that this process saw after which it learns again without the ledger.
_NEWS = 8


@dataclass(slots=True)
class _Experience:
    """What is known of one endpoint and model."""

    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    schedule: PollSchedule | None = None
    read_at: float | None = None
    news: int = 0

    def is_stale(self, now: float) -> bool:
        return self.read_at is None or not 0.0 <= now - self.read_at < READ_EVERY

    def begin_again(self, latencies: Iterable[float]) -> None:
        self.latencies.clear()
        self.latencies.extend(latencies)
        self.learn()

    def add(self, latency: float) -> None:
        self.latencies.append(latency)
        self.news += 1
        if self.news >= _NEWS:
            self.learn()

    def learn(self) -> None:
        self.news = 0
        self.schedule = learn_schedule(self.latencies)


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
                experience.begin_again(await self._read(attempt))
        return experience.schedule

    def observe(self, attempt: Attempt) -> None:
        """Learn from an attempt that was settled just now, if it says how long it took."""
        if attempt.is_answered and attempt.latency is not None:
            self._experience(attempt).add(attempt.latency)

    def _experience(self, attempt: Attempt) -> _Experience:
        key = (attempt.endpoint.base_url, attempt.model)
        return self._experiences.setdefault(key, _Experience())

    async def _read(self, attempt: Attempt) -> list[float]:
        base_url, model = attempt.endpoint.base_url, attempt.model
        latest_first = await self._ledger.latencies(base_url, model, REMEMBERED)
        return latest_first[::-1]
