"""Keep the HTTP libraries from logging while one of our requests is on its way.

Between the POST and the commit of its ID nothing may fail, and a log line can: a process whose
console is gone dies in it. The line is not ours to write, so it is dropped here, for our requests
only; those of other users of the library are logged as before.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

#: A filter works on the logger that a record is made with, so each one is named.
LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "aiohttp.client",
)

_ours: ContextVar[bool] = ContextVar("prefect_responses_request", default=False)


class _NotOurs(logging.Filter):
    """Drop the records that are made during one of our requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return not _ours.get()


_FILTER = _NotOurs()


def install() -> None:
    """Put the filter on the loggers; calling it again does nothing."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


class quiet:  # noqa: N801 - it is used as a function would be
    """Drop what the HTTP libraries log in this task until the block ends."""

    # A class, for a generator costs three times as much, and there is one a request.
    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[bool] = _ours.set(True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _ours.reset(self._token)
