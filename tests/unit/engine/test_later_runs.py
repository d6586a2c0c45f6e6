"""What a later run of a job asked for is its own: an earlier one that wakes leaves it alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_bench import policy

from prefect_responses.attempt import Endpoint
from prefect_responses.decisions.policies import OnChange
from prefect_responses.errors import RequestInvalid
from prefect_responses.job_errors import JobTakenOver
from prefect_responses.statuses import AttemptState

EARLIER, LATER = (1000, 1), (2000, 2)


def row(bench, text, run, on_change=OnChange.RESUBMIT, **draft):
    call = bench.call(text, row="r", run=run, on_change=on_change, policy=policy())
    scope = {"scope": "job:facts"}
    return replace(
        call,
        draft=replace(call.draft, **scope | draft),
        origin=replace(call.origin, **scope),
    )


async def test_an_earlier_run_takes_nothing_back(bench):
    later = await bench.responses.create(row(bench, "Ask B.", LATER))

    with pytest.raises(JobTakenOver):
        await bench.responses.drive_row(row(bench, "Ask A.", EARLIER))

    assert bench.cancels() == []
    assert [one.id for one in await bench.attempts()] == [later.id]


async def test_a_later_run_supersedes_what_an_earlier_one_asked(bench):
    bench.control.set_latency("constant:3600")
    first = await bench.responses.create(row(bench, "Ask A.", EARLIER))
    bench.control.set_latency("instant")
    settled = await bench.responses.drive_row(row(bench, "Ask B.", LATER))

    assert settled.attempt.run == LATER
    assert [first.response_id in path for path in bench.cancels()] == [True]


@pytest.mark.parametrize("on_change", [OnChange.ADOPT, OnChange.RESUBMIT])
async def test_a_response_is_not_looked_for_at_another_endpoint(bench, on_change):
    elsewhere = row(bench, "Ask A.", EARLIER, endpoint=Endpoint("https://elsewhere.example/v1"))
    bench.control.set_latency("constant:3600")
    first = await bench.responses.create(elsewhere)
    asked = bench.control.journal()

    with pytest.raises(RequestInvalid, match="another endpoint, https://elsewhere"):
        await bench.responses.drive_row(row(bench, "Ask B.", LATER, on_change))

    assert bench.control.journal() == asked
    assert (await bench.ledger.attempt(first.id)).state is AttemptState.SUBMITTED
