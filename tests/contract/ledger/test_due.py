"""What a harvest asks for: what is due, whose it is, and how long responses take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prefect_responses.attempt import Endpoint
from prefect_responses.ledger import Claim, DropClaim, Plan, RecordAccepted, Settle, Take
from prefect_responses.ledger.reads import PAGE
from prefect_responses.statuses import Outcome

BASE_URL = "https://api.example.com/v1"


async def all_of(attempts):
    return [attempt async for attempt in attempts]


async def submitted(ledger, draft, expiries):
    planned = await ledger.do_all(Plan(draft(f"n{i}"), at=1.0) for i, _ in enumerate(expiries))
    ids = [verdict.attempt.id for verdict in planned]
    await ledger.do_all(Claim(id_, f"request-{id_}", at=2.0) for id_ in ids)
    accepted = await ledger.do_all(
        RecordAccepted(id_, f"resp_{id_}", None, None, expires_at, at=3.0)
        for id_, expires_at in zip(ids, expiries, strict=True)
    )
    return [verdict.attempt for verdict in accepted]


async def test_the_soonest_to_expire_is_due_first_and_the_unknown_last(ledger, stage, draft):
    expiries = [600.0, None, 100.0, 300.0, None, 100.0]
    attempts = await submitted(ledger, draft, expiries)
    await stage.settled(Outcome.COMPLETED, "settled")
    await stage.doubted("doubted")

    due = await all_of(ledger.due())

    in_order = sorted(attempts, key=lambda a: (a.expires_at is None, a.expires_at or 0.0, a.id))
    assert due == in_order
    for limit in range(8):
        assert await all_of(ledger.due(limit)) == in_order[:limit]


@pytest.mark.parametrize("expiries", [[9.0] * 2 * PAGE, [None] * (PAGE + 1)])
async def test_more_than_a_page_is_due(ledger, draft, expiries):
    await submitted(ledger, draft, [*expiries, 1.0, None])

    due = await all_of(ledger.due())

    assert len({attempt.id for attempt in due}) == len(due) == len(expiries) + 2
    assert (due[0].expires_at, due[-1].expires_at) == (1.0, None)
    assert len(await all_of(ledger.due(PAGE + 1))) == PAGE + 1


async def test_what_is_settled_while_the_due_ones_are_gone_through_is_not_lost_count_of(
    ledger, draft
):
    attempts = await submitted(ledger, draft, [float(i) for i in range(PAGE + 3)])

    seen = []
    async for attempt in ledger.due():
        seen.append(attempt.id)
        if len(seen) == 1:
            await ledger.do(Settle(attempt.id, Outcome.COMPLETED, at=9.0))
            await ledger.do(Settle(attempts[-1].id, Outcome.COMPLETED, at=9.0))

    assert seen == [attempt.id for attempt in attempts[:-1]]


async def test_the_last_latencies_of_a_model(ledger, stage):
    async def answered(name, latency, at, outcome=Outcome.COMPLETED, **facts):
        planned = await stage.planned(name, **({"model": "m"} | facts))
        accepted = await stage.accepted(planned)
        await ledger.do(Settle(accepted.id, outcome, at=at, latency=latency))

    await answered("first", 1.0, at=10.0)
    await answered("last", 2.0, at=30.0, outcome=Outcome.INCOMPLETE)
    await answered("between", 3.0, at=20.0)
    await answered("unknown", None, at=40.0)
    await answered("failed", 4.0, at=40.0, outcome=Outcome.FAILED)
    await answered("other model", 5.0, at=40.0, model="other")
    await answered("no model", 6.0, at=40.0, model=None)
    await answered("elsewhere", 7.0, at=40.0, endpoint=Endpoint("https://elsewhere"))

    assert await ledger.latencies(BASE_URL, "m") == [2.0, 3.0, 1.0]
    assert await ledger.latencies(BASE_URL, "m", limit=2) == [2.0, 3.0]
    assert await ledger.latencies(BASE_URL, None) == [6.0]
    assert await ledger.latencies("https://elsewhere", "m") == [7.0]
    assert await ledger.latencies("https://nowhere", "m") == []


async def test_the_unsettled_attempts_of_flow_runs_and_scopes(ledger, stage):
    ours = await stage.planned("ours", flow_run_id="run-1")
    both = await stage.accepted(await stage.planned("both", flow_run_id="run-2", scope="t"))
    other = await stage.planned("other", flow_run_id="run-3")
    settled = await stage.planned("settled", flow_run_id="run-1")
    await stage.settled(Outcome.COMPLETED, settled)

    def in_order(*attempts):
        return sorted(attempts, key=lambda attempt: (attempt.planned_at, attempt.id))

    assert await ledger.of_flow_runs(["run-1"], []) == [ours]
    assert await ledger.of_flow_runs([], ["t"]) == [both]
    assert await ledger.of_flow_runs({"run-1", "run-2"}, {"t"}) == in_order(ours, both)
    assert await ledger.of_flow_runs([], ["s"]) == in_order(ours, other)
    assert await ledger.of_flow_runs([], []) == []
    many = [f"run-{i}" for i in range(2 * PAGE)]
    assert await ledger.of_flow_runs(many, many) == in_order(ours, both, other)


async def test_the_runs_that_have_something_unsettled(ledger, stage):
    await stage.planned("a", flow_run_id="run-1")
    await stage.planned("b", flow_run_id="run-1")
    await stage.planned("c", scope="t", flow_run_id="run-1")
    await stage.planned("d")
    settled = await stage.planned("e", flow_run_id="run-2")
    await stage.settled(Outcome.COMPLETED, settled)

    runs = await ledger.unsettled_runs()

    assert len(runs) == 3
    assert set(runs) == {("s", "run-1"), ("t", "run-1"), ("s", None)}


async def test_what_no_call_of_an_execution_took(ledger, stage, draft):
    async def taken(name, execution, **facts):
        take = Take(draft(name, **facts), execution, (), f"claim-{name}-{execution}", at=1.0)
        return (await ledger.do(take)).attempt

    left = await taken("left", "before:1")
    await taken("found", "before:1")
    await taken("found", "after:1")
    await taken("dropped", "after:2")
    await ledger.do(DropClaim("claim-dropped-after:2", at=2.0))
    never = await stage.planned("never")
    second = await taken("found", "before:2", ordinal=1)
    await stage.settled(Outcome.COMPLETED, await stage.planned("settled"))
    await stage.planned("elsewhere", scope="t")

    def named(attempts):
        return {attempt.id for attempt in attempts}

    assert named(await ledger.unclaimed("s", "after:")) == named([left, never, second])
    assert named(await ledger.unclaimed("s", "before:")) == named(
        [never, await ledger.latest("s", "dropped", 0)]
    )
    # A prefix is taken by its letters: nothing in it stands for others, and case counts.
    for prefix in ("AFTER", "%", "_"):
        assert len(await ledger.unclaimed("s", prefix)) == 5
    assert await ledger.unclaimed("s", "") == [never]


async def test_a_claim_counts_in_its_own_scope_and_name_only(ledger, stage, draft):
    planned = await stage.planned("n")
    for other in (draft("m"), draft("n", scope="t")):
        await ledger.do(Take(other, "now", (), f"claim-{other.scope}-{other.name}", at=2.0))

    assert await ledger.unclaimed("s", "now") == [planned]


async def test_what_is_taken_is_claimed(ledger, stage, draft):
    planned = await stage.planned("n")
    request = replace(draft("n"), flow_run_id="run-1")

    taken = (await ledger.do(Take(request, "now", (), "claim-1", at=2.0))).attempt

    assert (taken.id, taken.flow_run_id) == (planned.id, "run-1")
    assert await ledger.unclaimed("s", "now") == []
