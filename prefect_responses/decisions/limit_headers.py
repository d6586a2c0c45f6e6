"""Read what an answer says of the server's own limits: its `x-ratelimit-` headers, and refusals.

Servers write them in several ways. OpenAI's durations are Go's (`6m0s`, `20ms`), Azure's are whole
seconds with the length of its window beside them; one without limits says nothing. What cannot be
read says nothing either: it must not stop or speed up anyone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from prefect_responses.decisions.answers import LOCK_CODE, MONEY_CODES, is_too_large
from prefect_responses.decisions.rate_limits import LONGEST_WINDOW, SHORTEST_WINDOW
from prefect_responses.wire.answers import parse_go_duration
from prefect_responses.wire.envelopes import read_error_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.wire.answers import Answer

_MINUTE = 60.0
#: A reset of more than a day is a date in seconds or milliseconds, which says nothing of a minute.
_LONGEST_RESET = 86_400.0
#: Below this share, what is left does not suffice for a burst, and all who send keep to the rate.
SCARCE = 0.5
#: So many requests may be on the wire already, sent by eight processes that know nothing of it yet.
FEW_REQUESTS = 128
#: Below this share, what is left is kept for what is on the wire.
RESERVE = 0.05

#: What a server that is overloaded says; it wants to be asked more slowly.
SLOWER_CODES = frozenset({"slow_down", "rate_reduction_required", "server_is_overloaded"})


@dataclass(frozen=True, slots=True)
class Left:
    """Hold what is left of one limit of a server.

    Args:
        limit: how many its window has.
        remaining: how many of them are left.
        window: seconds; what was used comes back in this time.
        reset: seconds until all of them are back, or None if that was not said.
        few: so many are too few for all to go on without keeping to the rate.
    """

    limit: float
    remaining: float
    window: float = _MINUTE
    reset: float | None = None
    few: float = 0.0

    @property
    def per_minute(self) -> float:
        """Return how many a minute has."""
        return self.limit * _MINUTE / self.window

    @property
    def is_scarce(self) -> bool:
        """Tell whether all who send must keep to the rate from now on."""
        return self.remaining < max(SCARCE * self.limit, self.few)

    @property
    def wait(self) -> float:
        """Return for how many seconds nothing should be sent, so that a reserve comes back."""
        missing = RESERVE * self.limit - self.remaining
        if missing <= 0:
            return 0.0
        back = missing * self.window / self.limit
        return back if self.reset is None else min(back, self.reset)


@dataclass(frozen=True, slots=True)
class LimitsSaid:
    """Hold what one answer says of the limits; None where it says nothing."""

    requests: Left | None = None
    tokens: Left | None = None

    @property
    def is_scarce(self) -> bool:
        """Tell whether one of them is."""
        return any(left is not None and left.is_scarce for left in (self.requests, self.tokens))

    @property
    def explains_refusal(self) -> bool:
        """Tell whether these numbers say why a request was refused.

        How many tokens the server counted for it is not said, so it may have been too many for any
        number that is scarce.
        """
        requests, tokens = self.requests, self.tokens
        no_requests = requests is not None and requests.remaining < 1 + RESERVE * requests.limit
        return no_requests or (tokens is not None and tokens.is_scarce)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server takes no more for now because of how much was sent, not of what was sent.

    Args:
        retry_after: seconds that it asked to wait, or None.
    """

    retry_after: float | None = None


def read_limit_headers(headers: Mapping[str, str]) -> LimitsSaid:
    """Read what is said of requests and of tokens; never raises.

    Where tokens are limited twice, for the project and for the organisation, the scarcer counts.

    Args:
        headers: the `x-ratelimit-` headers without that prefix; see `Answer.rate_limits`.
    """
    tokens = [_left(headers, kind, 0.0) for kind in ("tokens", "project-tokens")]
    said = [left for left in tokens if left is not None]
    return LimitsSaid(
        _left(headers, "requests", FEW_REQUESTS),
        min(said, key=lambda left: left.remaining) if said else None,
    )


def _left(headers: Mapping[str, str], kind: str, few: float) -> Left | None:
    limit = _number(headers.get(f"limit-{kind}"))
    remaining = _number(headers.get(f"remaining-{kind}"))
    if limit is None or limit < 1 or remaining is None:
        return None
    window = _window(headers.get(f"renewalperiod-{kind}"))
    reset = _duration(headers.get(f"reset-{kind}")) if remaining < SCARCE * limit else None
    return Left(limit, remaining, window, reset, few)


def _window(text: str | None) -> float:
    seconds = _number(text) or _MINUTE
    return seconds if SHORTEST_WINDOW <= seconds <= LONGEST_WINDOW else _MINUTE


def _number(text: str | None) -> float | None:
    """Return a number that is not negative; Azure writes -1 for what it does not know."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _duration(text: str | None) -> float | None:
    seconds = _number(text)
    if seconds is None and text is not None:
        seconds = parse_go_duration(text)
    return seconds if seconds is not None and seconds <= _LONGEST_RESET else None


def read_refusal(answer: Answer) -> Refusal | None:
    """Tell whether *answer* says that too much was sent; None if it says anything else.

    Money that ran out, a conversation that is locked and a request that is larger than its limit
    are no matter of speed. A 503 is one if it says when to come back or that it wants to be asked
    more slowly.
    """
    if answer.status not in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return None
    envelope = read_error_body(answer.body)
    words = {envelope.code, envelope.type}
    if words & MONEY_CODES or envelope.code == LOCK_CODE or is_too_large(answer.status, envelope):
        return None
    is_limit = answer.status == HTTPStatus.TOO_MANY_REQUESTS or words & SLOWER_CODES
    if not is_limit and answer.retry_after is None:
        return None
    return Refusal(answer.retry_after)
