"""A Responses API that costs next to nothing and counts: a process of its own, no framework.

It answers POST /v1/responses, GET /v1/responses/ID, and beside the API GET /stats and POST /reset.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import orjson

#: Brings a finished response to two kilobytes.
PADDING = "x" * 1200
ANSWER = '{"word":"hello","number":3}'
_BLANK = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass
class Latency:
    """Say how long responses take.

    Args:
        median: seconds.
        tail: 95 in a hundred take at most this many times the median; 1 is a constant.
        scale: seconds of the API's own time in one second of the machine's.
    """

    median: float = 1.0
    tail: float = 1.0
    scale: float = 1.0

    def draw(self, chance: random.Random) -> float:
        """Return the seconds that the next response takes."""
        return self.median * math.exp(chance.gauss(0.0, 1.0) * math.log(self.tail) / 1.6449)


@dataclass
class Counts:
    """What was asked since the last reset."""

    posts: int = 0
    gets: int = 0
    unknown: int = 0
    lags: float = 0.0
    latencies: float = 0.0
    ended: int = 0
    first_get_at: float = 0.0
    last_first_get_at: float = 0.0
    polled: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class Stored:
    """One response."""

    began: float
    ends: float
    is_seen: bool = False


class Api:
    """All responses, and what was asked of them."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._latency = Latency()
        self._stored: dict[bytes, Stored] = {}
        self._chance = random.Random(1)  # noqa: S311 - latencies are no secrets
        self._born = time.time()

    def reset(self, query: str) -> bytes:
        """Forget the counts, and the responses if *query* says how long new ones take."""
        self.counts = Counts()
        told = {name: float(value) for name, value in parse_qsl(query)}
        if told:
            self._latency, self._born = Latency(**told), time.time()
            self._chance.seed(1)
            self._stored.clear()
        return b"{}"

    def stats(self) -> bytes:
        """Return the counts, and the processor seconds that this process took so far."""
        facts = {**vars(self.counts), "polled": len(self.counts.polled)}
        return orjson.dumps({**facts, "cpu": time.process_time()})

    def create(self) -> bytes:
        """Begin a response."""
        self.counts.posts += 1
        response_id = b"resp_%032d" % len(self._stored)
        now = time.time()
        self._stored[response_id] = Stored(now, now + self._latency.draw(self._chance))
        return self._object(response_id, now, None)

    def retrieve(self, response_id: bytes) -> bytes | None:
        """Return a response as it stands, and note who asked when."""
        stored, now, counts = self._stored.get(response_id), time.time(), self.counts
        if stored is None:
            counts.unknown += 1
            return None
        counts.gets += 1
        if response_id not in counts.polled:
            counts.polled.add(response_id)
            counts.first_get_at = counts.first_get_at or now
            counts.last_first_get_at = now
        if now < stored.ends:
            return self._object(response_id, stored.began, None)
        if not stored.is_seen:
            stored.is_seen = True
            counts.ended += 1
            counts.lags += now - stored.ends
            counts.latencies += stored.ends - stored.began
        return self._object(response_id, stored.began, stored.ends)

    def _object(self, response_id: bytes, began: float, ended: float | None) -> bytes:
        return orjson.dumps(
            {
                "id": response_id.decode(),
                "object": "response",
                "created_at": int(self._scaled(began)),
                "completed_at": None if ended is None else int(self._scaled(ended)),
                "status": "in_progress" if ended is None else "completed",
                "model": "stub",
                "background": True,
                "store": True,
                "output": [] if ended is None else [_MESSAGE],
                "usage": None if ended is None else _USAGE,
                "error": None,
                "incomplete_details": None,
                "metadata": {},
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
                "instructions": PADDING,
            }
        )

    def _scaled(self, moment: float) -> float:
        return self._born + (moment - self._born) * self._latency.scale


_MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}],
}
_USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 120,
}


class Connection(asyncio.Protocol):
    """Read HTTP/1.1 requests of one connection, and answer them in order."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._read += data
        while (end := self._read.find(_BLANK)) >= 0:
            head = self._read[:end]
            whole = end + len(_BLANK) + _length_in(head)
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        method, target = head.split(b" ", 2)[:2]
        body = self._body(method, target)
        status = b"404 Not Found" if body is None else b"200 OK"
        body = body or b'{"error": {"message": "No such response.", "type": "invalid"}}'
        return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            status,
            len(body),
            body,
        )

    def _body(self, method: bytes, target: bytes) -> bytes | None:
        if method == b"POST" and target == b"/v1/responses":
            return self._api.create()
        if method == b"GET" and target == b"/stats":
            return self._api.stats()
        path = urlsplit(target)
        if method == b"POST" and path.path == b"/reset":
            return self._api.reset(path.query.decode())
        return self._api.retrieve(path.path.rpartition(b"/")[2])


def _length_in(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    if at < 0:
        return 0
    return int(lowered[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


async def serve(port_file: Path) -> None:
    """Listen on a free port, say which, and serve until killed."""
    api = Api()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(api), "127.0.0.1", 0, backlog=4096)
    half = port_file.with_suffix(".half")
    half.write_text(str(server.sockets[0].getsockname()[1]))
    half.rename(port_file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
