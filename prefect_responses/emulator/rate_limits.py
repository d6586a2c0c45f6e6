"""Count what a minute has: requests and tokens, refilled steadily as the emulator's time passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_responses.emulator.envelopes import ApiError

if TYPE_CHECKING:
    from prefect_responses.emulator.settings import EmulatorSettings

_MINUTE_S = 60.0
_HOUR_S = 3600

#: What the headers say where nothing is counted: limits that no client reaches.
_UNLIMITED = {
    "requests": (b"10000", b"9999", b"6ms"),
    "tokens": (b"10000000", b"9999500", b"3ms"),
}


@dataclass(slots=True)
class Allowance:
    """So many of something in a minute. What was taken too much is owed to the minutes after."""

    kind: str
    limit: int
    taken: float = 0.0
    counted_at: float = 0.0

    def take(self, count: float, now: float) -> None:
        """Take some, whether or not they are left."""
        self.taken = self._taken_at(now) + count
        self.counted_at = now

    def remaining(self, now: float) -> int:
        """Count what is left."""
        return max(0, math.floor(self.limit - self._taken_at(now)))

    def wait_for(self, count: float, now: float) -> float:
        """Tell in how many seconds so many will be left; more than the limit never are."""
        missing = min(count, self.limit) - (self.limit - self._taken_at(now))
        return max(0.0, missing) * _MINUTE_S / self.limit

    def resets_in(self, now: float) -> float:
        """Tell in how many seconds all will be left."""
        return self.wait_for(self.limit, now)

    def _taken_at(self, now: float) -> float:
        # A test may set the clock back: time has passed then too.
        given_back = abs(now - self.counted_at) * self.limit / _MINUTE_S
        return max(0.0, self.taken - given_back)


class RateLimits:
    """Hold the allowances that the settings ask for."""

    def __init__(self, settings: EmulatorSettings) -> None:
        limits = {"requests": settings.requests_per_minute, "tokens": settings.tokens_per_minute}
        self._limits = limits
        self._allowances = {
            kind: Allowance(kind, limit) for kind, limit in limits.items() if limit is not None
        }

    def changed(self, settings: EmulatorSettings) -> RateLimits:
        """Begin to count anew where the limits are others."""
        others = RateLimits(settings)
        return self if others._limits == self._limits else others

    def admit(self, kind: str, count: int, now: float) -> None:
        """Take from an allowance; raise the API's 429 where it has not so much left."""
        allowance = self._allowances.get(kind)
        if allowance is not None and (wait := allowance.wait_for(count, now)) > 0:
            raise _limit_reached(allowance, count, wait)
        self.charge(kind, count, now)

    def charge(self, kind: str, count: int, now: float) -> None:
        """Take from an allowance where there is one."""
        if kind in self._allowances:
            self._allowances[kind].take(count, now)

    def headers(self, now: float) -> list[tuple[bytes, bytes]]:
        """Write what is left as the API does."""
        rows = {kind: self._row(kind, now) for kind in _UNLIMITED}
        return [
            (f"x-ratelimit-{column}-{kind}".encode(), row[index])
            for index, column in enumerate(("limit", "remaining", "reset"))
            for kind, row in rows.items()
        ]

    def _row(self, kind: str, now: float) -> tuple[bytes, bytes, bytes]:
        allowance = self._allowances.get(kind)
        if allowance is None:
            return _UNLIMITED[kind]
        numbers = (str(allowance.limit), str(allowance.remaining(now)))
        reset = go_duration(allowance.resets_in(now))
        return numbers[0].encode(), numbers[1].encode(), reset.encode()


def go_duration(seconds: float) -> str:
    """Write a duration as Go does: `6ms`, `1.5s`, `6m0s`, `1h0m2s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole = round(seconds, 3)
    hours, rest = divmod(whole, _HOUR_S)
    minutes, left = divmod(rest, _MINUTE_S)
    if hours:
        return f"{hours:.0f}h{minutes:.0f}m{left:.6g}s"
    return f"{minutes:.0f}m{left:.6g}s" if minutes else f"{left:.6g}s"


def _limit_reached(allowance: Allowance, asked: int, wait_s: float) -> ApiError:
    short = "TPM" if allowance.kind == "tokens" else "RPM"
    return ApiError(
        429,
        f"Rate limit reached on {allowance.kind} per min ({short}): Limit {allowance.limit}, "
        f"Requested {asked}. Please try again in {go_duration(wait_s)}.",
        type=allowance.kind,
        code="rate_limit_exceeded",
        retry_after=max(1, math.ceil(wait_s)),
    )
