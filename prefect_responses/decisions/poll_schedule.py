"""Learn from past latencies when a poll is worth its price, and tell how long to wait for it.

A poll is worth most where the response is most likely to end next. With S(t) the share of responses
that still run after t, f(t) their density of ending and h = f/S their hazard, polls of the density
r cost the integral of S r, and what ends is noticed late by f / (2 r). The sum of the first and a
price times the second is least for r proportional to the square root of h. Latencies of one
endpoint and model are near enough to log-normal for that.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Polls that a response takes on average at most, if latencies stay as they were.
EXPECTED_POLLS = 7.5
#: Mean lag, as a share of the mean latency, for which no more polls than needed are made. What is
#: promised is nearly twice this: the integrals hide that polls are whole ones.
ENOUGH_LAG = 0.04
#: Latencies from which a schedule is learned at least.
FEWEST = 8
#: Beyond all that was seen: the share of the time waited that lies between two polls.
TAIL_SHARE = 0.1

#: Seconds below which latencies are alike: APIs count in whole ones.
_SHORTEST = 0.05
#: Seconds beyond which a latency is a clock's fault: no server keeps a response for a year.
_LONGEST = 365.0 * 86400.0
#: Deviations from the median beyond which a latency is an outlier.
_FAR_OUT = 3.0
#: From a median absolute deviation to a standard deviation of a normal distribution.
_MAD_TO_DEVIATION = 1.4826
#: A narrower distribution is not believed: the next response may be another kind of work.
_LEAST_DEVIATION = 0.2
#: The grid, in standard deviations from the median.
_FROM, _TO, _STEPS = -4.0, 3.5, 160


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """Say when the next poll is due; made once, asked often.

    Args:
        times: seconds since acceptance, growing.
        turns: polls that are due until then, as a fraction; as many as there are times.
    """

    times: tuple[float, ...]
    turns: tuple[float, ...]

    def next_wait(self, waited: float) -> float:
        """Return the seconds until the next poll after having waited *waited* seconds.

        A response that is older than any that was seen is polled at distances that grow with its
        age, without a bound.
        """
        waited = max(0.0, waited)  # a clock may be set back
        if waited >= self.times[-1]:
            return waited * TAIL_SHARE
        due = self._turns_until(waited) + 1.0
        beyond = due - self.turns[-1]
        if beyond >= 0.0:
            return self.times[-1] * (1.0 + beyond * TAIL_SHARE) - waited
        return _between(due, self.turns, self.times) - waited

    def _turns_until(self, waited: float) -> float:
        return _between(waited, self.times, self.turns) if waited > self.times[0] else 0.0


def _between(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Interpolate at *x*, which lies within *xs*."""
    left = bisect_right(xs, x) - 1
    part = (x - xs[left]) / (xs[left + 1] - xs[left])
    return ys[left] + part * (ys[left + 1] - ys[left])


def learn_schedule(
    latencies: Sequence[float], running: Iterable[float] = ()
) -> PollSchedule | None:
    """Return the schedule for responses that take as long as these did.

    Args:
        latencies: seconds from acceptance to end, of one endpoint and model, in any order.
        running: seconds that others have been at work already. While many are, what has ended are
            the short ones, and they alone would teach too much haste.

    Returns:
        The schedule, or None where those that a response can have taken are fewer than `FEWEST`.
    """
    possible = sorted(latency for latency in latencies if _is_possible(latency))
    if len(possible) < FEWEST:
        return None
    ages = sorted(age for age in running if _is_possible(age))
    center, deviation = _fit(
        [(math.log(max(_SHORTEST, seconds)), share) for seconds, share in _shares(possible, ages)]
    )
    places = [_FROM + (_TO - _FROM) * step / _STEPS for step in range(_STEPS + 1)]
    times = [math.exp(center + deviation * place) for place in places]
    still = [math.erfc(place / math.sqrt(2.0)) / 2.0 for place in places]
    urgencies = [
        math.sqrt(math.exp(-place * place / 2.0) / (share * time))
        for place, share, time in zip(places, still, times, strict=True)
    ]
    mean = math.exp(center + deviation * deviation / 2.0)
    return PollSchedule(tuple(times), tuple(_turns(times, still, urgencies, mean)))


def _is_possible(seconds: float) -> bool:
    return 0.0 <= seconds <= _LONGEST


def _shares(ended: list[float], ages: list[float]) -> list[tuple[float, float]]:
    """Return latencies and how much of all each stands for, by Kaplan and Meier.

    The share of a running one goes to those that took longer than it has so far. Both lists are
    sorted; ages beyond all that ended stand for themselves.
    """
    shares, left, older = [], 1.0, deque(ages)
    for place, latency in enumerate(ended):
        while older and older[0] < latency:
            older.popleft()
        share = left / (len(ended) - place + len(older))
        shares.append((latency, share))
        left -= share
    return shares + [(age, left / len(older)) for age in older]


def _fit(logs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return mean and standard deviation of *logs*, each with its share, without those far out."""
    median = _median(logs)
    spread = _median(sorted((abs(log - median), share) for log, share in logs)) * _MAD_TO_DEVIATION
    reach = _FAR_OUT * max(spread, _LEAST_DEVIATION / _FAR_OUT)
    near = [(log, share) for log, share in logs if abs(log - median) <= reach]
    whole = math.fsum(share for _, share in near)
    center = math.fsum(log * share for log, share in near) / whole
    variance = math.fsum((log - center) ** 2 * share for log, share in near) / whole
    count = whole * whole / math.fsum(share * share for _, share in near)
    unbiased = variance * count / (count - 1.0) if count > 1.0 else variance
    return center, max(_LEAST_DEVIATION, math.sqrt(unbiased))


def _median(values: list[tuple[float, float]]) -> float:
    """Return the value with half of all shares on either side; *values* are sorted."""
    shares = list(accumulate(share for _, share in values))
    return values[bisect_left(shares, shares[-1] / 2.0)][0]


def _turns(
    times: list[float], running: list[float], urgencies: list[float], mean: float
) -> list[float]:
    """Add the urgencies up over time, scaled so that as many polls are made as the lag needs."""
    spans = [later - earlier for earlier, later in pairwise(times)]
    areas = [span * (a + b) / 2.0 for span, (a, b) in zip(spans, pairwise(urgencies), strict=True)]
    weights = [(a + b) / 2.0 for a, b in pairwise(running)]
    made = sum(area * weight for area, weight in zip(areas, weights, strict=True))
    # The poll that sees the end comes half a turn after it, on average.
    enough = made * made / (2.0 * ENOUGH_LAG * mean)
    scale = min(EXPECTED_POLLS - 0.5, enough) / made
    turns = [0.0]
    for area in areas:
        turns.append(turns[-1] + area * scale)
    return turns
