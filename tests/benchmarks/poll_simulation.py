"""How many polls a learned schedule takes, and how late they notice, over many learnings."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.decisions.poll_schedule import learn_schedule
from prefect_responses.engine.poll_learning import REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefect_responses.decisions.poll_schedule import PollSchedule

#: 95 in a hundred responses take at most this many times the median.
TAIL = 6.0
#: Ends after which the engine learns again.
NEWS = 8
#: Latencies that stand for all: the quantiles in the middle of as many equal parts.
_JUDGED = 2000


@dataclass(frozen=True)
class Polled:
    """What a schedule costs: polls a response, and mean lag as a share of the mean latency."""

    polls: float
    lag: float


def quantiles_of(median: float) -> list[float]:
    """Return latencies that stand for all with that median, growing."""
    normal = NormalDist()
    return [
        median * math.exp(normal.inv_cdf((i + 0.5) / _JUDGED) * _deviation())
        for i in range(_JUDGED)
    ]


def _deviation() -> float:
    return math.log(TAIL) / NormalDist().inv_cdf(0.95)


def judge(times: Sequence[float], latencies: Sequence[float]) -> Polled:
    """Return what polls at *times*, which go beyond all *latencies*, cost on average."""
    places = [bisect_left(times, latency) for latency in latencies]
    lags = (times[place] - latency for place, latency in zip(places, latencies, strict=True))
    return Polled(fmean(places) + 1.0, fmean(lags) / fmean(latencies))


def poll_times(schedule: PollSchedule | None, until: float) -> list[float]:
    """Return when the default policy polls, the last time beyond *until*."""
    policy, times = PollPolicy(), [0.0]
    while times[-1] < until:
        times.append(times[-1] + policy.next_wait(times[-1], schedule))
    return times[1:]


def fixed_times(step: float, until: float) -> list[float]:
    """Return the times of a poll every *step* seconds."""
    return [step * (i + 1) for i in range(math.ceil(until / step) + 1)]


def learn(median: float, lessons: int, chance: random.Random) -> PollSchedule | None:
    """Return what the engine has learned from *lessons* responses, as its polls saw them end.

    An end is known to lie between two polls, and is taken to be in the middle.
    """
    seen: deque[float] = deque(maxlen=REMEMBERED)
    schedule: PollSchedule | None = None
    times: list[float] = []
    for lesson in range(lessons):
        if lesson % NEWS == 0:
            schedule = learn_schedule(seen)
            times = poll_times(schedule, 100.0 * median)
        latency = median * math.exp(chance.gauss(0.0, _deviation()))
        place = bisect_left(times, latency)
        if place < len(times):
            seen.append((times[place] + (times[place - 1] if place else 0.0)) / 2.0)
    return learn_schedule(seen)


def judge_learnings(median: float, lessons: int, learnings: int) -> list[Polled]:
    """Return what each of many learnings comes to."""
    chance = random.Random(lessons)  # noqa: S311 - latencies are no secrets
    latencies = quantiles_of(median)
    schedules = (learn(median, lessons, chance) for _ in range(learnings))
    return [judge(poll_times(each, latencies[-1]), latencies) for each in schedules]
