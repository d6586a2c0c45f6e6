"""Send the bytes of one stream, with the fault that strikes it on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from prefect_responses.emulator.connection import close_connection, written_out
from prefect_responses.emulator.faults import (
    CutStream,
    Ending,
    SlowStream,
    StallStream,
    StreamEnding,
)
from prefect_responses.emulator.journal import StreamEnd
from prefect_responses.emulator.streaming.framing import HEADERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Receive, Scope, Send

    from prefect_responses.emulator.clock import Clock
    from prefect_responses.emulator.faults import StreamFault
    from prefect_responses.emulator.journal import StreamNote


class StreamCut(Exception):
    """The stream was cut: nothing more can be sent."""


@dataclass(frozen=True, slots=True)
class StreamWire:
    """One connection that a stream is sent over; the note counts what was sent."""

    scope: Scope
    receive: Receive
    send: Send
    clock: Clock
    fault: StreamFault | None
    note: StreamNote

    async def start(self) -> None:
        """Send the head."""
        await self.send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._obey_fault()

    async def write(self, frames: Sequence[bytes]) -> None:
        """Send events: all at once, or one by one where a fault looks for its place."""
        if self.fault is None:
            await self._send(b"".join(frames))
            self.note.events += len(frames)
            return
        for frame in frames:
            await self._write_piece(frame)
            self.note.events += 1
            await self._obey_fault()

    async def end(self, last: bytes = b"") -> None:
        """Send what comes last, and end the body."""
        self.note.bytes += len(last)
        await self.send({"type": "http.response.body", "body": last, "more_body": False})

    async def cut(self, ending: StreamEnding) -> None:
        """End the stream in a way that no server would choose."""
        self.note.ended = StreamEnd.CUT
        match ending:
            case StreamEnding.CLEAN:
                await self.end()
            case StreamEnding.RESET | StreamEnding.EOF:
                await written_out(self.scope)
                await close_connection(self.scope, self.receive, Ending(ending.value))
            case _:
                assert_never(ending)
        raise StreamCut

    async def _send(self, body: bytes) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": True})
        self.note.bytes += len(body)

    async def _write_piece(self, frame: bytes) -> None:
        match self.fault:
            case CutStream(after_bytes=int(limit)) if self.note.bytes + len(frame) >= limit:
                await self._send(frame[: limit - self.note.bytes])
                await self.cut(self.fault.ending)
            case SlowStream():
                await self._drip(frame, self.fault)
            case _:
                await self._send(frame)

    async def _drip(self, frame: bytes, fault: SlowStream) -> None:
        for start in range(0, len(frame), fault.chunk_bytes):
            await self._send(frame[start : start + fault.chunk_bytes])
            await self.clock.wait(fault.seconds)

    async def _obey_fault(self) -> None:
        """Cut or stall where the place is reached."""
        match self.fault:
            case None | SlowStream():
                pass
            case CutStream():
                if self.note.events == self.fault.after_events or self.fault.after_bytes == 0:
                    await self.cut(self.fault.ending)
            case StallStream():
                if self.note.events == self.fault.after_events:
                    await self.clock.wait(self.fault.seconds)
            case _:
                assert_never(self.fault)
