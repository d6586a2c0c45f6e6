"""Servers that say less than they should, something else, or nothing for ever."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest
from engine_bench import EmulatorsClock
from raw_server import RESPONSE_ID, RawServer, aimed, created, delta, ended, response

from prefect_responses.clock import SystemClock
from prefect_responses.decisions.policies import (
    Backoff,
    CallPolicy,
    FollowPolicy,
    PollPolicy,
    TimeoutPolicy,
)
from prefect_responses.errors import ResponseTimedOut, SubmissionInDoubt
from prefect_responses.ledger import SetDeadline
from prefect_responses.statuses import AttemptState, CancelReason, Outcome

SOON = Backoff(first=0.02, most=0.05)
POLLS = PollPolicy(least=0.02, most=0.05, learns=False, backoff=SOON)
QUICK = CallPolicy(poll=POLLS, follow=FollowPolicy(backoff=SOON))
ACTING = [{"type": "code_interpreter", "container": {"type": "auto"}}]
#: Seconds in which a test ends that would go on for ever.
ENOUGH = 10.0


@pytest.fixture
async def streams(bench):
    """The engine on the real clock: streams take real time."""
    return await bench.again(clock=SystemClock())


@asynccontextmanager
async def meanwhile(work):
    """Do *work* beside the block, and leave it at the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def streaming(*events, reads):
    """Answer a create by a stream of *events*, and reads by *reads*, the last one for ever."""
    left = list(reads)

    async def handle(exchange):
        if exchange.is_create:
            await exchange.stream(*events)
        else:
            await exchange.json(*(left.pop(0) if len(left) > 1 else left[0]))

    return handle


def within(bench, seconds, text="Say hi.", **request):
    """Call with a deadline so many seconds from now."""
    limit = TimeoutPolicy(seconds=seconds, grace=0.1)
    made = bench.call(text, policy=replace(QUICK, timeout=limit), **request)
    return replace(made, draft=replace(made.draft, deadline_at=bench.clock.now() + seconds))


# --- answers to a create --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "streamed"),
    [
        ({"kind": "unreadable", "body": "empty"}, {}),
        ({"kind": "cut_stream", "after_events": 0, "ending": "reset"}, {"stream": True}),
        ({"kind": "cut_stream", "after_events": 0, "ending": "clean"}, {"stream": True}),
    ],
    ids=["nothing", "a stream that breaks", "a stream that ends"],
)
async def test_tools_that_act_are_not_run_twice_after_a_success_that_says_nothing(
    bench, fault, streamed
):
    bench.control.add_fault(**fault)

    with pytest.raises(SubmissionInDoubt):
        await bench.responses.create(bench.call(tools=ACTING, **streamed))

    assert (len(bench.posts()), bench.accepted()) == (1, 1)


async def test_tools_that_act_are_sent_again_after_a_failure_of_the_server(bench):
    bench.control.add_fault("status", status=500)

    attempt = await bench.responses.create(bench.call(tools=ACTING))

    assert attempt.number == 2
    assert (len(bench.posts()), bench.accepted()) == (2, 1)


# --- cancels --------------------------------------------------------------------------------------


async def test_a_cancel_of_a_response_that_is_not_there_yet_stays_owed(bench):
    late = await bench.again(clock=EmulatorsClock(bench.control))
    late.control.set_latency("constant:600")
    made = await late.responses.create(late.call())
    late.control.add_fault("gone", match={"path_regex": "/cancel$"})
    late.control.add_fault("gone", match={"method": "GET"})

    wanted = await late.responses.want_cancel(made, CancelReason.ASKED)
    told = await late.responses.deliver_cancel(wanted)
    assert told.state is AttemptState.SUBMITTED
    assert told.owes_cancel

    settled = await late.responses.wait(made.id, CallPolicy())
    assert settled.attempt.outcome is Outcome.CANCELLED
    assert len(late.cancels()) == 2


# --- ends of streams ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lag",
    [(response(),), ({"error": {"message": "Busy."}}, 503)],
    ids=["still at work", "unavailable"],
)
async def test_an_end_without_output_is_read_until_the_answer_is_there(streams, lag):
    whole = response("completed", "The answer.")
    events = created(), delta("The answer."), ended(response("completed"))
    async with RawServer(streaming(*events, reads=[lag, lag, (whole,)])) as server:
        bench = await aimed(streams, server.url)
        settled = await bench.responses.respond(bench.call(stream=True, policy=QUICK))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert orjson.loads(settled.body) == whole


async def test_an_end_without_the_function_call_before_it_is_read_whole(streams):
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
    call |= {"arguments": '{"a":1}', "status": "completed"}
    item = {"type": "response.output_item.done", "sequence_number": 1, "output_index": 0}
    whole = response("completed", output=[call])
    events = created(), item | {"item": call}, ended(response("completed"))
    async with RawServer(streaming(*events, reads=[(whole,)])) as server:
        bench = await aimed(streams, server.url)
        settled = await bench.responses.respond(bench.call(stream=True, policy=QUICK))

    assert orjson.loads(settled.body) == whole


WHOLE = response("completed", "hello")


