"""Write events as server-sent events: as the API does, or as other servers do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.emulator.faults import LineEnding, Vendor
from prefect_responses.emulator.lifecycle import TERMINAL, Status
from prefect_responses.emulator.response_objects import minimal
from prefect_responses.emulator.streaming.item_events import is_delta

if TYPE_CHECKING:
    from prefect_responses.emulator.streaming.item_events import Payload

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

_LINE_ENDINGS: dict[LineEnding, bytes] = {
    LineEnding.LF: b"\n",
    LineEnding.CRLF: b"\r\n",
    LineEnding.CR: b"\r",
}
_NOISE = "qX7bLw2ZkT9vRm4YpN6cHs8JdF3gEa5UxK1yWi0oVtBzQnMjGrCfPuSlDhAeI"
#: A delta and its obfuscation are a multiple of so many characters long.
_OBFUSCATED_LENGTH = 16


def obfuscation(number: int, delta: str) -> str:
    """Fill a delta up to a length that does not give away its own; the same on every replay."""
    missing = _OBFUSCATED_LENGTH - len(delta) % _OBFUSCATED_LENGTH
    start = number * 7 % (len(_NOISE) - _OBFUSCATED_LENGTH)
    return _NOISE[start : start + missing]


@dataclass(frozen=True, slots=True)
class Framing:
    """How one client gets its events."""

    vendor: Vendor
    obfuscated: bool = True
    _usual: bool = field(init=False)

    def __post_init__(self) -> None:
        """Note once whether the vendor changes anything."""
        object.__setattr__(self, "_usual", self.vendor == Vendor(kind="vendor"))

    def frame(self, payload: Payload) -> bytes:
        """Write one event."""
        if self.obfuscated and is_delta(payload) and isinstance(payload["delta"], str):
            noise = obfuscation(payload["sequence_number"], payload["delta"])
            payload = {**payload, "obfuscation": noise}
        if self._usual:
            return b"event: %b\ndata: %b\n\n" % (payload["type"].encode(), orjson.dumps(payload))
        return self._vendor_frame(vendor_payload(payload, self.vendor))

    def end(self) -> bytes:
        """Write what comes after the last event."""
        return self._lines(b"data: [DONE]") if self.vendor.done_marker else b""

    def _vendor_frame(self, payload: Payload) -> bytes:
        lines = [b"data: " + orjson.dumps(payload)]
        if self.vendor.event_lines:
            lines.insert(0, b"event: " + payload["type"].encode())
        comment = self._lines(b": keep-alive") if self.vendor.comments else b""
        return comment + self._lines(*lines)

    def _lines(self, *lines: bytes) -> bytes:
        ending = _LINE_ENDINGS[self.vendor.line_ending]
        return ending.join((*lines, b"", b""))


def vendor_payload(payload: Payload, vendor: Vendor) -> Payload:
    """Change an event as the vendor would have it."""
    changed = {**payload, "sequence_number": payload["sequence_number"] * vendor.sequence_step}
    if not vendor.sequence_numbers:
        del changed["sequence_number"]
    response: dict[str, Any] = payload.get("response") or {}
    status = response.get("status")
    if status in TERMINAL and vendor.terminal_event is not None:
        changed["type"] = vendor.terminal_event
    if status == Status.IN_PROGRESS and vendor.queued_while_streaming:
        changed["response"] = {**response, "status": Status.QUEUED.value}
    if response and vendor.minimal_bodies:
        changed["response"] = minimal(changed["response"])
    return changed


def cursor_of(starting_after: int | None, vendor: Vendor) -> int:
    """Return the last of the log's own numbers that the client has, -1 where it has none."""
    return -1 if starting_after is None else starting_after // vendor.sequence_step
