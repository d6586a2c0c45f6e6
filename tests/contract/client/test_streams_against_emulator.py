"""The client, the fold and the emulator agree on what a stream said, whatever became of it."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from prefect_responses.attempt import Endpoint
from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.decisions.answers import read_create_answer, read_retrieve_answer
from prefect_responses.decisions.fold_snapshots import from_snapshot, snapshot
from prefect_responses.decisions.stream_fold import Fold, Restarted, end, fold
from prefect_responses.decisions.verdicts import CreateAccepted, CreateRefused, Seen
from prefect_responses.emulator.server import EmulatorThread
from prefect_responses.statuses import ResponseStatus
from prefect_responses.wire.answers import BreakKind
from prefect_responses.wire.requests import outgoing

TEXT = "Grüße, 世界 🌍. One two three."


@pytest.fixture(scope="module")
def running():
    with EmulatorThread(seed=1) as emulator:
        yield emulator


@pytest.fixture
def control(running):
    running.control.reset(seed=1)
    return running.control


@pytest.fixture(params=["httpx", "aiohttp"])
async def api(request, running, control):
    del control
    client = HttpResponsesApi(
        Endpoint(running.url),
        SecretStr("sk-contract-0123456789"),
        transport=request.param,
        timeouts=Timeouts(connect=2.0, submit=2.0, read=2.0, idle=0.5),
    )
    yield client
    await client.aclose()


async def follow(stream, state=None):
    """Fold a stream that begins; return the state, what changed, and how it broke."""
    state, changes = state or Fold(), []
    async with stream:
        assert stream.answer is None
        async for event in stream:
            state, more = fold(state, event)
            changes += more
    return state, changes, stream.broken


def create(api, **fields):
    request = outgoing({"model": "echo", "input": TEXT, **fields}, key="att_1")
    return api.create_stream(request, client_request_id="try-1")


async def stored_text(api, state):
    seen = read_retrieve_answer(await api.retrieve(state.response_id))
    assert isinstance(seen, Seen)
    return seen.response.output_text


async def test_a_whole_stream(api):
    state, changes, broken = await follow(create(api))
    assert broken is None
    assert end(state).response["status"] == "completed"
    assert state.can_resume
    assert "".join(piece.text for piece in changes) == state.text == TEXT
    assert await stored_text(api, state) == TEXT


@pytest.mark.parametrize("ending", ["reset", "eof", "clean"])
@pytest.mark.parametrize("place", [{"after_bytes": n} for n in (40, 2750)] + [{"after_events": 7}])
async def test_a_stream_that_is_cut_goes_on(api, control, ending, place):
    whole, expected, _ = await follow(create(api))
    state, changes, cuts = Fold(), [], 0
    while end(state).needs_ask:
        if cuts < 3:
            control.add_fault("cut_stream", ending=ending, **place)
        resumed = api.stream(whole.response_id, starting_after=state.cursor)
        state, more, broken = await follow(resumed, state)
        state, changes = from_snapshot(snapshot(state)), changes + more
        cuts += end(state).needs_ask
        assert (broken is None) is (ending == "clean" or not end(state).needs_ask)
    assert cuts
    assert (state, changes) == (whole, expected)


async def test_a_server_that_starts_over(api, control):
    control.add_fault("restart_stream", after_deltas=3)
    state, changes, _ = await follow(create(api))
    assert [change.output_index for change in changes if isinstance(change, Restarted)] == [0]
    assert state.text == TEXT == await stored_text(api, state)


@pytest.mark.parametrize("form", ["flat", "nested"])
@pytest.mark.parametrize(
    ("then", "asks"), [("failed", False), ("ends", True), ("completes", False)]
)
async def test_an_error_in_a_stream(api, control, form, then, asks):
    control.add_fault("stream_error", form=form, code="insufficient_quota", then=then)
    state, _, broken = await follow(create(api))
    assert broken is None
    assert end(state).error.code == "insufficient_quota"
    assert end(state).needs_ask is asks


@pytest.mark.parametrize(
    "habit",
    [
        {"done_marker": True, "comments": True},
        {"line_ending": "crlf"},
        {"line_ending": "cr"},
        {"line_ending": "cr", "comments": True, "stays_open": True},
        {"event_lines": False},
        {"sequence_numbers": False},
        {"sequence_step": 7},
        {"minimal_bodies": True},
        {"terminal_event": "response.failed"},
        {"terminal_event": "response.done"},
        {"queued_while_streaming": True},
        {"stays_open": True},
    ],
    ids=lambda habit: "+".join(f"{name}={value}" for name, value in habit.items()),
)
@pytest.mark.parametrize("chunk_bytes", [None, 3])
async def test_habits_of_other_servers(api, control, habit, chunk_bytes):
    control.add_fault("vendor", times=None, **habit)
    if chunk_bytes:
        control.add_fault("slow_stream", chunk_bytes=chunk_bytes)
    state, changes, broken = await follow(create(api))
    assert broken is None
    assert end(state).response["status"] == "completed"
    assert "".join(piece.text for piece in changes) == state.text == TEXT
    assert state.can_resume is habit.get("sequence_numbers", True)


async def test_the_status_counts_and_not_the_type(api, control):
    control.add_fault("vendor", times=None, terminal_event="response.completed")
    control.add_fault("incomplete")
    state, _, _ = await follow(create(api))
    assert end(state).response["status"] == "incomplete"


async def test_a_resume_past_the_end(api, control):
    whole, _, _ = await follow(create(api))
    resumed = api.stream(whole.response_id, starting_after=whole.cursor)
    assert await follow(resumed) == (Fold(), [], None)

    control.add_fault("vendor", times=None, resume_past_end_hangs=True)
    resumed = api.stream(whole.response_id, starting_after=whole.cursor)
    async with resumed:
        assert [event async for event in resumed] == []
    assert resumed.answer is not None or resumed.broken.kind is BreakKind.IDLE


async def test_a_silent_stream(api, control):
    control.add_fault("stall_stream", after_events=4, seconds=60)
    state, _, broken = await follow(create(api))
    assert broken.kind is BreakKind.IDLE
    assert state.cursor == 3
    resumed = api.stream(state.response_id, starting_after=state.cursor)
    assert (await follow(resumed, state))[0].text == TEXT


async def test_json_in_place_of_a_stream(api, control):
    control.add_fault("vendor", times=None, json_instead_of_stream=True, resume_ignored=True)
    async with create(api) as stream:
        made = read_create_answer(stream.answer)
    assert isinstance(made, CreateAccepted)
    async with api.stream(made.response.id) as stream:
        seen = read_retrieve_answer(stream.answer)
    assert seen.response.status is ResponseStatus.COMPLETED


async def test_refusals(api, control):
    control.add_fault("vendor", background_stream="reject")
    async with create(api) as stream:
        assert isinstance(read_create_answer(stream.answer), CreateRefused)
    made = read_create_answer(
        await api.create(outgoing({"model": "echo", "input": "x"}, key="a"), client_request_id="b")
    )
    async with api.stream(made.response.id) as stream:
        assert stream.answer.status == 400
    async with api.stream("resp_unknown") as stream:
        assert stream.answer.status == 404


async def test_a_cancel_leaves_the_response_running(api, control):
    control.set_latency("constant:0.6")
    began = asyncio.Event()

    async def watch():
        async with create(api) as stream:
            async for event in stream:
                ids.append(event.response["id"])
                began.set()

    ids: list[str] = []
    watching = asyncio.create_task(watch())
    await began.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    state, _, _ = await follow(api.stream(ids[0]))
    assert state.text == TEXT
