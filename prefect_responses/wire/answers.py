"""What one HTTP exchange gave, before anyone says what it means."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_REQUEST_ID = 512
#: More seconds than a day are a date or a mistake: no server that limits a rate asks for them.
_LONGEST_RETRY_AFTER = 86_400.0
_RATE_LIMIT = "x-ratelimit-"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class TransportFailure(Enum):
    """Say how far a request got that was not fully answered."""

    #: No byte of it left this machine: repeating it is safe.
    NOT_SENT = "not_sent"
    #: Some of it may have left.
    AFTER_SENDING = "after_sending"


class BreakKind(Enum):
    """Say how a stream broke."""

    #: No byte came for longer than a stream may be silent.
    IDLE = "idle"
    #: The connection ended before the stream did.
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """A stream broke; the work behind it may go on.

    Args:
        kind: how it broke.
        note: what failed, in words without secrets.
    """

    kind: BreakKind
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what one HTTP exchange gave: an answer, a failure, or an answer that broke off.

    Args:
        status: the HTTP status, or None if no answer began.
        body: what arrived of the body.
        content_type: the media type, in lower case, without parameters.
        server_request_id: the server's `x-request-id`.
        client_request_id: the `X-Client-Request-Id` that we sent.
        retry_after: seconds that the server asked to wait, up to a day, or None.
        should_retry: what `x-should-retry` says, or None; a hint, never a proof.
        rate_limits: the `x-ratelimit-` headers without that prefix, as text.
        failure: how far the request got, if it was not fully answered.
        note: what failed, in words without secrets.
    """

    status: int | None = None
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    server_request_id: str | None = None
    client_request_id: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    rate_limits: Mapping[str, str] = field(default_factory=dict, hash=False)
    failure: TransportFailure | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """Hold what the headers of an answer say; the fields are those of `Answer`."""

    content_type: str = ""
    server_request_id: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    rate_limits: Mapping[str, str] = field(default_factory=dict, hash=False)


def read_head(headers: Mapping[str, str], now: float) -> AnswerHead:
    """Read the headers that we rely on.

    Args:
        headers: the answer's headers, names in lower case.
        now: seconds since the epoch, to count a `Retry-After` date from.
    """
    return AnswerHead(
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        server_request_id=headers.get("x-request-id", "")[:_LONGEST_REQUEST_ID] or None,
        retry_after=read_retry_after(headers, now),
        should_retry=_FLAGS.get(headers.get("x-should-retry", "").strip().lower()),
        rate_limits={
            name[len(_RATE_LIMIT) :]: value
            for name, value in headers.items()
            if name.startswith(_RATE_LIMIT)
        },
    )


_FLAGS = {"true": True, "false": False}


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the server asked to wait, or None if it did not ask.

    `retry-after-ms` comes first, then `Retry-After` as seconds or as a date (API reference,
    Headers). A durable client can wait for hours, so the wait is not capped; one of more than a day
    cannot be meant, and counts as none.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    wait = _believed(None if milliseconds is None else milliseconds / 1000)
    if wait is not None:
        return wait
    text = headers.get("retry-after")
    seconds = _number(text)
    return _believed(seconds if seconds is not None or text is None else _seconds_until(text, now))


def _believed(wait: float | None) -> float | None:
    return None if wait is None or wait > _LONGEST_RETRY_AFTER else wait


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _seconds_until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def parse_go_duration(text: str) -> float | None:
    """Return the seconds of a duration such as `6m0s`, `21ms` or `2s81ms`, or None.

    The `x-ratelimit-reset-` headers are written so (API reference, Headers).
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
