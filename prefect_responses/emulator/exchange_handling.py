"""Handle one request of the imitated API from its first byte to its last.

Every request goes the same way: it is written to the journal, the fault rules are asked, the wire
fault is played around the handler, and what leaves is noted.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.answer import StreamAnswer
from prefect_responses.emulator.clock import ClockStoppedError
from prefect_responses.emulator.faults import Ending
from prefect_responses.emulator.headers import answer_headers
from prefect_responses.emulator.http_answers import error_response, json_response
from prefect_responses.emulator.streaming.delivery import EventStream
from prefect_responses.emulator.wire_faults import Passage, play

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from prefect_responses.emulator.answer import Answer
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.fault_rules import Struck
    from prefect_responses.emulator.journal import Exchange

CONTROL_PREFIX = "/_emulator"
_CALL = "emulator_call"


@dataclass(slots=True)
class Call:
    """One request with what the emulator knows of it."""

    exchange: Exchange
    struck: Struck
    receive: Receive
    path_params: dict[str, str]

    @property
    def response_id(self) -> str:
        """The response that the path names."""
        return self.path_params["response_id"]

    async def while_connected(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work; drop it and return False where the client closes the connection first."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._client_gone())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if finished := working.done():
                working.result()
            return finished
        finally:
            working.cancel()
            leaving.cancel()

    async def _client_gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass


class ImitatedApi:
    """Wrap the routes: journal, faults and headers for all but the control plane."""

    def __init__(self, app: ASGIApp, emulation: Emulation) -> None:
        self._app = app
        self._emulation = emulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        emulation = self._emulation
        body = await _read_body(receive)
        exchange = emulation.journal.begin(emulation.clock.now(), scope, body)
        struck = emulation.faults.strike(exchange)
        exchange.faults = struck.kinds
        scope["state"][_CALL] = Call(exchange, struck, receive, {})
        noted = _noting(send, exchange, emulation)
        passage = Passage(self._app, scope, receive, noted)
        try:
            await play(struck.wire, passage, emulation.clock)
        except ClockStoppedError:
            await passage.close(Ending.EOF)
        finally:
            emulation.journal.record_end(exchange, emulation.clock.now())


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _noting(send: Send, exchange: Exchange, emulation: Emulation) -> Send:
    """Add the API's headers to what is sent, and note its status."""
    began = time.perf_counter()
    request_id = emulation.randomness.identifiers.request()

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            took_ms = int((time.perf_counter() - began) * 1000)
            rates = emulation.rates.headers(emulation.clock.now())
            message["headers"] = [*message["headers"], *answer_headers(request_id, took_ms), *rates]
        await send(message)

    return noted


def endpoint(
    emulation: Emulation, handler: Callable[[Emulation, Call], Awaitable[Answer | StreamAnswer]]
) -> Callable[[Request], Awaitable[Response]]:
    """Turn a handler into a route's endpoint: check the key, answer, refuse in the API's words."""

    async def serve(request: Request) -> Response:
        call: Call = request.scope["state"][_CALL]
        call.path_params = request.path_params
        try:
            _check_key(emulation, call.exchange.key)
            answer = await handler(emulation, call)
        except envelopes.ApiError as error:
            return error_response(error, call.struck.vendor)
        if isinstance(answer, StreamAnswer):
            return EventStream(emulation, call, answer)
        return json_response(answer.status, answer.body, call.struck.vendor)

    return serve


def _check_key(emulation: Emulation, key: str | None) -> None:
    if key is None:
        raise envelopes.missing_key()
    if key in emulation.settings.rejected_keys:
        raise envelopes.known_error("invalid_api_key")
