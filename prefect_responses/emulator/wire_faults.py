"""Play a fault on the wire: what happens around a handler, or in its place."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from starlette.responses import RedirectResponse, Response

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.connection import close_connection
from prefect_responses.emulator.faults import (
    AcceptThenDrop,
    AcceptThenStall,
    AcceptThenStatus,
    AnswerStatus,
    Delay,
    DropBefore,
    Gone,
    Redirect,
    Unreadable,
    UnreadableBody,
    Vendor,
)
from prefect_responses.emulator.http_answers import error_answer, error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from prefect_responses.emulator.clock import Clock
    from prefect_responses.emulator.faults import Ending, WireFault


class _HeldStreamError(Exception):
    """A stream was begun that nobody is to see: there is no need to play it."""


def _begins_stream(message: Message) -> bool:
    return any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ()))


@dataclass(frozen=True, slots=True)
class Passage:
    """The way of one request to the app, and of its answer back."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send

    async def forward(self) -> None:
        """Let the app serve the request."""
        await self.app(self.scope, self.receive, self.send)

    async def hold(self) -> list[Message]:
        """Let the app do its work, and keep its answer back."""
        held: list[Message] = []

        async def keep(message: Message) -> None:
            held.append(message)
            if _begins_stream(message):
                raise _HeldStreamError

        with contextlib.suppress(_HeldStreamError):
            await replace(self, send=keep).forward()
        return held

    async def forward_late(self, seconds: float, clock: Clock) -> None:
        """Let the app serve the request, and hold its answer back for a while."""

        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await clock.wait(seconds)
            await self.send(message)

        await replace(self, send=send_late).forward()

    async def answer(self, response: Response) -> None:
        """Answer in place of the app."""
        await response(self.scope, self.receive, self.send)

    async def close(self, ending: Ending) -> None:
        """Close the connection."""
        await close_connection(self.scope, self.receive, ending)


async def play(fault: WireFault | None, passage: Passage, clock: Clock) -> None:
    """Let the app answer, with the fault before it, after it or in its place."""
    match fault:
        case None:
            await passage.forward()
        case Delay():
            await clock.wait(fault.seconds)
            await passage.forward()
        case DropBefore():
            await passage.close(fault.ending)
        case AnswerStatus():
            await passage.answer(error_answer(fault))
        case Redirect():
            await passage.answer(RedirectResponse(fault.location, fault.status))
        case Gone():
            await passage.answer(_not_found(passage.scope["path"]))
        case AcceptThenStall():
            await passage.forward_late(fault.seconds, clock)
        case AcceptThenDrop() | AcceptThenStatus() | Unreadable():
            await _play_after(fault, passage)
        case _:
            assert_never(fault)


async def _play_after(
    fault: AcceptThenDrop | AcceptThenStatus | Unreadable, passage: Passage
) -> None:
    """Let the app do its work; then do to its answer what the fault says."""
    held = await passage.hold()
    match fault:
        case AcceptThenDrop():
            await passage.close(fault.ending)
        case AcceptThenStatus():
            await passage.answer(error_answer(fault))
        case Unreadable():
            await passage.answer(_spoiled(held, fault.body))
        case _:
            assert_never(fault)


def _not_found(path: str) -> Response:
    response_id = path.removesuffix("/cancel").removesuffix("/input_items").rpartition("/")[2]
    return error_response(envelopes.response_not_found(response_id), Vendor(kind="vendor"))


def _spoiled(held: list[Message], kind: UnreadableBody) -> Response:
    body = b"".join(message.get("body", b"") for message in held)
    match kind:
        case UnreadableBody.TRUNCATED:
            content = body[: len(body) // 2]
        case UnreadableBody.ARRAY:
            content = b"[]"
        case UnreadableBody.EMPTY:
            content = b""
        case UnreadableBody.TEXT:
            content = b"OK"
        case _:
            assert_never(kind)
    return Response(content, held[0]["status"], media_type="application/json")
