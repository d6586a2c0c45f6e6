"""A server that does to its clients whatever a test tells it to, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from prefect_responses.attempt import Endpoint
from prefect_responses.client.http import HttpResponsesApi, Timeouts

if TYPE_CHECKING:
    import ssl

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def http_answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    names = {"content-type": "application/json", "content-length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in names.items())
    return f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + body


@dataclass
class RawServer:
    """Answers each request with the next behaviour of its script; the last one stays."""

    ssl: ssl.SSLContext | None = None
    reads_requests: bool = True
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    script: list[Behaviour] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http{'s' if self.ssl else ''}://127.0.0.1:{self.port}/v1"

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.requests)

    def answers(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Add a whole answer to the script."""
        self.sends(http_answer(status, body, **headers))

    def breaks_off(self, status: int, body: bytes, missing: int = 1000) -> None:
        """Add an answer that ends before its announced length."""
        length = str(len(body) + missing)
        self.sends(http_answer(status, body, content_length=length), then="close")

    def sends(self, data: bytes, *, then: str = "wait", pause: float = 0.0) -> None:
        """Add raw bytes, and what follows them: wait for more, close, reset or stall."""

        async def behave(writer: asyncio.StreamWriter) -> None:
            step = 16 if pause else max(1, len(data))
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
                await writer.drain()
                await asyncio.sleep(pause)
            await _end(writer, then)

        self.script.append(behave)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                if self.reads_requests:
                    self.requests.append(await _read_request(reader))
                await (self.script.pop(0) if len(self.script) > 1 else self.script[0])(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _end(writer: asyncio.StreamWriter, how: str) -> None:
    if how == "wait":
        return
    if how == "stall":
        await asyncio.sleep(10)
    if how == "reset":
        await asyncio.sleep(0.05)  # what was sent arrives before the reset does
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    raise ConnectionAbortedError


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)


class _Running:
    """The server's loop, in a thread of its own."""

    def __init__(self, server: RawServer) -> None:
        self._server = server
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._ready.wait(5)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = await asyncio.start_server(
            self._server.handle, "127.0.0.1", 0, ssl=self._server.ssl
        )
        self._server.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        listener.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)


@pytest.fixture
def start_server() -> Iterator[Callable[..., RawServer]]:
    running: list[_Running] = []

    def start(**options: object) -> RawServer:
        server = RawServer(**options)
        running.append(_Running(server))
        return server

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def server(start_server: Callable[..., RawServer]) -> RawServer:
    return start_server()


@pytest.fixture(params=["httpx", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def key() -> str:
    return "sk-test-0123456789abcdef"


@pytest.fixture
async def connect(transport: str, key: str) -> AsyncIterator[Callable[..., HttpResponsesApi]]:
    """Connect a client to a URL over the transport under test."""
    clients: list[HttpResponsesApi] = []

    def build(url: str, *, api_key: str = key, **options: object) -> HttpResponsesApi:
        limits = {"connect": 2.0, "submit": 2.0, "read": 2.0} | options.pop("limits", {})
        endpoint = Endpoint(url, options.pop("organization", ""), options.pop("project", ""))
        clients.append(
            HttpResponsesApi(
                endpoint,
                SecretStr(api_key),
                transport=transport,
                timeouts=Timeouts(**limits),
                **options,
            )
        )
        return clients[-1]

    yield build
    for client in clients:
        await client.aclose()


@pytest.fixture
def api(server: RawServer, connect: Callable[..., HttpResponsesApi]) -> HttpResponsesApi:
    return connect(server.url)
