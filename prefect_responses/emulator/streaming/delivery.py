"""Bring the log of a response to one client, as far as the clock has come and on."""

from __future__ import annotations

import asyncio
import functools
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from prefect_responses.emulator.cancellation import abandon
from prefect_responses.emulator.journal import StreamEnd, StreamNote
from prefect_responses.emulator.streaming.event_log import event_log
from prefect_responses.emulator.streaming.framing import Framing, cursor_of
from prefect_responses.emulator.streaming.stream_wire import StreamCut, StreamWire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from prefect_responses.emulator.answer import StreamAnswer
    from prefect_responses.emulator.clock import Clock
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call
    from prefect_responses.emulator.faults import StreamEnding
    from prefect_responses.emulator.stored_responses import StoredResponse
    from prefect_responses.emulator.streaming.event_log import LoggedEvent

_BATCH = 256
_FOREVER = float(2**31)


async def follow(
    clock: Clock, response: StoredResponse, cursor: int
) -> AsyncIterator[list[LoggedEvent]]:
    """Yield the events after a number: those that are due at once, then each when it is.

    A response that is cancelled meanwhile has another log from there on, which is read anew.
    """
    timeline = None
    while timeline is not response.timeline:
        timeline = response.timeline
        log = event_log(response, clock.now())
        async for due in _as_due(clock, response, dropwhile(_not_after(cursor), log)):
            cursor = due[-1].number
            yield due


def _not_after(cursor: int) -> Callable[[LoggedEvent], bool]:
    return lambda logged: logged.number <= cursor


async def _as_due(
    clock: Clock, response: StoredResponse, log: Iterator[LoggedEvent]
) -> AsyncIterator[list[LoggedEvent]]:
    """Yield a log as time passes, until it ends or the response gets another timeline."""
    timeline = response.timeline
    upcoming = next(log, None)
    while upcoming is not None:
        while upcoming.time > clock.now() and timeline is response.timeline:
            await clock.wait_for_change(until=upcoming.time)
        if timeline is not response.timeline:
            return
        due, upcoming = _take_due(upcoming, log, clock.now())
        yield due


def _take_due(
    first: LoggedEvent, log: Iterator[LoggedEvent], now: float
) -> tuple[list[LoggedEvent], LoggedEvent | None]:
    """Take what is due, and the event that is not."""
    due = [first]
    for logged in log:
        if logged.time > now or len(due) == _BATCH:
            return due, logged
        due.append(logged)
    return due, None


def _give(order: asyncio.Future[StreamEnding], ending: StreamEnding) -> None:
    if not order.done():
        order.set_result(ending)


class EventStream(Response):
    """The answer to a request for a stream."""

    media_type = "text/event-stream"

    def __init__(self, emulation: Emulation, call: Call, answer: StreamAnswer) -> None:
        super().__init__()
        self._emulation = emulation
        self._call = call
        self._answer = answer
        self._framing = Framing(call.struck.vendor, answer.obfuscated)
        self._note = call.exchange.stream = StreamNote(answer.starting_after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until it has ended or the client has gone."""
        fault = self._call.struck.stream
        wire = StreamWire(scope, receive, send, self._emulation.clock, fault, self._note)
        try:
            connected = await self._call.while_connected(self._play(wire))
            if not connected and self._note.ended is StreamEnd.OPEN:
                self._note.ended = StreamEnd.CLIENT_GONE
        finally:
            if not self._answer.response.background:
                abandon(self._answer.response, self._emulation.clock.now())

    async def _play(self, wire: StreamWire) -> None:
        """Send all there is, unless the control plane orders a cut meanwhile."""
        order: asyncio.Future[StreamEnding] = asyncio.get_running_loop().create_future()
        cut = functools.partial(_give, order)
        self._emulation.open_streams.add(cut)
        sending: asyncio.Future[Any] = asyncio.ensure_future(self._send(wire))
        try:
            await asyncio.wait([sending, order], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            else:
                sending.cancel()
                await wire.cut(order.result())
        except StreamCut:
            pass
        finally:
            sending.cancel()
            self._emulation.open_streams.discard(cut)

    async def _send(self, wire: StreamWire) -> None:
        await wire.start()
        await self._send_events(wire)
        await self._stay(wire)
        await wire.end(self._framing.end())
        self._note.ended = StreamEnd.COMPLETE

    async def _send_events(self, wire: StreamWire) -> None:
        vendor = self._call.struck.vendor
        cursor = cursor_of(self._answer.starting_after, vendor)
        async for events in follow(self._emulation.clock, self._answer.response, cursor):
            self._note.last_number = events[-1].number
            await wire.write([self._framing.frame(logged.payload) for logged in events])
            await asyncio.sleep(0)

    async def _stay(self, wire: StreamWire) -> None:
        """Stay connected for ever where the vendor does."""
        vendor = self._call.struck.vendor
        if vendor.stays_open or (vendor.resume_past_end_hangs and not wire.note.events):
            await self._emulation.clock.wait(_FOREVER)
