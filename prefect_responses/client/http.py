"""Speak HTTP to one endpoint: one request in, one `Answer` out, whatever the network does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import orjson
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    wait_random,
)

from prefect_responses.client import quiet
from prefect_responses.client.carriers import Outgoing
from prefect_responses.client.doors import Doors
from prefect_responses.client.endpoints import check_base_url, path_segment
from prefect_responses.client.event_streams import HttpEventStream, StreamOpening
from prefect_responses.client.receiving import Received
from prefect_responses.client.secrets import Redactor, check_header
from prefect_responses.errors import RequestInvalid

if TYPE_CHECKING:
    import ssl
    from asyncio import Future
    from collections.abc import Mapping

    from pydantic import SecretStr

    from prefect_responses.attempt import Endpoint
    from prefect_responses.client.carriers import HttpxCarrier
    from prefect_responses.client.doors import Transport
    from prefect_responses.wire.answers import Answer

#: Bytes of an answer that are read at most; images make responses of many megabytes.
LARGEST_BODY = 64 * 2**20
_LONGEST_REQUEST_ID = 512
_PASSING_STATUSES = frozenset({502, 503, 504})
_READ_TRIES = 2
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limit how long an exchange may take, in seconds of wall time, waiting for a turn excluded.

    Args:
        connect: until a connection stands, name lookup and TLS included; at most a third of the
            whole exchange.
        submit: the whole POST of a create.
        read: one whole GET or cancel, or the head of a stream.
        idle: without a byte of a stream; a resume past its end hangs on some servers.
    """

    connect: float = 10.0
    submit: float = 45.0
    read: float = 60.0
    idle: float = 60.0


