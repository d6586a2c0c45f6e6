"""A row that is asked again in another way is sent as it was planned, whatever happens to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_bench import policy

from prefect_responses.decisions.policies import OnChange
from prefect_responses.identity import canonical_json
from prefect_responses.ledger import PlanNext, Reject
from prefect_responses.statuses import Outcome

REPAIR = {"model": "echo", "input": "Say it as JSON.", "max_output_tokens": 900}


def row(bench, **facts):
    return bench.call("Say hi.", row="r", policy=policy(), on_change=OnChange.RESUBMIT, **facts)


@pytest.fixture
async def replayed(bench):
    """A row whose answer was rejected, and whose next attempt has a request of its own."""
    first = await bench.responses.drive_row(row(bench))
    await bench.ledger.do(Reject(first.attempt.id, "replay:schema", 1.0))
    draft = replace(row(bench, run=(2,)).draft, request=canonical_json(REPAIR))
    verb = PlanNext(first.attempt.id, draft, 2.0, replay="repair")
    return (await bench.ledger.do(verb)).attempt


async def test_it_is_sent_with_the_request_that_was_planned(bench, replayed):
    settled = await bench.responses.drive_row(row(bench, run=(2,)))

    assert (settled.attempt.id, settled.attempt.replay) == (replayed.id, "repair")
    assert settled.attempt.outcome is Outcome.COMPLETED
    sent = bench.posts()[-1]["body"]
    assert {name: sent[name] for name in REPAIR} == REPAIR


async def test_in_doubt_it_is_sent_again_as_it_was(bench, replayed):
    bench.control.add_fault("drop_before", match={"method": "POST"})
    settled = await bench.responses.drive_row(row(bench, run=(2,)))

    assert settled.attempt.id != replayed.id
    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.attempt.replay == "repair"
    assert [post["body"]["input"] for post in bench.posts()[1:]] == ["Say it as JSON."] * 2
