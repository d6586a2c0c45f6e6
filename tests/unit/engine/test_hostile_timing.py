"""Cancels, deadlines and deaths that come at the worst moment: nothing is paid twice or lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from engine_bench import SCOPE, EmulatorsClock, policy
from raw_server import RawServer, aimed, created, ended, response

from prefect_responses.attempt import Origin
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.policies import (
    AwaitMode,
    CallPolicy,
    FollowPolicy,
    InDoubtMode,
    OnChange,
    PollPolicy,
    RetryPolicy,
    TimeoutPolicy,
)
from prefect_responses.engine import submission
from prefect_responses.errors import ResponseTimedOut, SubmissionInDoubt
from prefect_responses.ledger import Claim, Plan, SetDeadline
from prefect_responses.statuses import AttemptState, CancelAnswer, CancelReason, Outcome

LIMIT = CallPolicy(timeout=TimeoutPolicy(seconds=60.0, grace=10.0))
CANCELS = {"path_regex": "/cancel$"}
#: Seconds in which a test ends that would go on for ever.
ENOUGH = 10.0


@pytest.fixture
async def late(bench):
    """An engine and an emulator on one virtual clock; responses take ten minutes."""
    again = await bench.again(clock=EmulatorsClock(bench.control))
    again.control.set_latency("constant:600")
    return again


def call(bench, text="Take your time.", policy=LIMIT, **request):
    made = bench.call(text, policy=policy, **request)
    deadline_at = policy.timeout.deadline(bench.clock.now())
    return replace(made, draft=replace(made.draft, deadline_at=deadline_at))


async def until(is_so):
    async with asyncio.timeout(ENOUGH):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


async def left(task):
    """Cancel *task*, as the end of a process or of a task run does."""
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def refuse_once(bench, attempt):
    """Ask for a cancel of *attempt* that the API refuses."""
    bench.control.add_fault("status", match=CANCELS, status=400, code="unsupported")
    wanted = await bench.responses.want_cancel(attempt, CancelReason.ASKED)
    told = await bench.responses.deliver_cancel(wanted)
    assert told.cancel_answer is CancelAnswer.REFUSED


# --- what was to be cancelled is not paid again ---------------------------------------------------


async def test_what_somebody_would_have_cancelled_is_not_retried_when_it_fails(late):
    late.control.set_latency("constant:100")
    late.control.add_fault("fail", code="server_error")
    made = await late.responses.create(late.call())
    await refuse_once(late, made)

    retrying = policy(max_attempts=2)
    settled = await late.responses.respond(late.call(policy=retrying, execution="e2"))

    assert settled.attempt.outcome is Outcome.FAILED
    assert len(late.posts()) == 1


async def test_what_the_deadline_would_have_cancelled_is_not_retried_when_it_fails(late):
    late.control.set_latency("constant:100")
    late.control.add_fault("fail", code="server_error")
    late.control.add_fault("status", match=CANCELS, times=None, status=400)
    limit = TimeoutPolicy(seconds=60.0, grace=60.0)

    settled = await late.responses.respond(
        call(late, policy=CallPolicy(timeout=limit, retry=RetryPolicy(2)))
    )

    assert settled.attempt.outcome is Outcome.FAILED
    assert settled.attempt.cancel_reason is CancelReason.DEADLINE
    assert len(late.posts()) == 1


async def test_what_was_to_be_cancelled_while_it_was_sent_is_not_sent_again(bench):
    has_come, goes_on = asyncio.Event(), asyncio.Event()

    async def handle(exchange):
        has_come.set()
        await goes_on.wait()
        exchange.drop()

    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        engine = await aimed(bench, server.url)
        creating = asyncio.create_task(engine.responses.create(engine.call()))
        await has_come.wait()
        (attempt,) = await engine.attempts()
        assert attempt.state is AttemptState.SUBMITTING
        await engine.responses.want_cancel(attempt, CancelReason.FLOW_RUN_CANCELLED)
        goes_on.set()
        with pytest.raises(SubmissionInDoubt):
            await creating

    assert server.creates == 1
    (attempt,) = await engine.attempts()
    assert attempt.state is AttemptState.IN_DOUBT


@pytest.mark.parametrize("mode", [InDoubtMode.AUTO, InDoubtMode.SEARCH])
async def test_what_was_to_be_cancelled_in_doubt_is_sent_again_only_when_asked_for(late, mode):
    late.control.change_settings(list_responses=True)
    late.control.add_fault("drop_before", match={"method": "POST"})
    with pytest.raises(SubmissionInDoubt) as doubt:
        await late.responses.create(late.call(policy=policy(InDoubtMode.FAIL)))
    attempt = await late.ledger.attempt(doubt.value.attempt_id)
    await late.responses.want_cancel(attempt, CancelReason.ASKED)

    with pytest.raises(SubmissionInDoubt):
        await late.responses.create(late.call(policy=policy(mode), execution="e2"))
    assert len(late.posts()) == 1

    again = late.call(policy=policy(mode), run=(2,), execution="e3")
    assert (await late.responses.create(again)).number == 2
    assert len(late.posts()) == 2


# --- deadlines ------------------------------------------------------------------------------------


async def test_a_cancel_that_was_refused_before_does_not_disarm_the_deadline(late):
    made = await late.responses.create(late.call())
    await refuse_once(late, made)
    began = late.clock.now()

    settled = await late.responses.wait(made.id, LIMIT)

    assert settled.attempt.outcome is Outcome.CANCELLED
    assert settled.attempt.cancel_reason is CancelReason.DEADLINE
    assert len(late.cancels()) == 2
    assert late.clock.now() == pytest.approx(began + 70.0, abs=3.0)


async def test_what_ended_since_the_last_poll_is_read_at_the_deadline(late):
    late.control.set_latency("constant:99")
    made = await late.responses.create(late.call())
    await refuse_once(late, made)

    limit = TimeoutPolicy(seconds=100.0, grace=0.1)
    rare = CallPolicy(timeout=limit, poll=PollPolicy(least=80.0, most=80.0, learns=False))
    settled = await late.responses.wait(made.id, rare)

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.body is not None


async def test_one_that_adopts_an_earlier_request_keeps_its_own_deadline(late):
    made = await late.responses.create(late.call("The first.", key="k"))
    began = late.clock.now()

    adopting = call(late, "Another.", key="k", on_change=OnChange.ADOPT, execution="e2")
    settled = await late.responses.respond(adopting)

    assert settled.attempt.id == made.id
    assert settled.attempt.deadline_at == began + 60.0
    assert settled.attempt.outcome is Outcome.CANCELLED


async def test_a_later_run_that_awaits_it_by_its_id_has_a_deadline_as_long(late):
    late.control.set_latency("constant:5")
    late.control.add_fault("fail", code="server_error")
    made = await late.responses.create(call(late))
    failed = await late.responses.wait(made.id, CallPolicy())
    assert failed.attempt.outcome is Outcome.FAILED
    late.control.set_latency("constant:600")
    began = late.clock.now()

    origin = Origin(SCOPE, "e2", (), (2,))
    settled = await late.responses.wait(made.id, CallPolicy(), origin)

    assert settled.attempt.number == 2
    assert settled.attempt.deadline_at == pytest.approx(began + 60.0, abs=1.0)
    assert settled.attempt.outcome is Outcome.CANCELLED


async def test_a_deadline_that_another_process_sets_meanwhile_is_noticed(bench):
    reads, cancelled = [], []

    async def handle(exchange):
        if exchange.is_read:
            reads.append(engine.clock.now())
        if len(reads) == 2 and exchange.is_read:
            await other.ledger.do(SetDeadline(made.id, reads[-1] + 60.0, reads[-1]))
        if exchange.is_cancel:
            cancelled.append(engine.clock.now())
        await exchange.json(response("cancelled" if cancelled else "in_progress"))

    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        engine, other = await aimed(bench, server.url), await bench.again()
        made = await engine.responses.create(engine.call())
        settled = await engine.responses.wait(made.id, CallPolicy())

    assert settled.attempt.outcome is Outcome.CANCELLED
    assert settled.attempt.cancel_reason is CancelReason.DEADLINE
    assert cancelled[0] >= reads[1] + 60.0


async def test_one_that_follows_a_stream_notices_such_a_deadline_too(bench):
    cancelled = asyncio.Event()

    async def handle(exchange):
        if exchange.is_create:
            await exchange.stream(created())
            await asyncio.Event().wait()
        if exchange.is_cancel:
            cancelled.set()
        await exchange.json(response("cancelled" if cancelled.is_set() else "in_progress"))

    alert = CallPolicy(follow=FollowPolicy(silence=0.1), timeout=TimeoutPolicy(grace=0.1))
    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        engine, other = await aimed(bench, server.url, clock=SystemClock()), await bench.again()
        followed = engine.call(stream=True, policy=alert)
        following = asyncio.create_task(engine.responses.respond(followed))
        await until(lambda: engine.observer.heard)
        (attempt,) = await other.attempts()
        now = engine.clock.now()
        await other.ledger.do(SetDeadline(attempt.id, now + 0.2, now))
        settled = await following

    assert settled.attempt.outcome is Outcome.CANCELLED
    assert settled.attempt.cancel_reason is CancelReason.DEADLINE


async def test_no_resubmission_is_promised_of_a_response_that_never_ends(bench):
    async def handle(exchange):
        await exchange.json(response())

    told = []
    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        engine = await aimed(bench, server.url)
        for run in (1, 2, 3):
            with pytest.raises(ResponseTimedOut) as caught:
                await engine.responses.respond(call(engine, run=(run,), execution=f"e{run}"))
            told.append(caught.value)

    assert {error.outcome for error in told} == {"unknown"}
    assert server.creates == 1
    assert not any("submit" in str(error) for error in told)


# --- owners and streams that were left ------------------------------------------------------------


async def test_a_living_owner_that_no_longer_sends_is_not_waited_for_for_ever(bench):
    began = bench.clock.now()
    patient = replace(policy(), owner_poll=5.0)
    planned = (await bench.ledger.do(Plan(bench.call(key="k").draft, began))).attempt
    await bench.ledger.do(Claim(planned.id, "its-request", began))

    other = await bench.again()
    made = await other.responses.create(other.call(key="k", policy=patient))

    assert made.number == 2
    assert bench.accepted() == 1
    lease = bench.ledger.lease_seconds
    assert lease <= bench.clock.now() - began <= 4 * lease


FAILED = response("failed", error={"code": "server_error", "message": "It broke."})
SECOND = "resp_of_the_second"


class SlowToAccept:
    """A server that accepts the first create when told so; its response fails when told so."""

    def __init__(self):
        self.has_come, self.accepts, self.fails = (asyncio.Event() for _ in range(3))

    async def __call__(self, exchange):
        if exchange.is_create and not self.has_come.is_set():
            self.has_come.set()
            await self.accepts.wait()
            await exchange.stream(created())
            await self.fails.wait()
            await exchange.event(**ended(FAILED, "failed"))
        elif exchange.is_create:
            await exchange.json(response(id_=SECOND))
        else:
            is_second = SECOND in exchange.path
            await exchange.json(response("completed", "Done.", SECOND) if is_second else FAILED)


@pytest.fixture
async def left_early(bench, monkeypatch):
    """An engine whose caller left while its stream was being created, and the server."""
    monkeypatch.setattr(submission, "RECORDING_GRACE", 0.0)
    handler = SlowToAccept()
    async with RawServer(handler) as server:
        engine = await aimed(bench, server.url, clock=SystemClock(), max_streams=1)
        creating = asyncio.create_task(engine.responses.respond(engine.call(stream=True, key="k")))
        await handler.has_come.wait()
        await left(creating)
        assert not engine.api.has_free_stream
        handler.accepts.set()
        await until(lambda: engine.observer.heard)
        yield engine, handler


async def test_a_stream_whose_caller_left_is_closed(left_early):
    engine, _ = left_early
    await until(lambda: engine.api.has_free_stream)

    (attempt,) = await engine.attempts()
    assert attempt.state is AttemptState.SUBMITTED


async def test_the_stream_of_an_attempt_never_ends_the_next(left_early):
    engine, handler = left_early
    (first,) = await engine.attempts()
    assert (await engine.responses.look(first)).attempt.outcome is Outcome.FAILED
    handler.fails.set()

    again = engine.call(stream=True, key="k", run=(2,), execution="e2")
    async with asyncio.timeout(ENOUGH):
        settled = await engine.responses.respond(again)

    assert settled.attempt.response_id == SECOND
    assert settled.attempt.outcome is Outcome.COMPLETED


async def test_a_response_that_is_polled_holds_no_stream(bench):
    free = []

    async def handle(exchange):
        if exchange.is_create:
            await exchange.stream(created())
            await asyncio.Event().wait()
        free.append(engine.api.has_free_stream)
        await exchange.json(response("completed", "Done."))

    polled = CallPolicy(mode=AwaitMode.POLL)
    async with RawServer(handle) as server, asyncio.timeout(ENOUGH):
        engine = await aimed(bench, server.url, max_streams=1)
        await engine.responses.respond(engine.call(stream=True, policy=polled))

    assert free == [True]


async def test_no_attempt_of_a_call_leaves_a_stream_open(bench):
    bench.control.set_latency("constant:0.1")
    bench.control.add_fault("fail", match={"method": "POST"}, code="server_error", times=2)
    engine = await aimed(bench, clock=SystemClock(), max_streams=2)
    retrying = CallPolicy(AwaitMode.POLL, retry=RetryPolicy(3), poll=PollPolicy(least=0.05))

    settled = await engine.responses.respond(engine.call(stream=True, policy=retrying))

    assert settled.attempt.number == 3
    async with engine.api.stream(settled.attempt.response_id):
        assert engine.api.has_free_stream  # one of two is ours
