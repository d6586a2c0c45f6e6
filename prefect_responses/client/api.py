"""The port through which everything else speaks to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from prefect_responses.wire.answers import Answer, AnswerHead, StreamBroken
    from prefect_responses.wire.stream_events import StreamEvent


class EventStream(Protocol):
    """Follow one stream: enter it, look at `answer`, then iterate over its events once.

    The iteration ends after the terminal event, after `[DONE]`, at the end of the stream, or when
    it breaks; `broken` tells the last from the others. An end without a terminal event is no
    outcome: ask. Leaving the block closes the connection, unless the stream was read to its end.
    """

    #: What came instead of a stream (an error, JSON where events were asked for, nothing), or None.
    answer: Answer | None
    #: What the headers said.
    head: AnswerHead
    #: How the stream broke, or None as long as it did not.
    broken: StreamBroken | None
    #: Seconds from the request to the head of what came, without the wait for a turn.
    took: float

    async def __aenter__(self) -> Self:
        """Send the request and read the head of what comes; never raises for the network."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""

    def __aiter__(self) -> Self:
        """Return the stream itself."""

    async def __anext__(self) -> StreamEvent:
        """Return the next event; never raises for the network."""


class ResponsesApi(Protocol):
    """Carry requests to one endpoint and bring back what came.

    Nothing that the network does is raised: it is in the `Answer`. Cancelling the caller's task
    cancels the exchange, and what became of it is then unknown.
    """

    async def create(
        self,
        request: Mapping[str, Any],
        *,
        client_request_id: str,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Send one POST, never a second one, and return what came of it.

        Args:
            request: the JSON body.
            client_request_id: sent as `X-Client-Request-Id`, printable ASCII, up to 512 characters.
            idempotency_key: sent as `Idempotency-Key`; no server is known to honour it on create.

        Raises:
            RequestInvalid: the body is no JSON or a header cannot be sent; nothing was sent.
        """

    async def retrieve(self, response_id: str) -> Answer:
        """Read a response; a passing failure is tried twice within about a second.

        Args:
            response_id: the API's ID.

        Raises:
            RequestInvalid: this is no response ID; nothing was sent.
        """

    async def list_responses(self, *, after: str | None, limit: int = 100) -> Answer:
        """Read a page of the stored responses, the newest first, where the server lists them.

        A passing failure is tried twice within about a second. OpenAI has no such list.

        Args:
            after: the API's ID that the page follows, or None for the first page.
            limit: responses on the page at most; servers take 1 to 100.

        Raises:
            RequestInvalid: *after* is no response ID; nothing was sent.
        """

    async def cancel(self, response_id: str) -> Answer:
        """Ask to cancel a response; a passing failure is tried twice within about a second.

        Args:
            response_id: the API's ID.

        Raises:
            RequestInvalid: this is no response ID; nothing was sent.
        """

    def create_stream(
        self,
        request: Mapping[str, Any],
        *,
        client_request_id: str,
        idempotency_key: str | None = None,
    ) -> EventStream:
        """Send one POST with `stream` set, never a second one, and follow its events.

        A stream holds one of the streams' connections for as long as it is open.

        Args:
            request: the JSON body; `stream` is added.
            client_request_id: see `create`.
            idempotency_key: see `create`.

        Raises:
            RequestInvalid: the body is no JSON or a header cannot be sent; nothing was sent.
        """

    def stream(self, response_id: str, *, starting_after: int | None = None) -> EventStream:
        """Follow the events of a response that is there.

        A stream holds one of the streams' connections for as long as it is open.

        Args:
            response_id: the API's ID.
            starting_after: number of the last event seen; only later ones are sent.

        Raises:
            RequestInvalid: this is no response ID; nothing was sent.
        """

    @property
    def has_free_stream(self) -> bool:
        """Tell whether a stream could be opened without waiting for another one's end."""

    def redact(self, text: str) -> str:
        """Return *text* with all secrets of this endpoint starred out, each at its own length.

        What arrives has none of them in one piece, but a server may have split one.
        """

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""
