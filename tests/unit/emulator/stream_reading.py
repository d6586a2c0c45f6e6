"""Open streams of the emulator and read them, by rules of the tests' own."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

STREAMED = {"model": "echo", "input": "One two three.", "stream": True}
BACKGROUND = {**STREAMED, "background": True, "store": True}


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what the server does just after the client has seen the end."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def blocks_of(body: bytes) -> list[bytes]:
    """Split a stream into whole blocks; an unterminated last one is none."""
    return body.split(b"\n\n")[:-1]


def event_of(block: bytes) -> dict[str, Any]:
    """Read one block, whose event line has to agree with its data."""
    name, data = block.split(b"\n")
    event: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    assert name == b"event: " + event["type"].encode()
    return event


def events_of(body: bytes) -> list[dict[str, Any]]:
    return [event_of(block) for block in blocks_of(body)]


def types_of(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


def create(http: httpx.Client, **changes: Any) -> list[dict[str, Any]]:
    """Create in the background and read the stream to its end."""
    return events_of(http.post("/responses", json=BACKGROUND | changes).content)


def resume(http: httpx.Client, response_id: str, after: int | None = None) -> httpx.Response:
    cursor = {} if after is None else {"starting_after": after}
    return http.get(f"/responses/{response_id}", params={"stream": "true", **cursor})


@contextmanager
def opened(
    http: httpx.Client, method: str = "POST", url: str = "/responses", **options: Any
) -> Iterator[Iterator[dict[str, Any]]]:
    """Open a stream and yield its events one by one, as they come."""
    if method == "POST":
        options.setdefault("json", BACKGROUND)
    with http.stream(method, url, **options) as answer:
        assert answer.status_code == 200
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        yield (json.loads(line.removeprefix("data: ")) for line in lines)
