"""Waits that end at a time, single looks, and cancelled responses that are watched."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from engine_bench import EmulatorsClock, policy

from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.engine.observers import Silent
from prefect_responses.engine.polling import Polling
from prefect_responses.engine.settlement import settle_as_read
from prefect_responses.errors import (
    AnswerUnreadable,
    AttemptUnknown,
    CredentialsRefused,
    RequestRefused,
)
from prefect_responses.ledger import Settle
from prefect_responses.statuses import AttemptState, Outcome, ResponseStatus
from prefect_responses.wire.responses import read_response_object

GETS = {"method": "GET"}
#: Coarse, so that an hour takes few polls.
POLLS = PollPolicy(share=0.5, most=300.0, bad_answers=3)


@pytest.fixture
async def slow(bench):
    """An engine and an emulator that share one virtual clock; responses take an hour."""
    bench.control.set_latency("constant:3600")
    return await bench.again(clock=EmulatorsClock(bench.control))


@pytest.fixture
def polling(slow):
    return Polling(slow.ledger, slow.api, slow.clock, Silent())


async def cancelled(slow):
    """Settle an attempt as cancelled whose response goes on upstream."""
    attempt = await slow.responses.create(slow.call())
    verb = Settle(attempt.id, Outcome.CANCELLED, slow.clock.now(), ResponseStatus.CANCELLED)
    return (await slow.ledger.do(verb)).attempt


# --- until ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_wait_ends_at_its_time_to_the_second(slow, polling, is_new):
    attempt = await slow.responses.create(slow.call())
    until = slow.clock.now() + 100.0
    waited = await polling.wait(attempt, POLLS, is_new=is_new, until=until)

    assert waited.state is AttemptState.SUBMITTED
    assert slow.clock.now() == until
    assert slow.reads() > 3


async def test_a_time_that_has_come_is_not_waited_for_nor_read(slow, polling):
    attempt = await slow.responses.create(slow.call())
    slow.clock.slept.clear()
    waited = await polling.wait(attempt, POLLS, is_new=True, until=slow.clock.now())

    assert waited == attempt
    assert (slow.reads(), slow.clock.slept) == (0, [])


async def test_an_end_before_its_time_is_settled(slow, polling):
    attempt = await slow.responses.create(slow.call())
    until = slow.clock.now() + 7200.0
    settled = await polling.wait(attempt, POLLS, is_new=True, until=until)
    assert settled.outcome is Outcome.COMPLETED
    assert slow.clock.now() < until


async def test_a_server_that_asks_for_a_day_gets_it(slow, polling):
    attempt = await slow.responses.create(slow.call())
    slow.control.add_fault("status", match=GETS, status=429, retry_after=86_400)
    settled = await polling.wait(attempt, POLLS, is_new=False)

    assert settled.outcome is Outcome.COMPLETED
    assert 86_400.0 in slow.clock.slept
    assert slow.reads() == 2


async def test_a_server_that_asks_for_a_day_does_not_hold_back_a_deadline(slow, polling):
    attempt = await slow.responses.create(slow.call())
    slow.control.add_fault("status", match=GETS, times=None, status=429, retry_after=86_400)
    until = slow.clock.now() + 600.0
    waited = await polling.wait(attempt, POLLS, is_new=False, until=until)

    assert waited.state is AttemptState.SUBMITTED
    assert slow.clock.now() == until
    assert slow.reads() == 1


async def test_an_end_is_seen_before_a_short_retention_is_over(slow, polling):
    # Completed after 590 s, and gone from the server at 600.
    slow.control.set_latency("constant:590")
    attempt = await slow.responses.create(slow.call(store=False))
    assert attempt.expires_at == slow.clock.now() + 600.0
    rare = PollPolicy(least=1.0, share=1.0, most=500.0)
    settled = await polling.wait(attempt, rare, is_new=True)

    assert settled.outcome is Outcome.COMPLETED
    assert slow.reads() < 20


# --- one look -------------------------------------------------------------------------------------


async def test_a_look_reads_once_and_notes_what_is_news(slow, polling):
    attempt = await slow.responses.create(slow.call())
    first = await polling.look(attempt, POLLS)
    await slow.clock.sleep(1800)
    second = await polling.look(first.attempt, POLLS)

    assert (first.attempt, first.error, first.missing) == (attempt, None, False)
    assert second.attempt.remote_status is ResponseStatus.IN_PROGRESS
    assert second.attempt == await slow.ledger.attempt(attempt.id)
    assert slow.reads() == 2


async def test_a_look_settles_what_has_ended(slow, polling):
    attempt = await slow.responses.create(slow.call())
    await slow.clock.sleep(7200)
    looked = await polling.look(attempt, POLLS)

    assert looked.attempt.outcome is Outcome.COMPLETED
    assert looked.attempt.polls == 1
    assert (await polling.look(looked.attempt, POLLS)).attempt == looked.attempt


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 500}, AnswerUnreadable),
        ({"kind": "drop_before"}, AnswerUnreadable),
        ({"kind": "status", "status": 401}, CredentialsRefused),
    ],
    ids=str,
)
async def test_a_look_that_learned_nothing_says_why(slow, polling, fault, error):
    attempt = await slow.responses.create(slow.call())
    slow.control.add_fault(**fault, match=GETS, times=None)
    looked = await polling.look(attempt, POLLS)

    assert isinstance(looked.error, error)
    assert (looked.attempt, looked.missing) == (attempt, False)


@pytest.mark.parametrize(("age", "missing"), [(1.0, False), (60.0, True)])
async def test_a_look_that_finds_nothing_settles_nothing(slow, polling, age, missing):
    attempt = await slow.responses.create(slow.call())
    await slow.clock.sleep(age)
    slow.control.add_fault("gone", match=GETS)
    looked = await polling.look(attempt, POLLS)

    assert isinstance(looked.error, RequestRefused)
    assert (looked.attempt, looked.missing) == (attempt, missing)
    assert (await slow.ledger.attempt(attempt.id)).state is AttemptState.SUBMITTED


async def test_a_look_at_what_is_settled_changes_no_record(slow, polling):
    attempt = await cancelled(slow)
    looked = await polling.look(attempt, POLLS)
    assert looked.attempt == attempt == await slow.ledger.attempt(attempt.id)


async def test_whoever_knows_better_says_that_it_is_gone(slow, polling):
    attempt = await slow.responses.create(slow.call())
    await slow.clock.sleep(60)
    slow.control.add_fault("gone", match=GETS)
    looked = await polling.look(attempt, POLLS)
    expired = await polling.expire(replace(attempt, expires_at=None), looked.error, polls=1)

    assert expired.outcome is Outcome.EXPIRED
    assert "retention ended unread, it was deleted, or" in expired.error["message"]


async def test_what_has_no_response_is_not_looked_for(slow, polling):
    attempt = await slow.responses.create(slow.call())
    with pytest.raises(AttemptUnknown):
        await polling.look(replace(attempt, response_id=None), POLLS)


async def test_of_two_ends_the_first_one_recorded_stays(slow, polling):
    attempt = await cancelled(slow)
    slow.control.add_fault("gone", match=GETS)
    looked = await polling.look(attempt, PollPolicy(missing_grace=0.0))
    assert (await polling.expire(attempt, looked.error)).outcome is Outcome.CANCELLED


# --- what is cancelled is watched -----------------------------------------------------------------


async def test_a_late_completion_is_kept(slow, polling):
    attempt = await cancelled(slow)
    watched = await polling.watch(attempt, POLLS, slow.clock.now() + 7200)

    assert watched.outcome is Outcome.COMPLETED
    bodies = await slow.ledger.bodies([attempt.id])
    assert attempt.response_id.encode() in bodies[attempt.id].response


async def test_what_stays_cancelled_is_watched_to_the_end_and_read_then(slow, polling):
    attempt = await cancelled(slow)
    slow.clock.slept.clear()
    began, until = slow.clock.now(), slow.clock.now() + 10.0
    watched = await polling.watch(attempt, PollPolicy(least=0.5, share=0.15, most=2.0), until)

    assert watched == attempt
    assert slow.clock.now() == until
    assert slow.clock.slept[:2] == [0.5, 0.5]
    assert sum(slow.clock.slept) == pytest.approx(until - began)
    assert slow.reads() == len(slow.clock.slept) + 1


async def test_a_watch_that_is_over_reads_once(slow, polling):
    attempt = await cancelled(slow)
    await slow.clock.sleep(7200)
    watched = await polling.watch(attempt, POLLS, slow.clock.now())
    assert watched.outcome is Outcome.COMPLETED
    assert slow.reads() == 1


async def test_what_is_not_cancelled_is_not_watched(slow, polling):
    attempt = await slow.responses.create(slow.call())
    assert await polling.watch(attempt, POLLS, slow.clock.now() + 60) == attempt
    assert slow.reads() == 0


async def test_a_watch_bears_a_bad_answer_and_ends_with_a_404(slow, polling):
    attempt = await cancelled(slow)
    slow.control.add_fault("status", match=GETS, status=500)
    slow.control.add_fault("gone", match=GETS)
    watched = await polling.watch(attempt, POLLS, slow.clock.now() + 60)
    assert watched == attempt
    assert slow.reads() == 2


@pytest.mark.parametrize(("status", "error"), [(500, AnswerUnreadable), (401, CredentialsRefused)])
async def test_a_watch_that_cannot_read_raises(slow, polling, status, error):
    attempt = await cancelled(slow)
    slow.control.add_fault("status", match=GETS, times=None, status=status)
    with pytest.raises(error):
        await polling.watch(attempt, POLLS, slow.clock.now() + 60)


# --- latencies ------------------------------------------------------------------------------------


async def test_what_was_watched_ended_between_two_looks(slow, polling):
    attempt = await slow.responses.create(slow.call())
    settled = await polling.wait(attempt, POLLS, is_new=True)
    last, accepted = slow.clock.slept[-1], attempt.submitted_at
    assert settled.latency == pytest.approx(settled.settled_at - last / 2 - accepted)
    assert abs(settled.latency - 3600.0) <= 150.0


async def test_what_ended_before_the_first_look_took_half_as_long(slow, polling):
    slow.control.set_latency("constant:0.1")
    attempt = await slow.responses.create(slow.call())
    settled = await polling.wait(attempt, POLLS, is_new=True)
    assert settled.latency == pytest.approx(0.25)


async def test_a_week_late_teaches_no_week(slow, polling):
    attempt = await slow.responses.create(slow.call())
    await slow.clock.sleep(7 * 86_400)
    assert (await polling.look(attempt, POLLS)).attempt.latency == 3600.0


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_wait_that_begins_late_believes_the_response(slow, polling, is_new):
    attempt = await slow.responses.create(slow.call())
    await slow.clock.sleep(86_400)
    settled = await polling.wait(attempt, POLLS, is_new=is_new)
    assert settled.latency == 3600.0


async def test_a_gap_before_the_end_is_no_latency(slow, polling):
    attempt = await slow.responses.create(slow.call())
    slow.control.add_fault("status", match=GETS, status=429, retry_after=50_000, after=2)
    settled = await polling.wait(attempt, POLLS, is_new=True)
    assert settled.latency == 3600.0


async def test_a_machine_that_slept_for_a_night_learned_nothing(bench):
    bench.control.set_latency("constant:3600")
    bench.control.stop_clock(bench.clock.now())
    bench.clock.jumps = False
    polling = Polling(bench.ledger, bench.api, bench.clock, Silent())
    attempt = await bench.responses.create(bench.call(policy=policy()))
    waiting = asyncio.create_task(polling.wait(attempt, POLLS, is_new=True))
    await bench.clock.until_asleep()
    bench.control.advance(50_000)
    await bench.clock.advance(50_000)
    assert (await waiting).latency == 3600.0


@pytest.mark.parametrize(
    ("times", "latency"),
    [
        ({"created_at": 100, "completed_at": 117}, 17.0),
        ({"created_at": 100.5, "completed_at": 102.0}, 1.5),
        ({"created_at": 100, "completed_at": 100}, 0.0),
        ({"created_at": 100, "completed_at": 99}, None),
        ({"created_at": 0, "completed_at": 5}, None),
        ({"created_at": 1, "completed_at": 1_700_000_000}, None),
        ({"created_at": 1_700_000_000, "completed_at": 1_700_000_017_000}, None),
        ({"created_at": 10**400, "completed_at": 10**400}, None),
        ({"created_at": -1e308, "completed_at": 1e308}, None),
        ({"created_at": 100, "completed_at": None}, None),
        ({"created_at": "100", "completed_at": 101}, None),
        ({"created_at": False, "completed_at": True}, None),
        ({}, None),
    ],
    ids=str,
)
async def test_which_times_of_a_response_are_believed(slow, times, latency):
    attempt = await slow.responses.create(slow.call())
    response = read_response_object({"id": attempt.response_id, "status": "completed", **times})
    verb = settle_as_read(attempt, response, b"{}", polls=1, at=slow.clock.now())
    assert (await slow.ledger.do(verb)).attempt.latency == latency
