"""One writer: grouped commits, answers after the commit, and each failure its own caller's."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import event

from prefect_responses.clock import SystemClock
from prefect_responses.errors import AttemptUnknown, LedgerInconsistent, LedgerUnavailable
from prefect_responses.ledger import Deliver, Ledger, Plan, Settle, statements
from prefect_responses.ledger import writer as writing
from prefect_responses.ledger.rows import values_of
from prefect_responses.statuses import Outcome


@pytest.fixture
def commits(ledger):
    """The commits of the writer's connections so far."""
    counted = []
    event.listen(ledger._writes.sync_engine, "commit", counted.append)
    return counted


async def test_what_is_asked_together_is_committed_together(ledger, draft, commits):
    await asyncio.gather(*(ledger.do(Plan(draft(f"n{i}"), at=1.0)) for i in range(50)))

    assert len(commits) == 1


async def test_a_group_has_a_limit(ledger, draft, commits):
    await ledger.do_all(Plan(draft(f"n{i}"), at=1.0) for i in range(writing.GROUP_SIZE + 1))

    assert len(commits) == 2


async def test_a_lingering_writer_waits_for_company(ledger, draft, commits):
    ledger.linger = 60.0  # it waits no longer than LONGEST_LINGER
    first = asyncio.create_task(ledger.do(Plan(draft("n"), at=1.0)))
    await asyncio.sleep(writing.LINGER_STEP / 4)
    second = asyncio.create_task(ledger.do(Plan(draft("m"), at=1.0)))

    await asyncio.gather(first, second)

    assert ledger.linger == 60.0
    assert len(commits) == 1


async def test_a_shard_lingers_while_it_is_driven(ledger):
    with ledger.lingering(0.01):
        with ledger.lingering(0.02):
            assert ledger.linger == 0.02
        assert ledger.linger == 0.02
    assert ledger.linger == 0.0


async def test_a_caller_is_answered_after_its_commit(ledger, other, stage):
    settled = await stage.settled()

    verdict = await ledger.do(Deliver(settled.id, at=9.0))

    assert await other.attempt(settled.id) == verdict.attempt


async def test_a_cancelled_caller_does_not_take_its_verb_with_it(ledger, stage):
    settled = await stage.settled()
    caller = asyncio.create_task(ledger.do(Deliver(settled.id, at=9.0)))
    await asyncio.sleep(0)

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await ledger.do(Deliver(settled.id, at=10.0))

    assert (await ledger.attempt(settled.id)).delivered_at == 9.0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"name": "\ud800"}, id="no text in UTF-8"),
        pytest.param({"ordinal": 2**70}, id="too large a number"),
        pytest.param({"ordinal": -1}, id="refused by a check"),
        pytest.param({"deadline_at": object()}, id="of no type that is stored"),
    ],
)
async def test_one_verb_that_cannot_be_stored_fails_alone(ledger, draft, value):
    verbs = [
        Plan(draft("n"), at=1.0),
        Plan(draft(**({"name": "bad"} | value)), at=1.0),
        Plan(draft("m"), at=1.0),
    ]
    callers = [ledger._writer.ask(verb) for verb in verbs]

    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(answers[1], LedgerInconsistent)
    assert answers[0].moved
    assert answers[2].moved
    assert {attempt.name async for attempt in ledger.attempts()} == {"n", "m"}


async def test_a_mistake_of_a_caller_is_its_own(ledger, draft):
    callers = [ledger._writer.ask(verb) for verb in (Plan(None, at=1.0), Plan(draft(), at=1.0))]

    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(answers[0], AttributeError)
    assert answers[1].moved


async def test_a_race_that_another_process_won_is_run_again(url, ledger, other, draft):
    if url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    planned = (await other.do(Plan(draft("m"), at=1.0))).attempt
    theirs = values_of(replace(planned, id="theirs", name="n"))
    async with other._writes.begin() as connection:
        await connection.execute(statements.add_attempts(), [theirs])
        verbs = [Plan(draft("n"), at=2.0), Plan(draft("o"), at=2.0)]
        ours = [asyncio.ensure_future(ledger.do(verb)) for verb in verbs]
        await asyncio.sleep(0.1)  # until it waits for their row
        assert not any(caller.done() for caller in ours)

    first, second = [await caller for caller in ours]

    assert (first.attempt.id, first.moved) == ("theirs", False)
    assert second.moved


async def test_the_first_error_of_many_is_raised_when_all_are_done(ledger, stage):
    settled = await stage.settled()
    broken = [Settle("nothing", Outcome.COMPLETED, at=9.0), Settle("none", Outcome.FAILED, at=9.0)]

    with pytest.raises(AttemptUnknown, match="no attempt nothing"):
        await ledger.do_all([*broken, Deliver(settled.id, at=9.0)])

    assert (await ledger.attempt(settled.id)).delivered_at == 9.0


async def test_nothing_is_asked_for_and_nothing_done(ledger, commits):
    assert await ledger.do_all([]) == []
    assert commits == []


async def test_closing_commits_what_is_queued(url, draft):
    ledger = await Ledger.open(url, clock=SystemClock())
    callers = [ledger._writer.ask(Plan(draft(f"n{i}"), at=1.0)) for i in range(3)]

    await ledger.aclose()

    assert all([(await caller).moved for caller in callers])
    with pytest.raises(LedgerUnavailable, match="was closed"):
        await ledger.do(Plan(draft(), at=2.0))


async def test_a_writer_that_is_stopped_from_outside_leaves_no_caller_waiting(url, draft):
    ledger = await Ledger.open(url, clock=SystemClock())
    under_way = ledger._writer.ask(Plan(draft("n"), at=1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queued = ledger._writer.ask(Plan(draft("m"), at=1.0))

    ledger._writer._task.cancel()

    for caller in (under_way, queued):
        with pytest.raises(LedgerUnavailable, match="was stopped"):
            await caller
    with pytest.raises(LedgerUnavailable, match="was closed"):
        await ledger.do(Plan(draft(), at=2.0))
    await ledger.aclose()