@pytest.mark.parametrize(
    "odd",
    [
        {key: WHOLE[key] for key in WHOLE if key != "id"},
        {key: WHOLE[key] for key in WHOLE if key != "status"},
        response("completed", "Not yours.", "resp_of_somebody_else"),
        WHOLE | {"status": "in_progress"},
    ],
    ids=["no ID", "no status", "another ID", "at work"],
)
async def test_an_end_that_is_not_that_of_the_response_is_looked_up(streams, odd):
    events = created(), delta("hel"), ended(odd)
    async with RawServer(streaming(*events, reads=[(WHOLE,)])) as server:
        bench = await aimed(streams, server.url)
        settled = await bench.responses.respond(bench.call(stream=True, policy=QUICK))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.attempt.response_id == RESPONSE_ID
    assert orjson.loads(settled.body) == WHOLE


# --- streams that say nothing ---------------------------------------------------------------------


async def keep_alive(exchange, kind):
    number = 1
    while True:
        if kind == "comments":
            await exchange.send(b": keep-alive\n\n")
        else:
            await exchange.event(type="keepalive", sequence_number=number)
        number += 1
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["comments", "events"])
@pytest.mark.parametrize("where", ["the first connection", "a later one"])
async def test_an_end_that_the_stream_keeps_quiet_about_is_asked_for(streams, kind, where):
    reads = [response(), WHOLE]

    async def handle(exchange):
        if exchange.is_read:
            await exchange.json(reads.pop(0) if len(reads) > 1 else reads[0])
            return
        await exchange.stream(*([created()] if exchange.is_create else []))
        if exchange.is_stream or where == "the first connection":
            await keep_alive(exchange, kind)

    quiet = replace(QUICK, follow=FollowPolicy(backoff=SOON, silence=0.15))
    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        bench = await aimed(streams, server.url)
        settled = await bench.responses.respond(bench.call(stream=True, policy=quiet))

    assert orjson.loads(settled.body) == WHOLE


async def test_connections_of_one_keepalive_each_are_not_made_in_a_hurry(streams):
    ends_at, number = time.monotonic() + 0.4, 0

    async def handle(exchange):
        nonlocal number
        if exchange.is_read:
            is_done = time.monotonic() >= ends_at
            await exchange.json(WHOLE if is_done else response())
        elif exchange.is_create:
            await exchange.stream(created())
        else:
            number += 1
            await exchange.stream({"type": "keepalive", "sequence_number": number})

    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        bench = await aimed(streams, server.url)
        settled = await bench.responses.respond(bench.call(stream=True))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert len(server.seen) < 15


# --- streams that are not free --------------------------------------------------------------------


async def test_those_who_race_for_the_only_stream_keep_their_deadlines(streams):
    streams.control.set_latency("constant:60")
    calls = [streams.call(f"Say {n}.", stream=True, policy=QUICK) for n in range(4)]
    made = [await streams.responses.create(call) for call in calls]
    bench = await aimed(streams, max_streams=1)
    now = bench.clock.now()
    for attempt in made[1:]:
        await bench.ledger.do(SetDeadline(attempt.id, now + 0.5, now))
    policy = replace(QUICK, timeout=TimeoutPolicy(grace=0.1))

    first, *others = [bench.responses.wait(attempt.id, policy) for attempt in made]
    async with meanwhile(first), asyncio.timeout(ENOUGH):
        settled = await asyncio.gather(*others)

    assert {each.attempt.outcome for each in settled} == {Outcome.CANCELLED}


async def test_one_whose_stream_was_taken_while_it_reconnected_keeps_its_deadline(streams):
    has_reconnected, is_taken, other = asyncio.Event(), asyncio.Event(), "resp_of_the_other"
    cancelled = []

    async def handle(exchange):
        if exchange.is_cancel:
            cancelled.append(exchange.path)
        if exchange.is_create and b"other" in exchange.body:
            await exchange.stream(created(other))
            is_taken.set()
            await asyncio.Event().wait()
        elif exchange.is_create:
            await exchange.stream(created())
        elif exchange.is_stream:
            has_reconnected.set()
            await exchange.begin()
        else:
            await exchange.json(response("cancelled" if cancelled else "in_progress"))

    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        bench = await aimed(streams, server.url, max_streams=1)
        call = within(bench, 1.0, stream=True)
        patient = FollowPolicy(tries=50, backoff=Backoff(first=0.1, most=0.1))
        call = replace(call, policy=replace(call.policy, follow=patient))
        other_call = bench.call("other", stream=True)
        async with meanwhile(bench.responses.respond(call)) as ours:
            await has_reconnected.wait()
            async with meanwhile(bench.responses.respond(other_call)):
                settled = await ours

    assert settled.attempt.outcome is Outcome.CANCELLED
    assert is_taken.is_set()


# --- servers that hang ----------------------------------------------------------------------------


@pytest.mark.parametrize("hanging", ["is_read", "is_stream", "is_cancel"])
async def test_a_request_that_hangs_does_not_hold_the_deadline(streams, hanging):
    async def handle(exchange):
        is_first = not any(getattr(earlier, hanging) for earlier in server.seen[:-1])
        if getattr(exchange, hanging) and (is_first or hanging != "is_read"):
            await asyncio.Event().wait()
        elif exchange.is_create and hanging == "is_stream":
            await exchange.stream(created())
        else:
            await exchange.json(response())

    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        bench = await aimed(streams, server.url)
        call = within(bench, 0.3, stream=hanging == "is_stream")
        began = time.monotonic()
        with pytest.raises(ResponseTimedOut):
            await bench.responses.respond(call)

    assert time.monotonic() - began < 4.0
    assert any(exchange.is_cancel for exchange in server.seen)
