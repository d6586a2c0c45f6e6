"""A server that sends whatever a test writes, and engines that talk to it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from engine_bench import API_KEY, Bench
from pydantic import SecretStr

from prefect_responses.attempt import Endpoint
from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.wire.requests import OPENAI

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prefect_responses.clock import Clock

RESPONSE_ID = "resp_0123456789abcdef"


class Exchange:
    """One request, and the pen that its answer is written with."""

    def __init__(self, method: str, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(target)
        self.method = method
        self.path = url.path
        self.body = body
        self.is_create = method == "POST" and url.path.endswith("/responses")
        self.is_cancel = url.path.endswith("/cancel")
        self.is_stream = "stream=true" in url.query
        self.is_read = method == "GET" and not self.is_stream
        self.keeps_open = True
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def json(self, answer: Any, status: int = 200) -> None:
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
        await self.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    async def begin(self) -> None:
        """Begin a stream, which ends with the connection, when the handler returns."""
        self.keeps_open = False
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        await self.send(head)

    async def event(self, **event: Any) -> None:
        await self.send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    async def stream(self, *events: dict[str, Any]) -> None:
        await self.begin()
        for event in events:
            await self.event(**event)

    def drop(self) -> None:
        self.keeps_open = False


class RawServer:
    """Serve each request by a handler; `seen` holds the requests, in order."""

    def __init__(self, handler: Callable[[Exchange], Awaitable[None]]) -> None:
        self.seen: list[Exchange] = []
        self._handler = handler
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def creates(self) -> int:
        return sum(exchange.is_create for exchange in self.seen)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            keeps_open = True
            while keeps_open:
                exchange = await _read(reader, writer)
                self.seen.append(exchange)
                await self._handler(exchange)
                keeps_open = exchange.keeps_open
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
    line, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    length = next((int(h.split(":")[1]) for h in headers if h.startswith("content-length")), 0)
    method, target, _ = line.split(" ")
    return Exchange(method.upper(), target, await reader.readexactly(length), writer)


def response(
    status: str = "in_progress", text: str | None = None, id_: str = RESPONSE_ID, **more: Any
) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [part]}
    output = [] if text is None else [message | {"status": "completed"}]
    made = {"id": id_, "object": "response", "model": "echo", "created_at": 1}
    return made | {"status": status, "output": output} | more


def created(id_: str = RESPONSE_ID) -> dict[str, Any]:
    return {"type": "response.created", "sequence_number": 0, "response": response(id_=id_)}


def delta(text: str, number: int = 1) -> dict[str, Any]:
    place = {"output_index": 0, "content_index": 0}
    event = {"type": "response.output_text.delta", "sequence_number": number, "delta": text}
    return event | place


def ended(answer: dict[str, Any], status: str = "completed", number: int = 9) -> dict[str, Any]:
    return {"type": f"response.{status}", "sequence_number": number, "response": answer}


async def aimed(
    bench: Bench, url: str | None = None, *, clock: Clock | None = None, max_streams: int = 100
) -> Bench:
    """Open the next process: it talks to *url*, patiently, over so many streams at once."""
    again = await bench.again(clock=clock)
    again.api = HttpResponsesApi(
        Endpoint(url or bench.emulator.url),
        SecretStr(API_KEY),
        transport="httpx",
        timeouts=Timeouts(connect=2.0, submit=20.0, read=20.0, idle=20.0),
        max_streams=max_streams,
    )
    again.opened.append(again.api)
    again.responses = DurableResponses(again.ledger, again.api, again.clock, OPENAI, again.observer)
    return again
