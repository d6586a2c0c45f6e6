"""How long an answer takes: profiles such as `constant:2.0` or `lognormal:median=2,p95=12`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

#: The part of the time that a response waits in the queue.
_QUEUED_SHARE = 0.2
#: The distance from the median to the 95th percentile of a normal distribution, in deviations.
_P95_DEVIATIONS = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class Latency:
    """What one response takes."""

    queued_s: float
    in_progress_s: float

    @classmethod
    def of(cls, seconds: float) -> Latency:
        """Divide the whole time into waiting and working."""
        return cls(seconds * _QUEUED_SHARE, seconds * (1 - _QUEUED_SHARE))


class LatencyProfile(Protocol):
    """Draws the latency of each response."""

    def draw(self, random: Random) -> Latency:
        """Draw the next one."""
        ...


@dataclass(frozen=True, slots=True)
class Instant:
    """Take no time at all."""

    def draw(self, random: Random) -> Latency:  # noqa: ARG002 - the shape of a profile
        """Draw nothing."""
        return Latency(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Constant:
    """Take the same time always."""

    seconds: float

    def draw(self, random: Random) -> Latency:  # noqa: ARG002 - the shape of a profile
        """Draw the constant."""
        return Latency.of(self.seconds)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Take between two times, each as likely."""

    shortest: float
    longest: float

    def draw(self, random: Random) -> Latency:
        """Draw between the two."""
        return Latency.of(random.uniform(self.shortest, self.longest))


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Take mostly about the median, now and then much longer."""

    median: float
    p95: float

    def draw(self, random: Random) -> Latency:
        """Draw from the distribution that has this median and this 95th percentile."""
        deviation = math.log(self.p95 / self.median) / _P95_DEVIATIONS
        return Latency.of(random.lognormvariate(math.log(self.median), deviation))


class UnreadableProfileError(ValueError):
    """The text names no latency profile; write one of those in the message."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is no latency profile. Write `instant`, `constant:SECONDS`, "
            "`uniform:FROM,TO` or `lognormal:median=SECONDS,p95=SECONDS`.",
        )


def parse_latency(text: str) -> LatencyProfile:
    """Read a profile from its one-line form."""
    name, _, arguments = text.strip().partition(":")
    try:
        numbers = [float(part.rpartition("=")[2]) for part in arguments.split(",") if part]
        return _PROFILES[name](numbers)
    except (KeyError, ValueError, IndexError) as exc:
        raise UnreadableProfileError(text) from exc


def _lognormal(numbers: Sequence[float]) -> LatencyProfile:
    profile = Lognormal(numbers[0], numbers[1])
    if not 0 < profile.median <= profile.p95:
        raise ValueError("The median lies above zero and not above the 95th percentile.")
    return profile


_PROFILES: dict[str, Callable[[Sequence[float]], LatencyProfile]] = {
    "instant": lambda _: Instant(),
    "constant": lambda numbers: Constant(numbers[0]),
    "uniform": lambda numbers: Uniform(numbers[0], numbers[1]),
    "lognormal": _lognormal,
}
