"""Decide when requests may leave that share a limit a minute, however many processes send them.

Pure: a `Bucket` is all that they share. Requests are given *slots*, moments that lie evenly apart
(the generic cell rate algorithm), so that the server never sees a burst of all processes at once.
What a minute has is spread over `MINUTE` seconds, a little more than sixty: so no sixty seconds,
wherever they begin, hold more than the limit, although a slot may be used a little late.

Where a server refuses and says no numbers, the pace is halved and grows again slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefect_responses.decisions.limit_headers import Left, LimitsSaid, Refusal

#: Seconds of unused slots that may be made up for at once: the small burst.
BURST = 0.5
#: Seconds after which a slot that nobody used is void.
SLOT_LASTS = 1.0
#: Seconds over which the limit of a minute is spread. Beside the burst and the life of a slot there
#: is half a second for a request's way to the server.
MINUTE = 60.0 + BURST + SLOT_LASTS + 0.5
#: Seconds that slots are given in advance.
AHEAD = 3.0

#: Seconds that the tokens of one request are owed at most. One that has more than so many minutes
#: have keeps to no limit, whatever the others do.
LONGEST_DEBT = 600.0

#: Seconds for which all wait after a refusal that names no time, and at most.
UNNAMED_PAUSE, LONGEST_PAUSE = 1.0, 3600.0
#: Seconds after a cut of the pace, or a pause, in which no refusal cuts again: it is an older one.
HOLD = 5.0
#: Seconds after a first cut in which those who had not heard of it add what they had sent.
JOINING = 10.0
#: Seconds in which the pace doubles when nothing is refused.
DOUBLES_IN = 120.0
#: The slowest pace, requests a minute.
SLOWEST = 6.0
#: A pace that has grown to this holds nobody back, requests a minute.
FORGOTTEN = 1_000_000.0
#: Limits of fewer requests than this are kept once they are known.
_KEPT = 256.0
#: The windows of a server's limit, in seconds, that are believed. Others are dates, milliseconds
#: or nonsense, and would stop all who send.
SHORTEST_WINDOW, LONGEST_WINDOW = 1.0, 300.0
#: The smallest limit a minute that a server can say: one in the longest window.
_SMALLEST = 60.0 / LONGEST_WINDOW
#: The share that must be left of a limit before it is no longer kept.
_PLENTY = 0.75


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Say how much all workers together may ask of one model at one endpoint.

    What the server says of its own limits counts beside it: the stricter one holds.

    Args:
        requests_per_minute: requests that are sent in a minute, or None.
        tokens_per_minute: tokens, read and written, of the requests that are sent in a minute, or
            None.
        in_flight: responses of a job that were sent and have not ended, or None.

    Raises:
        ValueError: a limit is not above zero.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    in_flight: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "in_flight"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be above 0, or None for no limit; it is {limit}.")


#: No limit of one's own.
NO_LIMITS = RateLimits()


@dataclass(frozen=True, slots=True)
class Bucket:
    """What all who send to one model share; times are seconds since the epoch.

    Args:
        requests_at: the next slot for a request.
        tokens_at: the next slot by the tokens that were given out.
        requests_per_minute: the server's own limit, as long as it must be kept to.
        tokens_per_minute: likewise.
        pace: requests a minute that are tried since a refusal without numbers, as of `changed_at`.
        paused_until: nothing is sent before.
        changed_at: when the pace was cut last.
    """

    requests_at: float = 0.0
    tokens_at: float = 0.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    pace: float | None = None
    paused_until: float = 0.0
    changed_at: float = 0.0

    def pace_at(self, now: float) -> float | None:
        """Return the pace that holds at *now*, or None if none does."""
        if self.pace is None:
            return None
        doublings = min(64.0, max(0.0, now - self.changed_at) / DOUBLES_IN)
        grown = self.pace * 2.0**doublings
        return grown if grown < FORGOTTEN else None


@dataclass(frozen=True, slots=True)
class Admitted:
    """Say what a process may send.

    Args:
        bucket: what all share from now on.
        slots: when each of the first requests that were asked for may leave.
        wait: seconds until it makes sense to ask again, if not all were granted; else 0.
        is_bounded: whether any limit or pause holds; if not, asking can be spared.
        counts_tokens: whether tokens are limited.
    """

    bucket: Bucket
    slots: tuple[float, ...] = ()
    wait: float = 0.0
    is_bounded: bool = False
    counts_tokens: bool = False


# --- give out slots -------------------------------------------------------------------------------


def admit(bucket: Bucket, limits: RateLimits, tokens: Sequence[float], now: float) -> Admitted:
    """Give slots to the first of some requests.

    One process is given half of the time in advance that is free, so that many of them share it,
    but at least one slot where there is any. A request of more tokens than a minute has gets its
    slot when no one else's tokens are owed, and what it owes then is bounded. What was stored and
    cannot have come about so, as after a clock was set back, holds nobody up.

    Args:
        bucket: what all share.
        limits: what the user allows.
        tokens: the tokens of each request, the first first.
        now: seconds since the epoch.
    """
    requests_apart = _apart(requests_per_minute(bucket, limits, now))
    tokens_apart = _apart(tokens_per_minute(bucket, limits))
    paused_until = _pause_of(bucket, now)
    is_bounded = requests_apart > 0 or tokens_apart > 0 or paused_until > now
    if not is_bounded:
        return Admitted(bucket, (now,) * len(tokens))
    earliest = max(now - BURST, paused_until)
    requests_at = max(earliest, _next_of(bucket.requests_at, requests_apart, now))
    tokens_at = max(earliest, _next_of(bucket.tokens_at, tokens_apart, now))
    first = max(requests_at, tokens_at)
    last = first + (now + AHEAD - first) / 2
    slots: list[float] = []
    for count in tokens:
        slot = max(requests_at, tokens_at)
        if slot > (last if slots else now + AHEAD):
            break
        slots.append(max(slot, now))
        requests_at = slot + requests_apart
        tokens_at = slot + min(LONGEST_DEBT, count * tokens_apart)
    given = replace(
        bucket,
        requests_at=requests_at if requests_apart else bucket.requests_at,
        # Others may keep to a limit of their own on tokens, and owe to it.
        tokens_at=tokens_at if tokens_apart else bucket.tokens_at,
    )
    return Admitted(
        given if slots else bucket,
        tuple(slots),
        wait=0.0 if len(slots) == len(tokens) else max(0.0, max(requests_at, tokens_at) - now),
        is_bounded=True,
        counts_tokens=tokens_apart > 0,
    )


def requests_per_minute(bucket: Bucket, limits: RateLimits, now: float) -> float | None:
    """Return how many requests a minute all may send together, or None if nothing says so."""
    said = _strictest(limits.requests_per_minute, _credible(bucket.requests_per_minute))
    return _strictest(said, bucket.pace_at(now))


def tokens_per_minute(bucket: Bucket, limits: RateLimits) -> float | None:
    """Return how many tokens a minute all may send together, or None if nothing says so."""
    return _strictest(limits.tokens_per_minute, _credible(bucket.tokens_per_minute))


def _credible(said: float | None) -> float | None:
    return None if said is None or said < _SMALLEST else said


def _next_of(at: float, apart: float, now: float) -> float:
    """Return when the next slot is by one limit: *at*, if the limit holds and that can be."""
    return at if apart > 0 and at <= now + AHEAD + max(LONGEST_DEBT, apart) else 0.0


def _pause_of(bucket: Bucket, now: float) -> float:
    return bucket.paused_until if bucket.paused_until <= now + LONGEST_PAUSE else 0.0


def _strictest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _apart(per_minute: float | None) -> float:
    return 0.0 if per_minute is None else MINUTE / per_minute


# --- learn from answers ---------------------------------------------------------------------------


def heard(bucket: Bucket, said: LimitsSaid, at: float, limits: RateLimits = NO_LIMITS) -> Bucket:
    """Take in what a server said of its limits at *at*.

    A limit of which plenty is left is not kept to: the server takes a burst. As soon as it is
    scarce, all keep to its rate. One that is no longer named is forgotten. What was owed to a
    limit is owed to the new one: so many requests or tokens, not so many seconds.
    """
    after = replace(
        bucket,
        requests_per_minute=_kept(said.requests, bucket.requests_per_minute),
        tokens_per_minute=_kept(said.tokens, bucket.tokens_per_minute),
    )
    rates = requests_per_minute(bucket, limits, at), requests_per_minute(after, limits, at)
    token_rates = tokens_per_minute(bucket, limits), tokens_per_minute(after, limits)
    return replace(
        after,
        requests_at=_waited(said.requests, _owed(bucket.requests_at, rates, at), at),
        tokens_at=_waited(said.tokens, _owed(bucket.tokens_at, token_rates, at), at),
    )


def _kept(left: Left | None, kept: float | None) -> float | None:
    """Return the limit to keep to."""
    if left is None:
        return None
    is_plenty = left.remaining >= _PLENTY * left.limit and left.limit >= _KEPT
    is_free = not left.is_scarce and (kept is None or is_plenty)
    return None if is_free else left.per_minute


def _waited(left: Left | None, next_at: float, at: float) -> float:
    """Return when the next slot is if a reserve is to come back first."""
    wait = left.wait if left is not None and left.is_scarce else 0.0
    return max(next_at, at + wait) if wait > 0 else next_at


def _owed(next_at: float, rates: tuple[float | None, float | None], at: float) -> float:
    """Return when the next slot is, now that the limit of a minute went from one to another."""
    (before, after), debt = rates, next_at - at
    if debt <= 0 or after is None:
        return next_at
    return at if before is None else at + min(LONGEST_DEBT, debt * before / after)


@dataclass(frozen=True, slots=True)
class Storm:
    """What one process tells of the refusals that it had since it told last.

    Args:
        pause: seconds from now in which nothing should be sent.
        is_explained: whether the server's numbers say why.
        per_minute: how many requests it had been sending itself, a minute.
        by_slots: whether it sent by slots, and so together with all others at the shared rate.
    """

    pause: float
    is_explained: bool
    per_minute: float
    by_slots: bool


def pause_for(refusal: Refusal) -> float:
    """Return for how many seconds all pause after *refusal*.

    It is bounded, for all would stand still after one answer that is wrong. The request itself
    waits for as long as it was told.
    """
    asked = UNNAMED_PAUSE if refusal.retry_after is None else refusal.retry_after
    return min(LONGEST_PAUSE, asked)


def refused(bucket: Bucket, limits: RateLimits, storm: Storm, now: float) -> Bucket:
    """Take in that requests were refused because of how much was sent.

    All pause. If the server's numbers do not say why, the pace is cut: once for all refusals of a
    storm, whoever had them.
    """
    cut = bucket if storm.is_explained else _cut(bucket, limits, storm, now)
    return replace(cut, paused_until=max(_pause_of(bucket, now), now + storm.pause))


def _cut(bucket: Bucket, limits: RateLimits, storm: Storm, now: float) -> Bucket:
    pace = bucket.pace_at(now)
    if pace is not None and not storm.by_slots and now < bucket.changed_at + JOINING:
        # It sent beside those whose rate was cut: their halves are added up.
        return replace(bucket, pace=pace + storm.per_minute / 2, changed_at=now)
    if pace is not None and now < max(bucket.changed_at, bucket.paused_until) + HOLD:
        return bucket
    together = requests_per_minute(bucket, limits, now) if storm.by_slots else pace
    before = storm.per_minute if together is None else together
    return replace(bucket, pace=max(SLOWEST, before / 2), changed_at=now)
