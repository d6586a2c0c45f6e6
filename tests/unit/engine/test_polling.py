"""Reading a response until it has ended, on whatever the network answers."""

from __future__ import annotations

import pytest
from engine_bench import EmulatorsClock, policy

from prefect_responses.engine.outcomes import failure_of
from prefect_responses.errors import (
    AnswerUnreadable,
    ApiError,
    CredentialsRefused,
    RefusedForNow,
    ResponseExpired,
)
from prefect_responses.statuses import AttemptState, Outcome, ResponseStatus

GETS = {"method": "GET"}


@pytest.fixture
async def slow(bench):
    """An engine and an emulator that share one virtual clock; responses take an hour."""
    bench.control.set_latency("constant:3600")
    return await bench.again(clock=EmulatorsClock(bench.control))


async def test_an_hour_takes_few_polls_and_few_writes(slow):
    settled = await slow.responses.respond(slow.call())

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert 100 < slow.reads() < 200
    assert settled.attempt.polls == slow.reads()
    assert max(slow.clock.slept) == 30.0


async def test_the_status_is_recorded_when_it_changes(slow):
    attempt = await slow.responses.create(slow.call())
    assert attempt.remote_status is ResponseStatus.QUEUED

    await slow.clock.sleep(1800)
    slow.control.add_fault("status", match=GETS, after=1, times=None, status=401)
    with pytest.raises(CredentialsRefused):
        await slow.responses.wait(attempt.id, policy())
    seen = await slow.ledger.attempt(attempt.id)
    assert seen.remote_status is ResponseStatus.IN_PROGRESS


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 502, "body": "html"},
        {"kind": "status", "status": 404, "body": "html"},
        {"kind": "status", "status": 408, "body": "bare"},
        {"kind": "drop_before"},
        {"kind": "unreadable", "body": "truncated"},
        {"kind": "redirect", "location": "https://example.com/"},
    ],
    ids=str,
)
async def test_a_few_bad_answers_are_tolerated(slow, fault):
    # Two, because a read is repeated once by itself.
    slow.control.add_fault(**fault, match=GETS, times=4)
    settled = await slow.responses.respond(slow.call())

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert len(slow.posts()) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 500}, AnswerUnreadable),
        ({"status": 404, "body": "html"}, AnswerUnreadable),
        ({"status": 429, "retry_after": 20}, RefusedForNow),
    ],
    ids=str,
)
async def test_too_many_bad_answers_in_a_row_raise_and_lose_nothing(slow, fault, error):
    attempt = await slow.responses.create(slow.call())
    slow.control.add_fault("status", match=GETS, times=None, **fault)
    with pytest.raises(error) as raised:
        await slow.responses.wait(attempt.id, policy())

    assert isinstance(raised.value, ApiError)
    assert raised.value.retryable
    assert (await slow.ledger.attempt(attempt.id)).state is AttemptState.SUBMITTED
    slow.control.clear_faults()
    settled = await slow.responses.wait(attempt.id, policy())
    assert settled.attempt.outcome is Outcome.COMPLETED
    assert len(slow.posts()) == 1


async def test_a_server_that_asks_to_wait_is_waited_for(slow):
    slow.control.add_fault("status", match=GETS, status=429, retry_after=300)
    await slow.responses.respond(slow.call())
    assert 300.0 in slow.clock.slept


async def test_refused_credentials_leave_the_response_running(slow):
    attempt = await slow.responses.create(slow.call())
    slow.control.add_fault("status", match=GETS, status=401, times=None)
    with pytest.raises(CredentialsRefused):
        await slow.responses.wait(attempt.id, policy())

    assert (await slow.ledger.attempt(attempt.id)).state is AttemptState.SUBMITTED
    assert slow.cancels() == []


async def test_a_404_just_after_acceptance_is_read_after_write_lag(slow):
    slow.control.add_fault("gone", match=GETS, times=3)
    settled = await slow.responses.respond(slow.call())
    assert settled.attempt.outcome is Outcome.COMPLETED


@pytest.mark.parametrize(
    ("age", "kind", "why"),
    [
        (60.0, "ResponseMissing", "deleted, or these credentials belong to another project"),
        (31 * 86_400.0, "RetentionEnded", "its retention ended unread"),
    ],
)
async def test_a_404_later_is_the_end_and_says_which(slow, age, kind, why):
    attempt = await slow.responses.create(slow.call())
    await slow.clock.sleep(age)
    slow.control.add_fault("gone", match=GETS, times=1)
    settled = await slow.responses.wait(attempt.id, policy())

    assert settled.attempt.outcome is Outcome.EXPIRED
    assert (settled.attempt.error["error"], settled.attempt.error["status"]) == (kind, 404)
    failure = failure_of(settled.attempt)
    assert isinstance(failure, ResponseExpired)
    assert attempt.response_id in str(failure)
    assert why in str(failure)


async def test_an_adopted_response_is_asked_at_once(slow):
    attempt = await slow.responses.create(slow.call())
    await slow.clock.sleep(7200)
    slow.clock.slept.clear()
    successor = await slow.again()
    await successor.responses.wait(attempt.id, policy())

    assert slow.clock.slept == []
    assert slow.reads() == 1
