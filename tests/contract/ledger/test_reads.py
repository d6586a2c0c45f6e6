from __future__ import annotations

import asyncio

import pytest

from prefect_responses.errors import AttemptUnknown
from prefect_responses.ledger import Deliver, Plan, PlanNext
from prefect_responses.ledger.reads import PAGE
from prefect_responses.statuses import AttemptState, Outcome


async def all_of(attempts):
    return [attempt async for attempt in attempts]


async def test_an_unknown_attempt_is_an_error(ledger):
    with pytest.raises(AttemptUnknown, match="no attempt nothing"):
        await ledger.attempt("nothing")


async def test_the_latest_of_nothing_is_none(ledger):
    assert await ledger.latest("s", "n", 0) is None


async def test_the_history_of_an_ordinal_is_by_number(ledger, stage, draft):
    first = await stage.settled(Outcome.FAILED)
    second = (await ledger.do(PlanNext(first.id, draft(), at=6.0))).attempt
    await ledger.do(Plan(draft(ordinal=1), at=7.0))

    assert await ledger.history("s", "n", 0) == [first, second]
    assert await ledger.latest("s", "n", 0) == second


async def test_what_stands_is_read_for_many_names_at_once(ledger, stage, draft):
    names = [f"row-{i}" for i in range(PAGE + 1)]
    await ledger.do_all(Plan(draft(name), at=1.0) for name in names)
    first = await stage.settled(Outcome.FAILED)
    second = (await ledger.do(PlanNext(first.id, draft(), at=6.0))).attempt
    await ledger.do(Plan(draft(ordinal=1), at=7.0))

    standing = await ledger.standing("s", [*names, "n", "never planned"])

    assert set(standing) == {*names, "n"}
    assert standing["n"] == second


async def test_attempts_come_in_the_order_in_which_they_were_planned(ledger, draft):
    planned = await ledger.do_all(Plan(draft(f"n{i}"), at=float(i % 3)) for i in range(7))

    listed = await all_of(ledger.attempts())

    wanted = sorted((v.attempt for v in planned), key=lambda a: (a.planned_at, a.id))
    assert listed == wanted
    assert await all_of(ledger.attempts(limit=3)) == wanted[:3]
    assert await all_of(ledger.attempts(after=wanted[2])) == wanted[3:]
    assert await all_of(ledger.attempts(limit=2, after=wanted[2])) == wanted[3:5]
    assert await all_of(ledger.attempts(limit=0)) == []


async def test_more_than_a_page_is_listed(ledger, draft):
    await ledger.do_all(Plan(draft(f"n{i}"), at=1.0) for i in range(2 * PAGE))

    listed = await all_of(ledger.attempts("s"))

    assert len({attempt.id for attempt in listed}) == 2 * PAGE
    assert len(await all_of(ledger.attempts("s", limit=PAGE + 1))) == PAGE + 1


async def test_attempts_are_narrowed(ledger, stage):
    settled = await stage.settled()
    submitted = await stage.accepted("m")
    elsewhere = await stage.planned("n", scope="t", flow_run_id="flow-run")
    everything = [settled, submitted, elsewhere]

    async def found(*args, **kwargs):
        listed = await all_of(ledger.attempts(*args, **kwargs))
        return [attempt for attempt in everything if attempt in listed]

    assert await found() == everything
    assert await found("s") == [settled, submitted]
    assert await found(states={AttemptState.SETTLED}) == [settled]
    assert await found(states=set(AttemptState) - {AttemptState.SETTLED}) == [submitted, elsewhere]
    assert await found("s", states=[AttemptState.PLANNED]) == []
    assert await found(flow_run_id="flow-run") == [elsewhere]


async def test_bodies_of_attempts_that_do_not_exist_are_not_there(ledger, stage):
    planned = await stage.planned("n", request=b"")

    bodies = await ledger.bodies([planned.id, "nothing"])

    assert set(bodies) == {planned.id}
    assert (bodies[planned.id].request, bodies[planned.id].response) == (None, None)
    assert await ledger.bodies([]) == {}


async def test_bodies_of_many_attempts(ledger, draft):
    planned = await ledger.do_all(Plan(draft(f"n{i}"), at=1.0) for i in range(PAGE + 1))

    assert len(await ledger.bodies([verdict.attempt.id for verdict in planned])) == PAGE + 1


async def test_readers_do_not_wait_for_the_writer(ledger, other, stage):
    settled = await stage.settled()

    async with asyncio.TaskGroup() as tasks:
        delivered = tasks.create_task(ledger.do(Deliver(settled.id, at=9.0)))
        tasks.create_task(other.attempt(settled.id))
    assert await other.attempt(settled.id) == delivered.result().attempt
