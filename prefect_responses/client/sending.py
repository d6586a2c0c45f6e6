"""Tell from what a transport raised whether any byte of the request may have left.

The two transports must be asked differently. httpx's own names each step through its `trace`
extension. The one on aiohttp has no such extension and translates coarsely: "server disconnected",
which comes after sending, arrives as a connect timeout. So there the aiohttp error beneath counts.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import httpx

from prefect_responses.wire.answers import TransportFailure

#: What a transport raises; anything else is a mistake in a program and is not hidden.
#: OSError has TimeoutError and the errors of TLS beneath it.
NETWORK_ERRORS = (httpx.HTTPError, aiohttp.ClientError, OSError, EOFError)

_BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_BEFORE_SENDING_ON_AIOHTTP = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
#: Steps of httpx's transport that concern the connection alone, with their `.started` and so on.
_CONNECTING = "connection."


class Sending:
    """Watch one request leave through httpx's own transport."""

    def __init__(self) -> None:
        self._steps: list[str] = []
        self.extensions: dict[str, Any] = {"trace": self._trace}

    async def _trace(self, step: str, info: dict[str, Any]) -> None:
        del info
        self._steps.append(step)

    def failure(self, error: Exception) -> TransportFailure:
        """Say how far the request got that ended with *error*.

        A step of another name than those known, or no step at all, is doubted.
        """
        only_connecting = all(step.startswith(_CONNECTING) for step in self._steps)
        if isinstance(error, _BEFORE_SENDING) or (self._steps and only_connecting):
            return TransportFailure.NOT_SENT
        return TransportFailure.AFTER_SENDING


class SendingOnAiohttp:
    """Judge a request that left through aiohttp: doubt whatever is not a failed connection."""

    def __init__(self) -> None:
        self.extensions: dict[str, Any] = {}

    def failure(self, error: Exception) -> TransportFailure:
        """Say how far the request got that ended with *error*."""
        root = error.__cause__ if isinstance(error, httpx.HTTPError) else error
        if isinstance(root, _BEFORE_SENDING_ON_AIOHTTP):
            return TransportFailure.NOT_SENT
        return TransportFailure.AFTER_SENDING
