"""Deadlines: wall-clock times in the ledger, and what came of them told exactly."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from engine_bench import EmulatorsClock

from prefect_responses.clock import SystemClock
from prefect_responses.decisions.policies import CallPolicy, TimeoutPolicy
from prefect_responses.decisions.timeouts import TimeoutOutcome, timeout_outcome
from prefect_responses.engine.outcomes import failure_of
from prefect_responses.errors import ResponseTimedOut
from prefect_responses.ledger import RecordCancel
from prefect_responses.statuses import CancelAnswer, CancelReason, Outcome

LIMIT = CallPolicy(timeout=TimeoutPolicy(seconds=60.0, grace=10.0))


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


async def test_a_response_that_takes_too_long_is_cancelled_and_says_so(late):
    began = late.clock.now()

    settled = await late.responses.respond(call(late))

    attempt, error = settled.attempt, failure_of(settled.attempt)
    assert attempt.outcome is Outcome.CANCELLED
    assert attempt.cancel_reason is CancelReason.DEADLINE
    assert isinstance(error, ResponseTimedOut)
    assert error.outcome == "cancelled"
    assert error.deadline_at == began + 60.0
    assert len(late.cancels()) == 1
    assert late.clock.now() == pytest.approx(began + 70.0, abs=3.0)  # the grace is waited out


async def test_one_that_is_done_in_time_is_left_alone(late):
    late.control.set_latency("constant:20")

    settled = await late.responses.respond(call(late))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert timeout_outcome(settled.attempt) is None
    assert late.cancels() == []


async def test_one_that_was_done_when_the_deadline_came_is_kept(late):
    made = await late.responses.create(call(late, policy=LIMIT))
    late.control.advance(700.0)
    await late.clock.advance(700.0)

    settled = await late.responses.wait(made.id, CallPolicy())

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert timeout_outcome(settled.attempt) is TimeoutOutcome.COMPLETED
    assert failure_of(settled.attempt) is None
    assert settled.body is not None


async def test_a_cancelled_response_that_completes_within_the_grace_is_kept(late):
    late.control.add_fault("cancel_then_completes", after_cancel=4.0)

    settled = await late.responses.respond(call(late))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert timeout_outcome(settled.attempt) is TimeoutOutcome.COMPLETED
    assert len(late.cancels()) == 1


async def test_one_that_completes_after_the_grace_is_to_be_watched_by_a_harvest(late):
    late.control.add_fault("cancel_then_completes", after_cancel=120.0)

    settled = await late.responses.respond(call(late))
    assert settled.attempt.outcome is Outcome.CANCELLED
    watched = await late.ledger.watched(late.clock.now())
    late.control.advance(200.0)
    await late.clock.advance(200.0)
    seen = await late.responses.watch(watched[0])

    assert [each.id for each in watched] == [settled.attempt.id]
    assert seen.outcome is Outcome.COMPLETED


async def test_the_deadline_of_the_first_process_holds_in_the_next(late):
    began = late.clock.now()
    made = await late.responses.create(call(late))
    late.control.advance(50.0)
    await late.clock.advance(50.0)

    again = await late.again()
    settled = await again.responses.respond(call(again, execution="e2"))

    assert settled.attempt.id == made.id
    assert settled.attempt.deadline_at == began + 60.0
    assert settled.attempt.outcome is Outcome.CANCELLED
    assert again.accepted() == 1


async def test_who_created_and_awaits_is_told_after_a_crash_in_the_grace(late):
    made = await late.responses.create(call(late))
    late.control.advance(70.0)
    await late.clock.advance(70.0)
    ended = await late.responses.enforce_deadline(made.id)  # and dies before anybody is told
    assert ended.outcome is Outcome.CANCELLED

    again = await late.again()
    next_run = call(again, run=(2,), execution="e2")
    handle = await again.responses.create(next_run)
    settled = await again.responses.wait(handle.id, LIMIT, next_run.origin)

    assert settled.attempt.id == made.id
    assert isinstance(failure_of(settled.attempt), ResponseTimedOut)
    assert again.accepted() == 1
    third = await again.responses.create(call(again, run=(3,), execution="e3"))
    assert third.number == 2


@pytest.mark.parametrize("dies", ["before the deadline", "owing the cancel", "cancelled"])
@pytest.mark.parametrize("way", ["the same call", "by its ID"])
async def test_a_run_again_after_a_crash_pays_for_no_other(late, dies, way):
    made = await late.responses.create(call(late))
    late.control.advance(70.0)
    await late.clock.advance(70.0)
    if dies != "before the deadline":
        wanted = await late.responses._cancelling.want(made, CancelReason.DEADLINE, (1,))
    if dies == "cancelled":
        await late.api.cancel(wanted.response_id)
        now = late.clock.now()
        await late.ledger.do(RecordCancel(made.id, CancelAnswer.TAKEN, now + 900, now))

    again = await late.again()
    next_run = call(again, run=(2,), execution="e2")
    if way == "the same call":
        settled = await again.responses.respond(next_run)
    else:
        settled = await again.responses.wait(made.id, LIMIT, next_run.origin)

    assert settled.attempt.id == made.id
    assert isinstance(failure_of(settled.attempt), ResponseTimedOut)
    assert again.accepted() == 1
    third = await again.responses.respond(call(again, run=(3,), execution="e3"))
    assert third.attempt.number == 2  # a person asked again


async def test_a_run_that_follows_a_death_in_the_grace_hears_of_the_deadline_once(late):
    dying = asyncio.create_task(late.responses.respond(call(late)))
    while "settled" not in dict(late.observer.heard):  # noqa: ASYNC110 - it hears no events
        await asyncio.sleep(0)
    dying.cancel()  # it is cancelled upstream, and watched for a late completion
    await asyncio.wait({dying})

    again = await late.again()
    told = await again.responses.respond(call(again, run=(2,), execution="e2"))
    assert isinstance(failure_of(told.attempt), ResponseTimedOut)
    assert again.accepted() == 1

    await again.responses.respond(call(again, run=(3,), execution="e3"))
    assert again.accepted() == 2  # that was asked for


async def test_a_later_run_gets_a_new_attempt_with_a_deadline_of_its_own(late):
    first = await late.responses.respond(call(late))
    late.control.set_latency("constant:5")
    now = late.clock.now()

    second = await late.responses.respond(call(late, run=(2,), execution="e2"))

    assert second.attempt.number == first.attempt.number + 1
    assert second.attempt.deadline_at == pytest.approx(now + 60.0)
    assert second.attempt.outcome is Outcome.COMPLETED


async def test_a_cancel_that_the_api_refuses_is_told_apart(late):
    late.control.add_fault(
        "status", match={"path_regex": "/cancel$"}, times=None, status=400, code="unsupported"
    )

    with pytest.raises(ResponseTimedOut) as caught:
        await late.responses.respond(call(late))

    assert caught.value.outcome == "cancel_refused"
    attempt = (await late.attempts())[0]
    assert attempt.cancel_answer is CancelAnswer.REFUSED
    assert attempt.outcome is None


async def test_a_cancel_that_cannot_be_delivered_is_owed(late):
    late.control.add_fault("status", match={"path_regex": "/cancel$"}, times=None, status=503)

    with pytest.raises(ResponseTimedOut) as caught:
        await late.responses.respond(call(late))

    assert caught.value.outcome == "unknown"
    owed = await late.ledger.owed_cancels()
    assert [attempt.id for attempt in owed] == [caught.value.attempt_id]
    late.control.clear_faults()
    assert (await late.responses.deliver_cancel(owed[0])).outcome is Outcome.CANCELLED
    assert await late.ledger.owed_cancels() == []


async def test_what_could_not_be_sent_in_time_is_never_sent(late):
    late.control.add_fault("status", times=None, status=429, code="rate_limit_exceeded")

    settled = await late.responses.respond(call(late))

    assert late.accepted() == 0
    failure = failure_of(settled.attempt)
    assert isinstance(failure, ResponseTimedOut)
    assert failure.outcome == "not_sent"


async def test_a_waiter_can_set_the_deadline_and_an_earlier_one_stays(late):
    made = await late.responses.create(late.call("Nobody hurries."))
    began = late.clock.now()

    settled = await late.responses.wait(made.id, LIMIT)

    assert settled.attempt.deadline_at == began + 60.0
    assert settled.attempt.outcome is Outcome.CANCELLED


async def test_a_stream_is_left_at_the_deadline(bench):
    streams = await bench.again(clock=SystemClock())
    streams.control.set_latency("constant:0.05")
    streams.control.change_settings(token_rate=20)
    hurried = CallPolicy(timeout=TimeoutPolicy(seconds=0.6, grace=0.5))
    text = " ".join(f"word{number}" for number in range(200))

    settled = await asyncio.wait_for(
        streams.responses.respond(call(streams, text, hurried, stream=True)), 20
    )

    assert settled.attempt.outcome is Outcome.CANCELLED
    assert len(streams.cancels()) == 1
    kept = await streams.ledger.progress(settled.attempt.id)
    assert kept is not None
    assert kept.snapshot  # the text so far is all there is
