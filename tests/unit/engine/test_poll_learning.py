"""Polls that are spaced by what the ledger knows of this endpoint and model."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace

import pytest
from engine_bench import EmulatorsClock, policy
from sqlalchemy import event

from prefect_responses.attempt import Endpoint
from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.engine.observers import Silent
from prefect_responses.engine.poll_learning import READ_EVERY, PollLearning
from prefect_responses.engine.polling import Polling
from prefect_responses.ledger import Attach, Settle
from prefect_responses.statuses import AttemptState, Outcome


@pytest.fixture
async def slow(bench):
    """An engine and an emulator that share one virtual clock."""
    bench.control.set_latency("constant:200")
    return await bench.again(clock=EmulatorsClock(bench.control))


async def settled_before(bench, latencies, *, model="echo", endpoint=None):
    """Write down responses that took so long."""
    endpoint, now = endpoint or bench.endpoint, bench.clock.now()
    calls = [bench.call(key=f"{model} {number}") for number in range(len(latencies))]
    drafts = [replace(call.draft, model=model, endpoint=endpoint) for call in calls]
    attached = await bench.ledger.do_all(
        Attach(draft, f"resp_{draft.name}", None, now) for draft in drafts
    )
    settled = await bench.ledger.do_all(
        Settle(verdict.attempt.id, Outcome.COMPLETED, now + number, latency=latency)
        for number, (verdict, latency) in enumerate(zip(attached, latencies, strict=True))
    )
    return [verdict.attempt for verdict in settled]


def asked_for_echo(bench, **fields):
    """Return a call whose draft names its model, as those of the tasks do."""
    call = bench.call("How long?", **fields)
    return replace(call, draft=replace(call.draft, model="echo"))


@pytest.fixture
def learning_reads(slow):
    """The readings of latencies, as they reach the database."""
    reads = []

    def note(_connection, _cursor, statement, *_):
        if "latency IS NOT NULL" in statement:
            reads.append(statement)

    event.listen(slow.ledger._reads.sync_engine, "before_cursor_execute", note)
    return reads


async def polls_of(slow, **fields):
    settled = await slow.responses.respond(asked_for_echo(slow, **fields))
    assert settled.attempt.outcome is Outcome.COMPLETED
    return settled.attempt.polls


async def test_what_earlier_processes_saw_saves_polls(slow):
    assert await polls_of(slow) > 30
    await settled_before(slow, [150.0, 200.0, 250.0] * 10)
    successor = await slow.again()
    assert await polls_of(successor, key="another") <= 8


async def test_another_model_or_server_teaches_nothing(slow):
    await settled_before(slow, [200.0] * 20, model="other")
    await settled_before(slow, [200.0] * 20, endpoint=Endpoint("https://api.example.com/v1"))
    assert await polls_of(slow) > 30


async def test_who_will_not_learn_keeps_the_first_rule(slow, learning_reads):
    await settled_before(slow, [200.0] * 20)
    call = replace(asked_for_echo(slow), policy=replace(policy(), poll=PollPolicy(learns=False)))
    assert (await slow.responses.respond(call)).attempt.polls > 30
    assert learning_reads == []


async def test_the_ledger_is_not_asked_at_each_poll(slow, learning_reads):
    slow.control.set_latency("constant:50")
    assert await polls_of(slow) > 10
    assert len(learning_reads) == 1


async def test_the_ledger_is_asked_again_after_a_minute(slow, learning_reads):
    (attempt,) = await settled_before(slow, [200.0])
    learning = PollLearning(slow.ledger, slow.clock)
    assert await learning.schedule(attempt) is None

    await settled_before(slow, [200.0] * 20)
    assert await learning.schedule(attempt) is None
    await slow.clock.sleep(READ_EVERY)
    assert await learning.schedule(attempt) is not None
    assert len(learning_reads) == 2


async def test_own_ends_teach_without_the_ledger(slow, learning_reads):
    attempts = await settled_before(slow, [200.0] * 9)
    learning = PollLearning(slow.ledger, slow.clock)
    for attempt in attempts[:7]:
        learning.observe(attempt)
    learning.observe(replace(attempts[7], latency=None))
    learning.observe(replace(attempts[7], outcome=Outcome.CANCELLED))
    assert learning._experience(attempts[0]).schedule is None

    learning.observe(attempts[8])
    assert learning._experience(attempts[0]).schedule is not None
    assert learning_reads == []


async def test_what_a_process_saw_end_teaches_it_at_once(slow, learning_reads):
    slow.control.set_latency("constant:1")
    polling = Polling(slow.ledger, slow.api, slow.clock, Silent())
    for number in range(8):
        attempt = await slow.responses.create(asked_for_echo(slow, key=str(number)))
        await polling.wait(attempt, PollPolicy(), is_new=True)

    assert polling._learning._experience(attempt).schedule is not None
    assert len(learning_reads) == 1


async def test_a_ledger_that_cannot_be_read_teaches_nothing_and_breaks_nothing(slow):
    attempts = await settled_before(slow, [200.0] * 20)
    learning = PollLearning(slow.ledger, slow.clock)
    learned = await learning.schedule(attempts[0])
    await slow.clock.sleep(READ_EVERY)
    with sqlite3.connect(slow.url.removeprefix("sqlite:///")) as connection:
        connection.execute("ALTER TABLE attempts RENAME COLUMN latency TO lost")
    connection.close()

    assert learned is not None
    assert await learning.schedule(attempts[0]) is learned


@pytest.mark.parametrize("impossible", [1e308, math.inf], ids=str)
async def test_latencies_that_cannot_be_break_nothing(slow, impossible):
    attempts = await settled_before(slow, [impossible] * 20)
    learning = PollLearning(slow.ledger, slow.clock)

    assert await learning.schedule(attempts[0]) is None
    for attempt in attempts:
        learning.observe(attempt)
    assert await learning.schedule(attempts[0]) is None


async def test_a_clock_that_was_set_back_asks_again(slow, learning_reads):
    attempts = await settled_before(slow, [200.0] * 20)
    learning = PollLearning(slow.ledger, slow.clock)
    await learning.schedule(attempts[0])
    slow.clock._now -= 3600.0
    await learning.schedule(attempts[0])
    assert len(learning_reads) == 2
    assert attempts[0].state is AttemptState.SETTLED
