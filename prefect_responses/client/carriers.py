"""Carry one whole exchange over a transport: what is sent, what arrives, and how far it got."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

import httpx

from prefect_responses.client.receiving import note_of
from prefect_responses.client.sending import NETWORK_ERRORS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from prefect_responses.client.receiving import Received
    from prefect_responses.client.sending import Sending, SendingOnAiohttp
    from prefect_responses.wire.answers import TransportFailure

#: Bytes that are written at once. aiohttp warns about more, and writes them without a pause.
PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Hold what is to be sent.

    Args:
        method: such as `POST`.
        path: what follows the root of the responses, quoted.
        headers: those of this request alone, names in lower case.
        body: the whole body.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """Say how an exchange failed: how far its request got, and in words that may hold secrets."""

    failure: TransportFailure
    note: str = field(repr=False)


class Carrier(Protocol):
    """Carry exchanges to one endpoint."""

    async def carry(self, request: Outgoing, received: Received, limit: float) -> Broken | None:
        """Carry *request* once, never twice if it is a POST, within *limit* seconds.

        Args:
            request: what to send.
            received: takes what arrives, also if the rest never comes.
            limit: seconds that the whole exchange may take.

        Returns:
            How it failed, or None.
        """

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""


class HttpxCarrier:
    """Carry exchanges through a client of httpx.

    Args:
        client: whose connections are used.
        root: the URL that all paths follow.
        headers: those of every request; they win over a request's own, since a default header of
            the same name was set by somebody who needed it so.
        sending: judges how far a request got.
        connect: seconds until a connection stands at most.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        root: str,
        headers: Mapping[str, str],
        sending: Callable[[], Sending | SendingOnAiohttp],
        connect: float,
    ) -> None:
        self.client = client
        self._root = root
        self._headers = headers
        self._sending = sending
        self._connect = connect

    async def carry(self, request: Outgoing, received: Received, limit: float) -> Broken | None:
        """Carry *request* once; see `Carrier.carry`."""
        prepared, sending = self.prepare(request, limit)
        try:
            async with asyncio.timeout(limit):
                await self._read_all(prepared, received)
        except NETWORK_ERRORS as error:
            return Broken(sending.failure(error), note_of(error))
        return None

    def prepare(
        self, outgoing: Outgoing, limit: float
    ) -> tuple[httpx.Request, Sending | SendingOnAiohttp]:
        """Return the request as httpx sends it, and who judges how far it gets."""
        sending = self._sending()
        headers = {**outgoing.headers, **self._headers}
        content: bytes | AsyncIterator[bytes] = outgoing.body
        if len(outgoing.body) > PIECE:
            headers["content-length"] = str(len(outgoing.body))
            content = in_pieces(outgoing.body)
        url = self._root + outgoing.path
        request = httpx.Request(outgoing.method, url, headers=headers, content=content)
        steps = _step_timeouts(connect_limit(self._connect, limit))
        request.extensions = {"timeout": steps, **sending.extensions}
        return request, sending

    async def _read_all(self, request: httpx.Request, received: Received) -> None:
        await see_closes(request.method)
        response = await self.client.send(request, stream=True)
        try:
            received.begin(response.status_code, response.headers)
            await read_body(response, received)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""
        await self.client.aclose()


async def read_body(response: httpx.Response, received: Received) -> None:
    """Read the body of *response*, decoded, and leave no generator open."""
    async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_bytes())) as chunks:
        await received.read_body(chunks)


def connect_limit(connect: float, limit: float) -> float:
    """Return the seconds until a connection stands, of an exchange that may take *limit*.

    They are much fewer than those, so that a failure to connect is always seen as what it is.
    """
    return min(connect, limit / 3)


def _step_timeouts(connect: float) -> dict[str, float | None]:
    # aiohttp's transport takes `pool` as the time to get a connection, name lookup included.
    # Reading and writing have no limit of their own: the whole exchange has.
    return {"connect": connect, "pool": connect, "read": None, "write": None}


async def see_closes(method: str) -> None:
    """Let the loop see which kept connections were closed while it was busy, before a POST.

    A POST on such a connection is a POST in doubt. A read is sent again anyway.
    """
    if method == "POST":
        # First the loop asks which sockets have something to read, then it reads them.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Go through *body* in pieces that can be written at once."""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
