"""A POST that is answered after others had given it up: its sender takes the answer that stands."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from engine_bench import policy

from prefect_responses.decisions.policies import OnChange
from prefect_responses.ledger import MarkInDoubt, PlanNext, Settle
from prefect_responses.statuses import AttemptState, Outcome


def row(bench, text="Say hi."):
    return bench.call(text, row="r", policy=policy(), on_change=OnChange.RESUBMIT)


@pytest.fixture
async def given_up(bench):
    """A row whose POST is on its way, and an attempt that another process doubts meanwhile."""
    bench.control.add_fault("delay", seconds=0.6, match={"method": "POST"})
    sending = asyncio.create_task(bench.responses.drive_row(row(bench)))
    other = await bench.again()
    while True:
        attempts = await other.attempts()
        if attempts and attempts[0].state is AttemptState.SUBMITTING:
            break
        await asyncio.sleep(0.01)
    [attempt] = attempts
    doubt = MarkInDoubt(attempt.id, attempt.owner_id, attempt.fence, {"error": "OwnerDied"}, 1.0)
    doubted = (await other.ledger.do(doubt)).attempt
    yield other, doubted, sending
    await sending


async def test_it_is_surplus_beside_the_one_that_was_accepted_meanwhile(bench, given_up):
    other, doubted, sending = given_up
    theirs = await other.responses.drive_row(row(bench))
    ours = await sending

    assert ours.attempt.id == theirs.attempt.id != doubted.id
    assert ours.attempt.outcome is Outcome.COMPLETED
    surplus = await bench.ledger.attempt(doubted.id)
    assert (surplus.outcome, surplus.cancel_answer is None) == (Outcome.SURPLUS, False)


async def test_it_gives_way_to_a_changed_request_that_was_planned_meanwhile(bench, given_up):
    other, doubted, sending = given_up
    await other.ledger.do(Settle(doubted.id, Outcome.ABANDONED, 2.0, error={"error": "Superseded"}))
    changed = replace(row(bench, "Changed.").draft, request=b'{"model":"echo","input":"Changed."}')
    planned = (await other.ledger.do(PlanNext(doubted.id, changed, 3.0, superseding=True))).attempt
    ours = await sending

    assert ours.attempt.id == planned.id
    assert bench.posts()[-1]["body"]["input"] == "Changed."
