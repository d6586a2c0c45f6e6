"""Send the POST of a create, as a stream where one was asked for, and say what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.answers import read_create_answer
from prefect_responses.decisions.create_streams import read_create_events, response_of
from prefect_responses.decisions.verdicts import CreateAccepted
from prefect_responses.engine.open_streams import OpenStream
from prefect_responses.wire.requests import without_stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import EventStream, ResponsesApi
    from prefect_responses.decisions.verdicts import CreateVerdict
    from prefect_responses.engine.admission import Admission
    from prefect_responses.engine.open_streams import OpenStreams
    from prefect_responses.wire.stream_events import StreamEvent


class Posting:
    """Post requests to one API, once each.

    Args:
        api: where they go.
        streams: where the stream of an accepted create is left for its follower.
        limit: seconds after which a stream that was asked for must have named its response, its
            wait for a turn apart; 0 for the client's own limit, which is that of the head only.
        admission: learns from the answers how fast requests may leave.
    """

    def __init__(
        self, api: ResponsesApi, streams: OpenStreams, limit: float, admission: Admission
    ) -> None:
        self._api = api
        self._streams = streams
        self._limit = limit or None
        self._admission = admission

    async def post(
        self, attempt: Attempt, body: Mapping[str, Any], client_request_id: str
    ) -> CreateVerdict:
        """Send *body* once.

        Where all streams are taken it is sent without one, and polled: the intent is committed, so
        it must not wait for its turn.

        Raises:
            RequestInvalid: the client would not write it; nothing left.
        """
        if body.get("stream") and self._api.has_free_stream:
            return await self._post_stream(attempt, body, client_request_id)
        answer = await self._api.create(
            without_stream(body), client_request_id=client_request_id, idempotency_key=attempt.key
        )
        self._admission.seen(answer, attempt.model, attempt.id)
        return read_create_answer(answer)

    async def _post_stream(
        self, attempt: Attempt, body: Mapping[str, Any], client_request_id: str
    ) -> CreateVerdict:
        stream = self._api.create_stream(
            body, client_request_id=client_request_id, idempotency_key=attempt.key
        )
        await stream.__aenter__()
        verdict: CreateVerdict | None = None
        try:
            verdict = await self._begin(attempt, stream)
        finally:
            if not self._streams.has(attempt):
                await stream.__aexit__(None, None, None)
        return verdict

    async def _begin(self, attempt: Attempt, stream: EventStream) -> CreateVerdict:
        self._admission.seen(stream.answer or stream.head, attempt.model, attempt.id)
        if stream.answer is not None:
            return read_create_answer(stream.answer)
        events, note = await self._first_events(stream)
        verdict = read_create_events(events, stream.head, note)
        if isinstance(verdict, CreateAccepted) and not verdict.response.status.is_terminal:
            self._streams.put(attempt, OpenStream(stream, tuple(events)))
        return verdict

    async def _first_events(self, stream: EventStream) -> tuple[list[StreamEvent], str]:
        """Read up to the first event that names the response; say why there is none."""
        events: list[StreamEvent] = []
        try:
            async with asyncio.timeout(self._time_left(stream)):
                async for event in stream:
                    events.append(event)
                    if response_of(event) is not None:
                        return events, ""
        except TimeoutError:
            return events, f"no event named it in {self._limit:g} s"
        return events, stream.broken.note if stream.broken else ""

    def _time_left(self, stream: EventStream) -> float | None:
        """Return what the head of the answer has left of the limit: it is one for both."""
        return None if self._limit is None else max(0.0, self._limit - stream.took)
