"""Cut bytes into server-sent events, however the network cut them.

The rules are those of the HTML standard, "Interpreting an event stream". Lines stay bytes: no byte
of a character in UTF-8 looks like a line break, and the JSON reader takes bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE_BREAK = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOTHING = b""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """Hold one event that was sent whole.

    Args:
        name: what its `event:` line said, or empty.
        data: its `data:` lines; empty if it was too long.
        too_long: whether it was longer than the decoder keeps.
    """

    name: bytes
    data: bytes = field(repr=False)
    too_long: bool = False


class EventDecoder:
    """Take bytes as they come and give the events that they complete.

    An event that its blank line never followed is not given.

    Args:
        largest_event: bytes of an event that are kept; of a longer one only its end is noticed.
    """

    def __init__(self, largest_event: int) -> None:
        self._largest_event = largest_event
        self._line: list[bytes] = []  # pieces of a line whose end has not come
        self._held = 0  # their bytes
        self._after_return = False
        self._has_begun = False
        self._start()

    def _start(self) -> None:
        self._name = _NOTHING
        self._data: list[bytes] = []
        self._size = 0
        self._too_long = False

    def decode(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that *chunk* completes; exhaust it before decoding more."""
        *lines, rest = self._split(chunk)
        if lines:
            self._complete(lines)
        for line in lines:
            if line:
                self._field(line)
                continue
            if self._data or self._too_long:
                yield self._event()
            self._start()
        if rest:
            self._keep(rest)

    def _split(self, chunk: bytes) -> list[bytes]:
        if self._after_return and chunk:
            self._after_return = False
            chunk = chunk.removeprefix(b"\n")
        # A return ends its line at once, so that the last event never waits for a byte that does
        # not come; a line feed that follows it in the next chunk belongs to it.
        if b"\r" in chunk:
            self._after_return = chunk.endswith(b"\r")
            return _LINE_BREAK.split(chunk)
        return chunk.split(b"\n")

    def _complete(self, lines: list[bytes]) -> None:
        if self._line:
            lines[0] = b"".join([*self._line, lines[0]])
            self._line.clear()
            self._held = 0
        if not self._has_begun:
            self._has_begun = True
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)

    def _keep(self, rest: bytes) -> None:
        self._line.append(rest)
        self._held += len(rest)
        if self._held + self._size > self._largest_event:
            self._too_long = True
            self._line = [b":"]  # the rest of the line is a comment, and not a blank line
            self._held = 1

    def _field(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > self._largest_event:
            self._too_long = True
            self._data.clear()
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._name = value.removeprefix(b" ")

    def _event(self) -> ServerSentEvent:
        if self._too_long:
            return ServerSentEvent(self._name, _NOTHING, too_long=True)
        return ServerSentEvent(self._name, b"\n".join(self._data))
