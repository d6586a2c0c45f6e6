"""Whatever the network does to a stream, what arrived is there and the end says how it ended."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from itertools import pairwise

import orjson
import pytest

from prefect_responses.client import quiet
from prefect_responses.decisions.stream_fold import Fold, end, fold
from prefect_responses.errors import RequestInvalid
from prefect_responses.wire.answers import BreakKind, TransportFailure
from prefect_responses.wire.stream_events import EventType

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-request-id: req_1\r\n"
)
OPEN = HEAD + b"connection: close\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
BODY = orjson.dumps({"id": "resp_1", "object": "response", "status": "queued"})
REQUEST = {"model": "m", "input": "Hello, wörld", "background": True}


def sse(*documents: dict) -> bytes:
    return b"".join(b"data: %s\n\n" % orjson.dumps(each) for each in documents)


def delta(number: int, text: str) -> dict:
    kind = "response.output_text.delta"
    return {"type": kind, "sequence_number": number, "output_index": 0, "delta": text}


CREATED = {
    "type": "response.created",
    "sequence_number": 0,
    "response": {"id": "resp_1", "status": "queued"},
}
COMPLETED = {
    "type": "response.completed",
    "sequence_number": 9,
    "response": {
        "id": "resp_1",
        "status": "completed",
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "Hellö, wörld"}]}
        ],
    },
}
DOCUMENTS = [CREATED, delta(1, "Hellö"), delta(2, ", "), delta(5, "wörld")]
WHOLE = sse(*DOCUMENTS, COMPLETED)


def chunked(*pieces: bytes, last: bool = True) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return CHUNKED + body + (b"0\r\n\r\n" if last else b"")


async def follow(stream):
    """Return the documents of a stream that begins, and how it ended."""
    async with stream:
        assert stream.answer is None
        return [event.data async for event in stream], stream.broken


async def answer_of(stream):
    async with stream:
        assert [event async for event in stream] == []
        assert stream.broken is None
        return stream.answer


def create(api, **options):
    return api.create_stream(REQUEST, client_request_id="try-1", **options)


# --- streams --------------------------------------------------------------------------------------


async def test_a_whole_stream(server, api):
    server.sends(chunked(WHOLE))
    async with api.stream("resp_1") as stream:
        events = [event async for event in stream]
        assert [event.data for event in events] == [*DOCUMENTS, COMPLETED]
        assert (stream.answer, stream.broken) == (None, None)
        assert stream.head.server_request_id == "req_1"


async def test_what_is_asked(server, api):
    server.sends(OPEN + WHOLE, then="close")
    await follow(api.stream("resp:1", starting_after=0))
    await follow(api.stream("resp_1", starting_after=41))
    await follow(api.stream("resp_1"))
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/v1/responses/resp:1?stream=true&starting_after=0"),
        ("GET", "/v1/responses/resp_1?stream=true&starting_after=41"),
        ("GET", "/v1/responses/resp_1?stream=true"),
    ]
    assert server.requests[0].headers["accept"].startswith("text/event-stream")


async def test_what_a_create_sends(server, api, key):
    server.sends(OPEN + WHOLE, then="close")
    documents, broken = await follow(create(api, idempotency_key="same"))
    assert (len(documents), broken) == (5, None)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert orjson.loads(request.body) == {**REQUEST, "stream": True}
    expected = {
        "authorization": f"Bearer {key}",
        "x-client-request-id": "try-1",
        "idempotency-key": "same",
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    assert expected.items() <= request.headers.items()


async def test_events_come_as_they_are_sent(server, api):
    first, rest = sse(CREATED), sse(COMPLETED)
    server.sends(OPEN + first, pause=0.001)
    server.script[0] = in_turn(server.script[0], pause_then(rest, 0.5))
    async with api.stream("resp_1") as stream:
        assert (await anext(stream)).data == CREATED
        came = time.monotonic()
        assert (await anext(stream)).data == COMPLETED
        assert time.monotonic() - came > 0.2


def in_turn(*behaviours):
    async def behave(writer):
        for each in behaviours:
            await each(writer)

    return behave


def pause_then(data, seconds):
    async def behave(writer):
        await asyncio.sleep(seconds)
        writer.write(data)
        await writer.drain()

    return behave


async def test_the_network_may_cut_anywhere(server, api):
    choice = random.Random(7)  # noqa: S311 - the same cuts each time
    for _ in range(20):
        ends = [0, *sorted(choice.randrange(len(WHOLE)) for _ in range(6)), len(WHOLE)]
        server.script.clear()
        server.sends(chunked(*(WHOLE[start:end] for start, end in pairwise(ends))), pause=1e-9)
        assert await follow(api.stream("resp_1")) == ([*DOCUMENTS, COMPLETED], None)


@pytest.mark.parametrize("then", ["wait", "stall", "reset"])
async def test_reading_stops_at_the_terminal_event(server, api, then):
    server.sends(chunked(WHOLE + sse(delta(10, "never")), last=False), then=then)
    began = time.monotonic()
    documents, broken = await follow(api.stream("resp_1"))
    assert (documents[-1], broken) == (COMPLETED, None)
    assert time.monotonic() - began < 1


async def test_the_status_says_what_is_terminal(server, api):
    early = {**COMPLETED, "response": {"id": "resp_1", "status": "in_progress"}}
    cancelled = {**COMPLETED, "response": {"id": "resp_1", "status": "cancelled"}}
    server.sends(chunked(sse(early, cancelled), last=False))
    assert await follow(api.stream("resp_1")) == ([early, cancelled], None)


async def test_reading_stops_when_the_server_says_done(server, api):
    server.sends(chunked(sse(CREATED) + b"data: [DONE]\n\n" + sse(delta(1, "x")), last=False))
    assert await follow(api.stream("resp_1")) == ([CREATED], None)


@pytest.mark.parametrize("body", [b"", b": nothing\n\n", b"data: [DONE]\n\n"])
async def test_a_stream_past_the_end_is_empty(server, api, body):
    server.sends(OPEN + body, then="close")
    documents, broken = await follow(api.stream("resp_1", starting_after=9))
    assert (documents, broken) == ([], None)


async def test_an_unfinished_event_is_dropped(server, api):
    server.sends(OPEN + sse(CREATED) + sse(COMPLETED).rstrip(), then="close")
    assert await follow(api.stream("resp_1")) == ([CREATED], None)


async def test_what_cannot_be_read_is_a_broken_event(server, api):
    server.sends(OPEN + b"data: {\n\n" + sse(COMPLETED), then="close")
    async with api.stream("resp_1") as stream:
        kinds = [event.event_type async for event in stream]
    assert kinds == [EventType.BROKEN, EventType.COMPLETED]


async def test_a_stream_may_be_left_early(server, api):
    server.sends(chunked(WHOLE, last=False), then="stall")
    async with api.stream("resp_1") as stream:
        assert (await anext(stream)).data == CREATED
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_key_that_an_event_repeats_is_redacted(server, api, key):
    server.sends(OPEN + sse({"type": "error", "message": f"Bad key {key}."}), then="close")
    documents, _ = await follow(api.stream("resp_1"))
    assert documents == [{"type": "error", "message": "Bad key [redacted]."}]


# --- streams that break ---------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_stream_that_is_cut(server, api, then):
    server.sends(chunked(sse(*DOCUMENTS), last=False), then=then)
    documents, broken = await follow(api.stream("resp_1"))
    assert documents == DOCUMENTS
    assert broken.kind is BreakKind.CUT
    assert broken.note


@pytest.mark.parametrize("body", [b"", sse(*DOCUMENTS), sse(CREATED) + b"data: {"])
async def test_a_stream_that_falls_silent(server, connect, body):
    api = connect(server.url, limits={"idle": 0.2})
    server.sends(chunked(body, last=False), then="stall")
    began = time.monotonic()
    documents, broken = await follow(api.stream("resp_1"))
    assert documents == (DOCUMENTS if body.endswith(b"}\n\n") else [CREATED] if body else [])
    assert broken.kind is BreakKind.IDLE
    assert 0.15 < time.monotonic() - began < 1.5


async def test_any_byte_breaks_the_silence(server, connect):
    api = connect(server.url, limits={"idle": 0.4})
    server.sends(OPEN + b": keep-alive\n\n" * 20 + sse(COMPLETED), pause=0.03)
    documents, broken = await follow(api.stream("resp_1"))
    assert (documents, broken) == ([COMPLETED], None)


async def test_a_stream_goes_on_where_it_broke(server, api):
    server.sends(chunked(sse(*DOCUMENTS[:2]) + b"data: {", last=False), then="reset")
    server.sends(chunked(sse(*DOCUMENTS[1:], COMPLETED)))
    state, pieces = Fold(), []
    for _ in range(2):
        async with api.stream("resp_1", starting_after=state.cursor) as stream:
            async for event in stream:
                state, more = fold(state, event)
                pieces += [piece.text for piece in more]
    assert pieces == ["Hellö", ", ", "wörld"]
    assert not end(state).needs_ask
    assert "starting_after=1" in server.requests[1].path


async def test_garbled_chunks_break_a_stream(server, connect, transport):
    api = connect(server.url, limits={"idle": 0.6})
    server.sends(chunked(sse(CREATED), last=False))
    server.script[0] = in_turn(server.script[0], pause_then(b"xyz\r\n", 0.2))
    documents, broken = await follow(api.stream("resp_1"))
    assert documents == [CREATED]
    # aiohttp drops the connection and tells nobody who reads from it.
    assert broken.kind is (BreakKind.IDLE if transport == "aiohttp" else BreakKind.CUT)


# --- what is no stream ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
async def test_another_status_is_an_answer(server, api, status):
    server.answers(status, b'{"error":{"message":"No."}}', retry_after="7", x_request_id="req_1")
    answer = await answer_of(api.stream("resp_1"))
    assert (answer.status, answer.body) == (status, b'{"error":{"message":"No."}}')
    assert (answer.failure, answer.retry_after, answer.server_request_id) == (None, 7, "req_1")
    assert len(server.requests) == 1


async def test_a_refusal_is_an_answer_whatever_its_type(server, api):
    server.answers(400, sse({"error": {"message": "No."}}), content_type="text/event-stream")
    assert (await answer_of(create(api))).status == 400


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "text/html", ""]
)
async def test_json_in_place_of_a_stream_is_an_answer(server, api, kind):
    server.answers(200, BODY, content_type=kind)
    answer = await answer_of(create(api))
    assert (answer.status, answer.body, answer.failure) == (200, BODY, None)
    assert answer.client_request_id == "try-1"


async def test_an_answer_that_breaks_off_says_so(server, api):
    server.breaks_off(200, BODY)
    answer = await answer_of(create(api))
    assert (answer.status, answer.failure) == (200, TransportFailure.AFTER_SENDING)
    assert answer.body == BODY
    assert server.posts == 1


@pytest.mark.parametrize(
    ("data", "then"), [(b"", "close"), (b"", "reset"), (b"HTTP/1.1 2", "close")]
)
async def test_no_answer_leaves_a_doubt(server, api, data, then):
    server.sends(data, then=then)
    answer = await answer_of(create(api))
    assert (answer.status, answer.failure) == (None, TransportFailure.AFTER_SENDING)
    assert answer.note
    assert answer.client_request_id == "try-1"
    assert server.posts == 1


async def test_a_port_where_nobody_listens_is_not_sent(unused_tcp_port, connect):
    answer = await answer_of(create(connect(f"http://127.0.0.1:{unused_tcp_port}/v1")))
    assert (answer.status, answer.failure) == (None, TransportFailure.NOT_SENT)


@pytest.mark.parametrize("verb", ["create", "stream"])
async def test_a_head_that_does_not_come(server, connect, verb):
    api = connect(server.url, limits={"submit": 0.3, "idle": 0.3})
    server.sends(b"", then="stall")
    began = time.monotonic()
    answer = await answer_of(create(api) if verb == "create" else api.stream("resp_1"))
    assert (answer.status, answer.failure) == (None, TransportFailure.AFTER_SENDING)
    assert 0.25 < time.monotonic() - began < 1.5


@pytest.mark.parametrize("response_id", ["", "..", "a/b", "a?b"])
def test_what_is_no_id_enters_no_path(api, response_id):
    with pytest.raises(RequestInvalid):
        api.stream(response_id)


def test_what_cannot_be_sent_is_refused(api):
    with pytest.raises(RequestInvalid):
        api.create_stream({"input": {1}}, client_request_id="try-1")
    with pytest.raises(RequestInvalid):
        api.create_stream(REQUEST, client_request_id="a\nb")


# --- connections ----------------------------------------------------------------------------------


async def until_asked(server):
    while not server.requests:  # noqa: ASYNC110 - the server lives in another thread
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("data", [b"", OPEN, OPEN + sse(CREATED), b"HTTP/1.1 200 OK\r\n\r\n{"])
async def test_a_cancel_gives_the_connection_back(server, connect, data):
    api = connect(server.url, max_streams=1)
    server.sends(data, then="stall")
    server.sends(chunked(WHOLE))
    task = asyncio.create_task(follow(api.stream("resp_1")))
    await until_asked(server)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len((await follow(api.stream("resp_1")))[0]) == 5


async def test_a_timeout_of_the_caller_is_not_taken_for_ours(server, api):
    server.sends(OPEN + sse(CREATED), then="stall")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await follow(api.stream("resp_1"))


async def test_a_stream_holds_its_turn_until_it_is_left(server, connect):
    api = connect(server.url, max_streams=1)
    server.sends(chunked(WHOLE, last=False))
    server.sends(chunked(WHOLE, last=False))
    async with api.stream("resp_1") as stream:
        assert not api.has_free_stream
        second = asyncio.create_task(follow(api.stream("resp_1")))
        assert [event.data async for event in stream][-1] == COMPLETED
        await asyncio.sleep(0.1)
        assert not second.done()
    assert (await second)[0][-1] == COMPLETED
    assert api.has_free_stream


async def test_an_open_stream_keeps_no_other_request_waiting(server, connect):
    api = connect(server.url, max_connections=1, max_streams=1)
    server.sends(chunked(WHOLE, last=False))
    server.answers(200, BODY)
    async with api.stream("resp_1"):
        assert (await asyncio.wait_for(api.retrieve("resp_1"), 5)).status == 200


@pytest.mark.parametrize("broken", [False, True])
async def test_every_way_out_gives_the_turn_back(server, connect, broken):
    api = connect(server.url, max_connections=1, max_streams=1)
    server.sends(chunked(sse(CREATED), last=not broken), then="reset" if broken else "wait")
    for _ in range(3):
        documents, how = await follow(api.stream("resp_1"))
        assert documents == [CREATED]
        assert (how is not None) is broken
    server.script[:] = []
    server.answers(404, b"{}")
    assert (await answer_of(api.stream("resp_1"))).status == 404
    assert (await api.retrieve("resp_1")).status == 404


async def test_a_stream_logs_nothing(server, api, caplog):
    server.sends(chunked(WHOLE, last=False), then="reset")
    with caplog.at_level(logging.DEBUG):
        await follow(create(api))
    assert [record for record in caplog.records if record.name in quiet.LOGGERS] == []


async def test_others_log_while_a_stream_is_open(server, api, caplog):
    server.sends(chunked(WHOLE))
    with caplog.at_level(logging.INFO, "httpx"):
        async with api.stream("resp_1") as stream:
            async for _ in stream:
                logging.getLogger("httpx").info("A line of somebody else.")
    assert len(caplog.records) == 5


async def test_many_streams_at_once(server, api):
    server.sends(chunked(WHOLE))
    followed = await asyncio.gather(*(follow(api.stream("resp_1")) for _ in range(20)))
    assert followed == [([*DOCUMENTS, COMPLETED], None)] * 20
