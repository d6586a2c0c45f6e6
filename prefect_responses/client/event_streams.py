"""Follow a stream of events over HTTP until it says that it is over, ends, or breaks.

Nothing that the network does is raised. A stream that does not begin is an `Answer`, one that
breaks off says so in `broken`, and what arrived before stays arrived.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, cast

from prefect_responses.client import quiet
from prefect_responses.client.carriers import read_body, see_closes
from prefect_responses.client.receiving import Received, line_of, note_of
from prefect_responses.client.sending import NETWORK_ERRORS
from prefect_responses.wire.answers import AnswerHead, BreakKind, StreamBroken
from prefect_responses.wire.stream_events import EventReader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    import httpx

    from prefect_responses.client.secrets import Redactor
    from prefect_responses.client.sending import Sending, SendingOnAiohttp
    from prefect_responses.wire.answers import Answer, TransportFailure
    from prefect_responses.wire.stream_events import StreamEvent

_EVENT_STREAM = "text/event-stream"
_SUCCESSES = range(200, 300)


@dataclass(frozen=True, slots=True)
class StreamOpening:
    """Hold what a stream is opened with.

    Args:
        client: carries the request.
        request: the request.
        sending: judges how far it got.
        redactor: keeps secrets out of what arrives.
        turns: a stream holds one of them from its opening to its end.
        limit: seconds until the head of the answer is there, and its body where it is no stream.
        idle: seconds without a byte after which a stream is broken.
        largest_body: bytes of an answer, not of a stream, that are read at most.
        client_request_id: the `X-Client-Request-Id` of the request.
    """

    client: httpx.AsyncClient
    request: httpx.Request
    sending: Sending | SendingOnAiohttp
    redactor: Redactor
    turns: asyncio.Semaphore
    limit: float
    idle: float
    largest_body: int
    client_request_id: str | None


class HttpEventStream:
    """Follow one stream over HTTP; an implementation of `client.api.EventStream`."""

    def __init__(self, opening: StreamOpening) -> None:
        # A compressed stream comes in blocks, which hold events back.
        opening.request.headers["accept"] = f"{_EVENT_STREAM}, application/json"
        opening.request.headers["accept-encoding"] = "identity"
        self.answer: Answer | None = None
        self.head = AnswerHead()
        self.broken: StreamBroken | None = None
        self.took = 0.0
        self._opening = opening
        self._reader = EventReader(clean=opening.redactor.body)
        self._events: deque[StreamEvent] = deque()
        self._response: httpx.Response | None = None
        self._chunks: AsyncGenerator[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self._opening.turns.acquire()
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        await self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        while not self._events:
            if self._chunks is None or self._reader.is_closed:
                raise StopAsyncIteration
            await self._read(self._chunks)
        event = self._events.popleft()
        if event.is_terminal:
            # Some servers keep the socket open after it, and others break it: neither matters.
            self._reader.close()
            self._events.clear()
        return event

    async def _open(self) -> None:
        received = Received(self._opening.largest_body)
        failure: TransportFailure | None = None
        note = ""
        sent_at = time.monotonic()
        try:
            with quiet.quiet():
                async with asyncio.timeout(self._opening.limit):
                    await self._receive(received)
        except NETWORK_ERRORS as error:
            failure, note = self._opening.sending.failure(error), note_of(error)
        self.took = time.monotonic() - sent_at
        if self._chunks is None:
            answer = received.answer(failure, note, self._opening.redactor)
            self.answer = replace(answer, client_request_id=self._opening.client_request_id)

    async def _receive(self, received: Received) -> None:
        await see_closes(self._opening.request.method)
        response = await self._opening.client.send(self._opening.request, stream=True)
        self._response = response
        received.begin(response.status_code, response.headers)
        self.head = received.head
        if response.status_code in _SUCCESSES and self.head.content_type == _EVENT_STREAM:
            self._chunks = cast("AsyncGenerator[bytes]", response.aiter_bytes())
        else:
            await read_body(response, received)

    async def _read(self, chunks: AsyncGenerator[bytes]) -> None:
        try:
            with quiet.quiet():
                async with asyncio.timeout(self._opening.idle):
                    chunk = await anext(chunks, None)
        except NETWORK_ERRORS as error:
            kind = BreakKind.IDLE if isinstance(error, TimeoutError) else BreakKind.CUT
            self.broken = StreamBroken(kind, line_of(note_of(error), self._opening.redactor))
            chunk = None
        if chunk is None:
            self._reader.close()
        else:
            self._events.extend(self._reader.feed(chunk))

    async def _close(self) -> None:
        chunks, response = self._chunks, self._response
        self._chunks = self._response = None
        self._reader.close()
        self._events.clear()
        try:
            with quiet.quiet(), suppress(*NETWORK_ERRORS):  # what had to be read of it was read
                await _close_both(chunks, response)
        finally:
            self._opening.turns.release()


async def _close_both(
    chunks: AsyncGenerator[bytes] | None, response: httpx.Response | None
) -> None:
    try:
        if chunks is not None:
            await chunks.aclose()
    finally:
        if response is not None:
            await response.aclose()
