"""Carry whole exchanges through aiohttp itself: a fifth of what httpx's layers over it cost."""

from __future__ import annotations

import asyncio
import inspect
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp

from prefect_responses.client.carriers import PIECE, Broken, connect_limit, in_pieces, see_closes
from prefect_responses.client.receiving import note_of
from prefect_responses.client.sending import NETWORK_ERRORS, SendingOnAiohttp

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from prefect_responses.client.carriers import Outgoing
    from prefect_responses.client.receiving import Received

#: Bytes of a line, bytes of a header and headers that an answer may have.
_HEADER_LIMITS = {"max_line_size": 2**17, "max_field_size": 2**17, "max_headers": 1000}


class AiohttpCarrier:
    """Carry exchanges over one session of aiohttp, without a proxy, without cookies.

    aiohttp sends a GET again, once, on another connection if one that was kept was closed under it;
    it never does so with a POST.

    Args:
        root: the URL that all paths follow.
        headers: those of every request; they win over a request's own.
        connect: seconds until a connection stands at most.
        max_connections: connections at once.
        kept_idle: seconds that an idle connection is kept.
        verify: by which context the server's certificate is checked.
    """

    def __init__(  # noqa: PLR0913 - what a connection is made of, all named
        self,
        root: str,
        headers: Mapping[str, str],
        *,
        connect: float,
        max_connections: int,
        kept_idle: float,
        verify: ssl.SSLContext,
    ) -> None:
        self._root = root
        self._headers = headers
        self._connect = connect
        self._max_connections = max_connections
        self._kept_idle = kept_idle
        self._verify = verify

    async def carry(self, request: Outgoing, received: Received, limit: float) -> Broken | None:
        """Carry *request* once; see `Carrier.carry`."""
        try:
            async with asyncio.timeout(limit):
                await self._read_all(request, received, limit)
        except NETWORK_ERRORS as error:
            return Broken(SendingOnAiohttp().failure(error), note_of(error))
        return None

    async def _read_all(self, request: Outgoing, received: Received, limit: float) -> None:
        await see_closes(request.method)
        response = await self._session.request(
            request.method,
            self._root + request.path,
            timeout=_timeouts(connect_limit(self._connect, limit)),
            allow_redirects=False,
            **self._content(request),
        )
        try:
            received.begin(response.status, _text_of(response.raw_headers))
            await received.read_body(response.content.iter_any())
        except BaseException:
            response.close()
            raise
        _let_go(response)

    def _content(self, request: Outgoing) -> dict[str, Any]:
        if not request.headers and not request.body:
            return {}
        own = {name: text for name, text in request.headers.items() if name not in self._headers}
        if len(request.body) <= PIECE:
            return {"headers": own, "data": request.body or None}
        own["content-length"] = str(len(request.body))
        return {"headers": own, "data": in_pieces(request.body)}

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""
        if "_session" in vars(self):
            await self._session.close()

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return open_session(self._max_connections, self._kept_idle, self._verify, self._headers)


def open_session(
    max_connections: int | None,
    kept_idle: float | None,
    verify: ssl.SSLContext,
    headers: Mapping[str, str] | None = None,
) -> aiohttp.ClientSession:
    """Open a session of aiohttp that keeps no cookies and takes long headers; see `Doors`."""
    connector = aiohttp.TCPConnector(
        limit=max_connections or 0, keepalive_timeout=kept_idle, ssl=verify
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        **_header_limits(),
    )


@cache
def _header_limits() -> dict[str, Any]:
    # An answer whose headers are refused leaves its POST in doubt. Older aiohttp has fewer limits.
    taken = inspect.signature(aiohttp.ClientSession).parameters
    return {name: limit for name, limit in _HEADER_LIMITS.items() if name in taken}


@lru_cache(maxsize=16)
def _timeouts(connect: float) -> aiohttp.ClientTimeout:
    # The whole exchange has a limit; see `carry`.
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect)


def _let_go(response: aiohttp.ClientResponse) -> None:
    # A connection of which not all was read cannot be used again.
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _text_of(headers: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    """Return headers by name in lower case; bytes that are no text are kept one by one."""
    texts: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), _decoded(raw_value)
        texts[name] = f"{texts[name]}, {value}" if name in texts else value
    return texts


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
