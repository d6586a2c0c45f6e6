"""A POST whose answer tells nothing: never silently repeated, and repeated only by policy."""

from __future__ import annotations

import pytest
from engine_bench import SCOPE, policy

from prefect_responses.decisions.policies import InDoubtMode
from prefect_responses.engine.outcomes import failure_of
from prefect_responses.errors import SubmissionInDoubt
from prefect_responses.ledger import RecordAccepted, ResolveDoubt
from prefect_responses.statuses import AttemptState, Outcome, ResponseStatus

AUTO, FAIL, RESUBMIT = InDoubtMode.AUTO, InDoubtMode.FAIL, InDoubtMode.RESUBMIT

#: Each fault, and whether the server had accepted the request that it struck.
SILENT = {
    "dropped before acceptance": ({"kind": "drop_before"}, False),
    "closed before acceptance": ({"kind": "drop_before", "ending": "eof"}, False),
    "dropped after acceptance": ({"kind": "accept_then_drop"}, True),
    "closed after acceptance": ({"kind": "accept_then_drop", "ending": "eof"}, True),
}
ANSWERED = {
    "500 enveloped": ({"kind": "status", "status": 500}, False),
    "500 bare": ({"kind": "accept_then_status", "status": 500, "body": "bare"}, True),
    "502 page": ({"kind": "accept_then_status", "status": 502, "body": "html"}, True),
    "503 page": ({"kind": "accept_then_status", "status": 503, "body": "html"}, True),
    "504 text": ({"kind": "accept_then_status", "status": 504, "body": "plain"}, True),
    "408": ({"kind": "accept_then_status", "status": 408}, True),
    "409 of no lock": ({"kind": "accept_then_status", "status": 409, "code": "conflict"}, True),
    "redirect": ({"kind": "redirect", "location": "https://example.com/"}, False),
    "2xx of text": ({"kind": "unreadable", "body": "text"}, True),
    "2xx of nothing": ({"kind": "unreadable", "body": "empty"}, True),
    "2xx of a list": ({"kind": "unreadable", "body": "array"}, True),
}
FAULTS = SILENT | ANSWERED
each_fault = pytest.mark.parametrize(("fault", "accepted"), list(FAULTS.values()), ids=list(FAULTS))


@each_fault
async def test_resubmitting_pays_at_most_once_more_and_says_so(bench, fault, accepted):
    bench.control.add_fault(**fault)
    settled = await bench.responses.respond(bench.call(policy=policy(RESUBMIT)))

    first, second = await bench.ledger.history(SCOPE, settled.attempt.name, 0)
    assert settled.attempt.id == second.id
    assert second.outcome is Outcome.COMPLETED
    assert (first.outcome, second.resubmissions) == (Outcome.ABANDONED, 1)
    assert (len(bench.posts()), bench.accepted()) == (2, 1 + accepted)
    assert 1.0 in bench.clock.slept


@each_fault
async def test_failing_leaves_it_to_a_person(bench, fault, accepted):
    bench.control.add_fault(**fault)
    with pytest.raises(SubmissionInDoubt, match="resolve") as raised:
        await bench.responses.respond(bench.call(policy=policy(FAIL)))

    attempt = await bench.ledger.attempt(raised.value.attempt_id)
    assert attempt.state is AttemptState.IN_DOUBT
    assert attempt.error["error"] == "AnswerAmbiguous"
    assert (len(bench.posts()), bench.accepted()) == (1, int(accepted))


@pytest.mark.parametrize("run", [(1,), (2,)], ids=["the same run", "a retry of the flow"])
async def test_a_doubt_is_never_silently_repeated(bench, run):
    bench.control.add_fault("accept_then_drop")
    for execution in ("e1", "e2", "e3"):
        again = await bench.again()
        with pytest.raises(SubmissionInDoubt):
            await again.responses.respond(
                bench.call(execution=execution, run=run, policy=policy(FAIL))
            )
    assert len(bench.posts()) == 1


TOOLS = {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://mcp.example.com"}]}


@pytest.mark.parametrize(
    ("fault", "repeats"),
    [(fault, False) for fault, _ in SILENT.values()] + [({"kind": "status", "status": 500}, True)],
)
async def test_tools_that_act_outside_are_repeated_only_after_an_answer(bench, fault, repeats):
    bench.control.add_fault(**fault)
    call = bench.call(policy=policy(AUTO), **TOOLS)
    if repeats:
        await bench.responses.respond(call)
    else:
        with pytest.raises(SubmissionInDoubt):
            await bench.responses.respond(call)
    assert len(bench.posts()) == 1 + repeats


@pytest.mark.parametrize("most", [0, 1, 2])
async def test_resubmissions_are_bounded(bench, most):
    bench.control.add_fault("accept_then_drop", times=None)
    call = bench.call(policy=policy(RESUBMIT, resubmissions=most))
    with pytest.raises(SubmissionInDoubt):
        await bench.responses.respond(call)

    assert len(bench.posts()) == 1 + most
    states = [one.state for one in await bench.ledger.history(SCOPE, call.draft.name, 0)]
    assert states == [AttemptState.SETTLED] * most + [AttemptState.IN_DOUBT]


async def test_an_answer_that_broke_off_after_the_id_is_no_doubt(bench):
    bench.control.add_fault("unreadable", body="truncated")
    settled = await bench.responses.respond(bench.call(policy=policy(FAIL)))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert len(bench.posts()) == 1


# --- how a doubt ends -----------------------------------------------------------------------------


async def doubted(bench):
    bench.control.add_fault("accept_then_drop")
    with pytest.raises(SubmissionInDoubt) as raised:
        await bench.responses.create(bench.call(key="k", policy=policy(FAIL)))
    (lost,) = bench.control.responses()
    return raised.value.attempt_id, lost["id"]


async def test_a_person_found_it(bench):
    attempt_id, response_id = await doubted(bench)
    await bench.ledger.do(ResolveDoubt(attempt_id, response_id, bench.clock.now()))
    settled = await bench.responses.respond(bench.call(key="k", policy=policy(FAIL)))

    assert settled.attempt.response_id == response_id
    assert len(bench.posts()) == 1


async def test_a_person_found_nothing_and_ran_the_flow_again(bench):
    attempt_id, _ = await doubted(bench)
    await bench.ledger.do(ResolveDoubt(attempt_id, None, bench.clock.now()))
    again = bench.call(key="k", run=(2,), execution="e2", policy=policy(FAIL))
    settled = await bench.responses.respond(again)

    assert failure_of(settled.attempt) is None
    assert settled.attempt.number == 2
    assert len(bench.posts()) == 2


async def test_a_late_answer_is_kept(bench):
    attempt_id, response_id = await doubted(bench)
    status, now = ResponseStatus.QUEUED, bench.clock.now()
    late = RecordAccepted(attempt_id, response_id, status, None, None, now)
    await bench.ledger.do(late)
    settled = await bench.responses.respond(bench.call(key="k", policy=policy(FAIL)))

    assert settled.attempt.response_id == response_id
    assert len(bench.posts()) == 1
