"""What flow runs left in flight: owed first, delivered then, in bounded time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from prefect_responses.attempt import Endpoint
from prefect_responses.engine.flow_run_cancelling import cancel_flow_runs
from prefect_responses.errors import CredentialsMissing
from prefect_responses.ledger import Claim, MarkInDoubt, Plan
from prefect_responses.statuses import AttemptState, CancelReason, Outcome

RUN = "1"  # the benches' scope is this flow run's


@pytest.fixture
def slow(bench):
    """Responses that go on for ever."""
    bench.control.set_latency("constant:600")
    bench.control.stop_clock()
    return bench


async def in_flight(bench, count: int, **origin):
    """Submit *count* responses and wait for none."""
    calls = [bench.call(f"Say {number}.") for number in range(count)]
    calls = [replace(call, draft=replace(call.draft, **origin)) for call in calls]
    return [await bench.responses.create(call) for call in calls]


def connecting(bench, asked: list | None = None):
    async def connect(reference, endpoint):
        if asked is not None:
            asked.append((reference, endpoint))
        return bench.responses

    return connect


async def cancel(bench, connect=None, runs=(RUN,), **how):
    return await cancel_flow_runs(
        bench.ledger, list(runs), connect or connecting(bench), bench.clock, **how
    )


async def test_all_of_a_scope_are_cancelled(slow):
    await in_flight(slow, 3)

    report = await cancel(slow)

    assert report.ends == {Outcome.CANCELLED: 3}
    assert (report.found, report.left, report.troubles) == (3, 0, ())
    assert len(slow.cancels()) == 3
    assert {a.cancel_reason for a in await slow.attempts()} == {CancelReason.FLOW_RUN_CANCELLED}
    assert report.as_line() == "3 in flight: 3 cancelled."


async def test_those_of_a_named_scope_are_found_by_their_flow_run(slow):
    [mine] = await in_flight(slow, 1, scope="scope:shared", flow_run_id="run-7")

    assert (await cancel(slow)).found == 0
    report = await cancel(slow, runs=["run-6", "run-7"])

    assert report.ends == {Outcome.CANCELLED: 1}
    assert (await slow.ledger.attempt(mine.id)).outcome is Outcome.CANCELLED


async def test_before_the_first_is_sent_all_are_owed(slow):
    await in_flight(slow, 3)
    owed = []

    async def connect(*_):
        owed.extend(await slow.ledger.owed_cancels())
        raise CredentialsMissing

    report = await cancel(slow, connect)

    assert len(owed) == 3
    assert slow.cancels() == []
    assert report.left == 3
    assert report.as_line() == (
        "3 in flight: 3 left to the harvester (CredentialsMissing: No API key was found: load a "
        "ResponsesCredentials block or set OPENAI_API_KEY.)."
    )


async def test_each_account_is_asked_for_once_and_one_that_fails_holds_up_no_other(slow):
    await in_flight(slow, 2)
    elsewhere = Endpoint("https://elsewhere.example/v1")
    foreign = slow.call("Elsewhere.")
    foreign = replace(foreign, draft=replace(foreign.draft, endpoint=elsewhere, credentials="b"))
    await slow.responses.create(foreign)
    asked = []

    async def connect(reference, endpoint):
        asked.append((reference, endpoint))
        if endpoint == elsewhere:
            raise CredentialsMissing
        return slow.responses

    report = await cancel(slow, connect)

    assert sorted(asked, key=str) == [("b", elsewhere), ("environment", slow.endpoint)]
    assert (report.ends, report.left) == ({Outcome.CANCELLED: 2}, 1)


async def test_what_nobody_expected_says_nothing_secret(slow):
    await in_flight(slow, 2)

    async def connect(*_):
        raise RuntimeError("sk-secret")

    report = await cancel(slow, connect)

    assert (report.left, report.troubles) == (2, ("RuntimeError",))


async def test_an_answer_that_says_nothing_leaves_one_owed_and_holds_up_no_other(slow):
    await in_flight(slow, 3)
    slow.control.add_fault("status", match={"path_regex": "/cancel$"}, status=500, times=1)

    report = await cancel(slow)

    assert report.found == 3
    assert report.left == len(await slow.ledger.owed_cancels()) == 1
    assert report.troubles == (f"{slow.endpoint.base_url} gave no usable answer",)


async def test_time_is_bounded_and_the_rest_stays_owed(slow):
    await in_flight(slow, 2)
    slow.control.add_fault("delay", match={"path_regex": "/cancel$"}, seconds=30, times=None)
    began = time.monotonic()

    report = await cancel(slow, grace=0.3)

    assert time.monotonic() - began < 3
    assert (report.left, report.troubles) == (2, ("not done within 0.3 s",))
    assert len(await slow.ledger.owed_cancels()) == 2


async def test_one_that_completed_before_its_cancel_is_kept(slow):
    await in_flight(slow, 2)
    slow.control.advance(601)

    report = await cancel(slow)

    assert report.ends == {Outcome.COMPLETED: 2}
    assert report.as_line() == "2 in flight: 2 completed and kept."


async def test_what_was_never_sent_is_given_up_and_what_may_have_been_is_left(slow):
    planned, doubted = (slow.call(text).draft for text in ("Planned.", "Doubted."))
    await slow.ledger.do(Plan(planned, slow.clock.now()))
    sent = (await slow.ledger.do(Plan(doubted, slow.clock.now()))).attempt
    owner = slow.ledger.owner_id
    claimed = (await slow.ledger.do(Claim(sent.id, "request-1", slow.clock.now()))).attempt
    await slow.ledger.do(MarkInDoubt(sent.id, owner, claimed.fence, {}, slow.clock.now()))

    asked = []
    report = await cancel(slow, connecting(slow, asked))

    assert slow.cancels() == []
    assert asked == [], "no key is looked for to cancel nothing"
    assert (report.ends, report.left) == ({Outcome.ABANDONED: 1}, 1)
    assert report.as_line() == "2 in flight: 1 never sent, 1 left to the harvester."
    assert {a.state for a in await slow.attempts()} == {
        AttemptState.SETTLED,
        AttemptState.IN_DOUBT,
    }


async def test_again_it_cancels_nothing_twice(slow):
    await in_flight(slow, 2)
    await asyncio.gather(cancel(slow), cancel(slow))
    sent = slow.cancels()

    report = await cancel(slow)

    assert report.as_line() == "None in flight."
    assert slow.cancels() == sent