class HttpResponsesApi:
    """Carry requests to one endpoint over HTTP; an implementation of `ResponsesApi`.

    At most *max_connections* requests are on their way at once; the others wait for their turn
    here, in order, before their time starts to count. Streams have connections of their own: one
    may stay open for an hour, and a cancel must not wait for it.

    Args:
        endpoint: where requests go; its URL is checked again.
        api_key: sent as a bearer token; empty for servers that take none.
        transport: `aiohttp` costs a fraction of the CPU time; `httpx` is httpx's own.
        timeouts: see `Timeouts`.
        max_connections: connections, and so requests, at once, streams apart.
        max_streams: streams at once.
        default_headers: sent with each request; they win over ours.
        verify: whether, or by which context, the server's certificate is checked.
        allow_insecure: take an http URL on any host.
        largest_body: bytes of an answer that are read at most.

    Raises:
        EndpointInvalid: the base URL cannot be used.
        RequestInvalid: the key or a header cannot be sent.
    """

    def __init__(  # noqa: PLR0913 - what a connection is made of, all named
        self,
        endpoint: Endpoint,
        api_key: SecretStr,
        *,
        transport: Transport = "aiohttp",
        timeouts: Timeouts | None = None,
        max_connections: int = 100,
        max_streams: int = 100,
        default_headers: Mapping[str, str] | None = None,
        verify: bool | ssl.SSLContext = True,
        allow_insecure: bool = False,
        largest_body: int = LARGEST_BODY,
    ) -> None:
        key = api_key.get_secret_value().strip()
        headers = _headers(endpoint, key, default_headers or {})
        self._root = check_base_url(endpoint.base_url, allow_insecure=allow_insecure) + "/responses"
        self._redactor = Redactor(key, headers)
        self._timeouts = timeouts or Timeouts()
        self._largest_body = largest_body
        self._turns = asyncio.Semaphore(max_connections)
        self._stream_turns = asyncio.Semaphore(max_streams)
        doors = Doors(transport, self._root, headers, self._timeouts.connect, verify)
        self._carrier = doors.plain(max_connections)
        self._open_streams = partial(doors.streaming, max_streams)
        quiet.install()

    def __repr__(self) -> str:
        return f"HttpResponsesApi({self._root.removesuffix('/responses')!r})"

    async def create(
        self,
        request: Mapping[str, Any],
        *,
        client_request_id: str,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Send one POST, never a second one; see `ResponsesApi.create`."""
        post = self._post(request, client_request_id, idempotency_key)
        answer = await self._exchange(post, self._timeouts.submit)
        return replace(answer, client_request_id=client_request_id)

    async def retrieve(self, response_id: str) -> Answer:
        """Read a response; see `ResponsesApi.retrieve`."""
        return await self._read("GET", f"/{path_segment(response_id)}")

    async def list_responses(self, *, after: str | None, limit: int = 100) -> Answer:
        """Read a page of the stored responses; see `ResponsesApi.list_responses`."""
        start = "" if after is None else f"&after={path_segment(after)}"
        return await self._read("GET", f"?limit={limit}&order=desc{start}")

    async def cancel(self, response_id: str) -> Answer:
        """Ask to cancel a response; see `ResponsesApi.cancel`."""
        return await self._read("POST", f"/{path_segment(response_id)}/cancel")

    def create_stream(
        self,
        request: Mapping[str, Any],
        *,
        client_request_id: str,
        idempotency_key: str | None = None,
    ) -> HttpEventStream:
        """Send one POST and follow its events; see `ResponsesApi.create_stream`."""
        post = self._post({**request, "stream": True}, client_request_id, idempotency_key)
        return self._stream(post, self._timeouts.submit, client_request_id)

    def stream(self, response_id: str, *, starting_after: int | None = None) -> HttpEventStream:
        """Follow the events of a response; see `ResponsesApi.stream`."""
        after = "" if starting_after is None else f"&starting_after={starting_after}"
        get = Outgoing("GET", f"/{path_segment(response_id)}?stream=true{after}")
        return self._stream(get, min(self._timeouts.read, self._timeouts.idle))

    @property
    def has_free_stream(self) -> bool:
        """Tell whether a stream could be opened without waiting for another one's end."""
        return not self._stream_turns.locked()

    def redact(self, text: str) -> str:
        """Return *text* with stars in place of secrets; see `ResponsesApi.redact`."""
        return self._redactor.stars(text)

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""
        await self._carrier.aclose()
        if "_streams" in vars(self):
            await self._streams.aclose()

    @cached_property
    def _streams(self) -> HttpxCarrier:
        return self._open_streams()

    async def _read(self, method: str, path: str) -> Answer:
        began = time.monotonic()
        first = await self._exchange(Outgoing(method, path), self._timeouts.read)
        took = time.monotonic() - began
        if not _may_pass(first) or took > self._timeouts.read / 2:
            return first  # nearly always: the machinery below would cost a fifth of the request
        given = [first]

        async def once() -> Answer:
            if given:
                return given.pop()
            return await self._exchange(Outgoing(method, path), self._timeouts.read)

        return await _twice()(once)

    def _stream(
        self, outgoing: Outgoing, limit: float, client_request_id: str | None = None
    ) -> HttpEventStream:
        request, sending = self._streams.prepare(outgoing, limit)
        opening = StreamOpening(
            self._streams.client,
            request,
            sending,
            self._redactor,
            self._stream_turns,
            limit=limit,
            idle=self._timeouts.idle,
            largest_body=self._largest_body,
            client_request_id=client_request_id,
        )
        return HttpEventStream(opening)

    def _post(
        self, request: Mapping[str, Any], client_request_id: str, idempotency_key: str | None
    ) -> Outgoing:
        _check_request_id(client_request_id)
        headers = {"content-type": "application/json", "x-client-request-id": client_request_id}
        if idempotency_key is not None:
            headers["idempotency-key"] = check_header("The idempotency key", idempotency_key)
        return Outgoing("POST", "", headers, _encode(request))

    async def _exchange(self, request: Outgoing, limit: float) -> Answer:
        """Carry *request* once, within *limit* seconds, and tell what came of it."""
        received = Received(self._largest_body)
        async with self._turns:
            with quiet.quiet():
                broken = await self._carrier.carry(request, received, limit)
        failure, note = (broken.failure, broken.note) if broken else (None, "")
        return received.answer(failure, note, self._redactor)


def _headers(endpoint: Endpoint, key: str, given: Mapping[str, str]) -> dict[str, str]:
    headers = {
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "user-agent": "prefect-responses",
        "authorization": f"Bearer {key}" if key else "",
        "openai-organization": endpoint.organization,
        "openai-project": endpoint.project,
        **{name.lower(): value for name, value in given.items()},
    }
    return {
        name: check_header(f"The header {name}", text) for name, text in headers.items() if text
    }


def _twice() -> AsyncRetrying:
    """Return how reads are repeated: once, within a second."""
    return AsyncRetrying(
        stop=stop_after_attempt(_READ_TRIES),
        wait=wait_random(_LONGEST_PAUSE / 2, _LONGEST_PAUSE),
        retry=retry_if_result(_may_pass),
        retry_error_callback=_last_answer,
    )


def _may_pass(answer: Answer) -> bool:
    asked_to_wait = (answer.retry_after or 0.0) > _LONGEST_PAUSE
    return not asked_to_wait and (answer.failure is not None or answer.status in _PASSING_STATUSES)


def _last_answer(state: RetryCallState) -> Answer:
    outcome = cast("Future[Answer]", state.outcome)
    return outcome.result()


def _encode(request: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(dict(request))
    except orjson.JSONEncodeError as error:
        raise RequestInvalid(f"The request cannot be written as JSON: {error}.") from error


def _check_request_id(request_id: str) -> None:
    if len(request_id) > _LONGEST_REQUEST_ID:
        raise RequestInvalid(f"A request ID takes {_LONGEST_REQUEST_ID} characters.")
    check_header("The request ID", request_id)
