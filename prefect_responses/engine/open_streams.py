"""Streams that a create opened and that nobody follows yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import EventStream
    from prefect_responses.wire.stream_events import StreamEvent


@dataclass(frozen=True, slots=True)
class OpenStream:
    """An open stream, and the events that were read of it to learn the response's ID."""

    stream: EventStream = field(repr=False)
    events: tuple[StreamEvent, ...] = ()

    async def close(self) -> None:
        """Close the connection; the response goes on."""
        await self.stream.__aexit__(None, None, None)


class OpenStreams:
    """Hand the stream of a create over to whoever follows the response.

    A background response goes on without its stream, so one that nobody takes is closed.
    """

    def __init__(self) -> None:
        self._open: dict[str, OpenStream] = {}

    def put(self, attempt: Attempt, stream: OpenStream) -> None:
        """Leave the stream of *attempt* for its follower."""
        self._open[attempt.id] = stream

    def has(self, attempt: Attempt) -> bool:
        """Tell whether a stream of *attempt* waits for its follower."""
        return attempt.id in self._open

    def take(self, attempt: Attempt) -> OpenStream | None:
        """Take the stream of *attempt*, if there is one; it is the caller's to close."""
        return self._open.pop(attempt.id, None)

    async def close(self, attempt: Attempt) -> None:
        """Close the stream of *attempt* that nobody took."""
        stream = self.take(attempt)
        if stream is not None:
            await stream.close()
