"""What a server may make of a streamed create: its time, and what it says of the key."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from engine_bench import API_KEY
from pydantic import SecretStr
from raw_server import RESPONSE_ID, RawServer, aimed, created, delta, response

from prefect_responses.attempt import Endpoint
from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.stream_fold import Fold, Piece, fold
from prefect_responses.decisions.verdicts import CreateAccepted, CreateAmbiguous
from prefect_responses.engine.admission import Unlimited
from prefect_responses.engine.open_streams import OpenStreams
from prefect_responses.engine.posting import Posting
from prefect_responses.engine.stream_progress import StreamProgress
from prefect_responses.ledger import Attach, BeginFollowing, Plan, RecordProgress
from prefect_responses.wire.stream_events import read_event

LIMIT = 0.6


def slow_server(head, first):
    """Serve a stream whose head and whose first event take so many seconds each."""

    async def handle(exchange):
        await asyncio.sleep(head)
        await exchange.begin()
        await asyncio.sleep(first)
        await exchange.event(**created())

    return RawServer(handle)


def api_of(bench, server, **options):
    api = HttpResponsesApi(
        Endpoint(server.url),
        SecretStr(API_KEY),
        transport="httpx",
        timeouts=Timeouts(connect=0.2, submit=LIMIT, read=5.0),
        **options,
    )
    bench.opened.append(api)
    return api


async def posted(bench, api):
    call = bench.call(stream=True)
    planned = (await bench.ledger.do(Plan(call.draft, time.time()))).attempt
    streams = OpenStreams()
    try:
        return await Posting(api, streams, LIMIT, Unlimited()).post(planned, call.request, "try-1")
    finally:
        await streams.close(planned)


@pytest.mark.parametrize(
    ("head", "first", "verdict"),
    [(0.4, 0.4, CreateAmbiguous), (0.0, 0.4, CreateAccepted), (0.4, 0.0, CreateAccepted)],
)
async def test_head_and_first_event_share_one_limit(bench, head, first, verdict):
    async with slow_server(head, first) as server:
        assert isinstance(await posted(bench, api_of(bench, server)), verdict)


async def test_waiting_for_a_turn_is_no_part_of_it(bench):
    async with slow_server(0.2, 0.2) as server:
        api = api_of(bench, server, max_streams=1)
        async with api.stream(RESPONSE_ID):
            stream = api.create_stream({}, client_request_id="try-1")
            opening = asyncio.create_task(stream.__aenter__())
            await asyncio.sleep(0.3)
        await opening
        await stream.__aexit__(None, None, None)
        assert 0.15 < stream.took < 0.3


# --- what is kept ---------------------------------------------------------------------------------


@pytest.fixture
async def followed(bench):
    """An attempt whose stream is followed."""
    draft = bench.call(stream=True).draft
    attached = (await bench.ledger.do(Attach(draft, RESPONSE_ID, None, time.time()))).attempt
    return (await bench.ledger.do(BeginFollowing(attached.id, time.time()))).attempt


def progress_of(bench, attempt):
    return StreamProgress(bench.ledger, SystemClock(), attempt, clean=bench.api.redact)


@pytest.mark.parametrize("cut", [1, len(API_KEY) - 1])
async def test_a_key_that_is_echoed_in_pieces_is_not_kept(bench, followed, cut):
    progress = progress_of(bench, followed)
    pieces = ["Your key is ", API_KEY[:cut], API_KEY[cut:], ". Bye."]
    async with progress.kept():
        for number, text in enumerate(pieces):
            state, _ = fold(progress.state, read_event(delta(text, number)))
            progress.note(state)
    kept = (await bench.ledger.progress(followed.id)).snapshot

    assert API_KEY.encode() not in kept
    later = progress_of(bench, followed)
    await later.load()
    assert later.state.text == f"Your key is {'*' * len(API_KEY)}. Bye."
    _, changes = fold(later.state, read_event(delta("!", 9)))
    assert changes == (Piece("text", 0, 0, len("".join(pieces)), "!", 9),)


@pytest.mark.parametrize("snapshot", [b"", b"\x00not json", b"[1", b'"x"', b"\xff"])
async def test_what_was_kept_and_cannot_be_read_is_as_nothing(bench, followed, snapshot):
    await bench.ledger.do(RecordProgress(followed.id, 1, snapshot, time.time()))
    progress = progress_of(bench, followed)
    await progress.load()
    assert progress.state == Fold()


@pytest.mark.parametrize("written", ["\\u002d", "-"])
async def test_a_key_that_is_echoed_whole_is_never_heard(bench, written):
    async def handle(exchange):
        if not exchange.is_create:
            await exchange.json(response("completed", "Done."))
            return
        await exchange.stream(created())
        event = json.dumps(delta(API_KEY)).replace("-", written)
        await exchange.send(f"data: {event}\n\n".encode())

    async with RawServer(handle) as server:
        process = await aimed(bench, server.url, clock=SystemClock())
        async with process.api.create_stream({}, client_request_id="try-1") as stream:
            heard = [event async for event in stream]
    assert [event.data.get("delta") for event in heard] == [None, "[redacted]"]
