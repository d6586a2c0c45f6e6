from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event

from prefect_responses.attempt import Link
from prefect_responses.errors import AttemptUnknown
from prefect_responses.ledger import (
    Deliver,
    DropClaim,
    Plan,
    PlanNext,
    Reject,
    Take,
    WantCancel,
)
from prefect_responses.statuses import AttemptState, CancelReason, Outcome

FIRST = (Link("flow", 1), Link("task-a", 1))
SECOND = (Link("flow", 1), Link("task-b", 1))


async def test_a_new_call_gets_a_planned_attempt_that_says_all_that_the_draft_said(ledger, draft):
    request = draft(
        run=(1, 2),
        flow_run_id="flow-run",
        task_run_id="task-run",
        deadline_at=99.5,
        not_before=9.5,
        resubmissions=1,
        model="m",
    )

    verdict = await ledger.do(Take(request, "execution", FIRST, "claim-1", at=1.5))

    attempt = verdict.attempt
    assert verdict.moved
    assert (attempt.scope, attempt.name, attempt.ordinal, attempt.number) == ("s", "n", 0, 1)
    assert (attempt.state, attempt.outcome, attempt.planned_at) == (AttemptState.PLANNED, None, 1.5)
    for fact in (
        "digest",
        "endpoint",
        "credentials",
        "run",
        "flow_run_id",
        "task_run_id",
        "deadline_at",
        "not_before",
        "resubmissions",
        "model",
    ):
        assert getattr(attempt, fact) == getattr(request, fact)
    assert await ledger.attempt(attempt.id) == attempt
    bodies = await ledger.bodies([attempt.id])
    assert (bodies[attempt.id].request, bodies[attempt.id].response) == (request.request, None)


async def test_identical_calls_of_one_execution_are_told_apart(ledger, draft):
    first, second = await ledger.do_all(
        [
            Take(draft(), "execution", FIRST, "claim-1", at=1.0),
            Take(draft(), "execution", SECOND, "claim-2", at=1.0),
        ]
    )

    assert (first.attempt.ordinal, second.attempt.ordinal) == (0, 1)


async def test_another_execution_converges_on_the_same_ordinals(ledger, other, draft):
    ours = [
        (await ledger.do(Take(draft(), "before", FIRST, f"claim-{i}", at=1.0))).attempt
        for i in range(3)
    ]

    theirs = [await other.do(Take(draft(), "after", FIRST, f"again-{i}", at=2.0)) for i in range(3)]

    assert [verdict.attempt for verdict in theirs] == ours
    assert [verdict.moved for verdict in theirs] == [False] * 3


async def test_undelivered_comes_before_delivered(ledger, draft):
    for i in range(3):
        await ledger.do(Take(draft(), "before", FIRST, f"claim-{i}", at=1.0))
    zeroth = await ledger.latest("s", "n", 0)
    await ledger.do(Deliver(zeroth.id, at=2.0))

    taken = [await ledger.do(Take(draft(), "after", FIRST, f"again-{i}", at=3.0)) for i in range(4)]

    assert [verdict.attempt.ordinal for verdict in taken] == [1, 2, 0, 3]


async def test_a_dropped_claim_gives_its_ordinal_back_once(ledger, draft):
    taken = await ledger.do(Take(draft(), "execution", FIRST, "claim-1", at=1.0))

    dropped = await ledger.do(DropClaim("claim-1", at=2.0))
    again = await ledger.do(DropClaim("claim-1", at=3.0))
    retaken = await ledger.do(Take(draft(), "execution", FIRST, "claim-2", at=4.0))

    assert (dropped.moved, again.moved) == (True, False)
    assert dropped.attempt == again.attempt == retaken.attempt == taken.attempt


async def test_a_claim_and_its_drop_in_one_group(ledger, draft):
    verdicts = await ledger.do_all(
        [
            Take(draft(), "execution", FIRST, "claim-1", at=1.0),
            DropClaim("claim-1", at=2.0),
            Take(draft(), "execution", FIRST, "claim-2", at=3.0),
        ]
    )

    assert [verdict.attempt.ordinal for verdict in verdicts] == [0, 0, 0]


async def test_a_claim_nobody_made_cannot_be_dropped(ledger):
    with pytest.raises(AttemptUnknown, match="claim nobody's"):
        await ledger.do(DropClaim("nobody's", at=1.0))


async def test_a_later_attempt_of_an_enclosing_run_frees_the_ordinals_of_the_earlier(ledger, draft):
    await ledger.do(Take(draft(), "execution", FIRST, "claim-1", at=1.0))
    await ledger.do(Take(draft(), "execution", SECOND, "claim-2", at=1.0))
    retried = (Link("flow", 1), Link("task-a", 2))

    again = await ledger.do(Take(draft(), "execution", retried, "claim-3", at=2.0))

    assert (again.attempt.ordinal, again.moved) == (0, False)


async def test_a_take_that_is_given_again_finds_what_it_took(ledger, draft):
    take = Take(draft(), "execution", FIRST, "claim-1", at=1.0)
    taken = await ledger.do(take)

    again = await ledger.do(take)

    assert (again.attempt, again.moved) == (taken.attempt, False)


async def test_a_fixed_ordinal_is_taken_whoever_holds_it(ledger, draft):
    taken = [
        await ledger.do(Take(draft(ordinal=7), "execution", FIRST, f"claim-{i}", at=1.0))
        for i in range(2)
    ]

    assert [verdict.moved for verdict in taken] == [True, False]
    assert {verdict.attempt.ordinal for verdict in taken} == {7}
    assert taken[0].attempt == taken[1].attempt


async def test_what_is_taken_is_the_attempt_that_speaks(ledger, stage, draft):
    settled = await stage.settled()
    await ledger.do(Reject(settled.id, "not good", at=6.0))
    second = (await ledger.do(PlanNext(settled.id, draft(), at=7.0))).attempt

    taken = await ledger.do(Take(draft(), "execution", FIRST, "claim-1", at=8.0))

    assert (taken.attempt, taken.moved) == (second, False)


async def test_claims_of_one_name_do_not_hold_ordinals_of_another(ledger, stage, draft):
    for name in ("n", "m"):
        await stage.planned(name)

    taken = await ledger.do_all(
        Take(draft(name), "execution", FIRST, f"claim-{name}", at=2.0) for name in ("n", "m")
    )

    assert [verdict.attempt.ordinal for verdict in taken] == [0, 0]


async def test_scopes_and_names_do_not_meet(ledger, draft):
    taken = await ledger.do_all(
        [
            Take(draft("n"), "execution", FIRST, "claim-1", at=1.0),
            Take(draft("m"), "execution", FIRST, "claim-2", at=1.0),
            Take(draft("n", scope="t"), "execution", FIRST, "claim-3", at=1.0),
        ]
    )

    assert [verdict.attempt.ordinal for verdict in taken] == [0, 0, 0]
    assert len({verdict.attempt.id for verdict in taken}) == 3


def again(verb, request):
    if verb is Plan:
        return Plan(request, at=9.0)
    return Take(request, "after", FIRST, f"again-{request.name}", at=9.0)


@pytest.mark.parametrize("verb", [Take, Plan])
async def test_who_wants_an_unsettled_attempt_last_has_it(ledger, stage, draft, verb):
    mine = {"flow_run_id": "run-1", "task_run_id": "task-1", "deadline_at": 50.0}
    theirs = {"flow_run_id": "run-2", "task_run_id": "task-2", "deadline_at": 40.0}
    for before in ("planned", "claimed", "accepted", "doubted"):
        attempt = await stage.planned(before, **mine)
        if before != "planned":
            attempt = await getattr(stage, before)(attempt)

        verdict = await ledger.do(again(verb, draft(before, **theirs)))

        assert (verdict.attempt, verdict.moved) == (replace(attempt, **theirs), False)
        assert verdict.attempt == await ledger.attempt(attempt.id)


async def test_what_a_draft_does_not_say_stays(ledger, stage, draft):
    await stage.planned("n", flow_run_id="run-1", task_run_id="task-1")

    for facts, wanted in [
        ({}, ("run-1", "task-1", None)),
        ({"deadline_at": 50.0}, ("run-1", "task-1", 50.0)),
        ({"deadline_at": 60.0}, ("run-1", "task-1", 50.0)),
        ({"flow_run_id": "run-2"}, ("run-2", None, 50.0)),
        ({"task_run_id": "task-2"}, (None, "task-2", 50.0)),
        ({"deadline_at": 40.0}, (None, "task-2", 40.0)),
    ]:
        found = (await ledger.do(Plan(draft("n", **facts), at=9.0))).attempt
        assert (found.flow_run_id, found.task_run_id, found.deadline_at) == wanted


@pytest.mark.parametrize("verb", [Take, Plan])
async def test_nothing_is_written_where_nothing_differs(ledger, stage, draft, verb):
    planned = await stage.planned("n", flow_run_id="run-1", deadline_at=50.0)
    statements = []
    event.listen(
        ledger._writes.sync_engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )

    same = draft("n", flow_run_id="run-1", deadline_at=50.0)
    verdicts = await ledger.do_all([again(verb, same), again(verb, draft("n"))])

    assert [verdict.attempt for verdict in verdicts] == [planned, planned]
    assert [s for s in statements if s.startswith("UPDATE attempts")] == []


@pytest.mark.parametrize("case", ["settled", "another request", "given again"])
async def test_what_is_not_wanted_again_is_left_as_it_is(ledger, stage, draft, case):
    take = Take(draft("n", flow_run_id="run-1"), "before", FIRST, "claim-1", at=1.0)
    attempt = (await ledger.do(take)).attempt
    if case == "settled":
        attempt = await stage.settled(attempt=attempt)
    if case == "given again":
        other = replace(take.draft, flow_run_id="run-2")
        attempt = (await ledger.do(again(Take, other))).attempt
        found = await ledger.do(take)
    else:
        digest = "sha256:2" if case == "another request" else take.draft.digest
        request = draft("n", flow_run_id="run-2", deadline_at=1.0, digest=digest)
        found = await ledger.do(again(Take, request))

    assert (found.attempt, found.moved) == (attempt, False)
    assert await ledger.attempt(attempt.id) == attempt


async def test_an_attempt_is_planned_and_wanted_again_in_one_group(ledger, draft):
    drafts = [draft(flow_run_id=f"run-{i}", deadline_at=50.0 - i) for i in range(2)]

    first, second = await ledger.do_all(Plan(one, at=1.0) for one in drafts)

    assert (first.moved, second.moved) == (True, False)
    assert (second.attempt.flow_run_id, second.attempt.deadline_at) == ("run-1", 49.0)
    assert await ledger.attempt(first.attempt.id) == second.attempt


@pytest.mark.parametrize(
    ("reason", "run"), [(CancelReason.DEADLINE, (2,)), (CancelReason.ASKED, (1,))]
)
async def test_what_a_deadline_comes_to_is_the_outcome_of_the_run_that_takes_it(
    ledger, stage, draft, reason, run
):
    attempt = await stage.accepted(await stage.planned("n", run=(1,)))
    await ledger.do(WantCancel(attempt.id, reason, at=6.0))

    taken = await ledger.do(Plan(draft("n", run=(2,), ordinal=0), at=7.0))

    assert taken.attempt.id == attempt.id
    assert taken.attempt.run == run


async def test_what_is_under_way_becomes_the_run_s_that_wants_it_for_a_row(ledger, stage, draft):
    accepted = await stage.accepted(await stage.planned("n", run=(1,)))
    wanted = (await ledger.do(Plan(draft("n", run=(2,)), at=5.0))).attempt
    woken = (await ledger.do(Plan(draft("n", run=(1,)), at=6.0))).attempt

    assert (wanted.id, wanted.run) == (accepted.id, (2,))
    assert woken.run == (2,)  # an earlier run takes nothing back


async def test_what_was_never_sent_becomes_the_run_s_that_sends_it(ledger, stage, draft):
    planned = await stage.planned("n", run=(1,), ordinal=0)
    take = Take(draft("n", run=(2,)), "execution", FIRST, "claim-1", at=5.0)

    taken = (await ledger.do(take)).attempt

    assert (taken.id, taken.run) == (planned.id, (2,))


async def test_what_is_being_cancelled_stays_the_run_s_that_had_it(ledger, stage, draft):
    accepted = await stage.accepted(await stage.planned("n", run=(1,)))
    await ledger.do(WantCancel(accepted.id, CancelReason.ASKED, at=4.0))

    wanted = (await ledger.do(Plan(draft("n", run=(2,)), at=5.0))).attempt

    assert wanted.run == (1,)


async def test_a_request_that_comes_back_finds_its_answer(ledger, stage, draft):
    first = await stage.settled(Outcome.COMPLETED, "n")
    changed = PlanNext(first.id, draft("n", digest="sha256:2"), at=6.0)
    second = await stage.settled(Outcome.COMPLETED, (await ledger.do(changed)).attempt)

    back = await ledger.do(PlanNext(second.id, draft("n"), at=7.0))

    assert back.attempt.id == first.id
    standing = (await ledger.row_standings("s", ["n"]))["n"]
    assert (standing.attempt_id, standing.answered) == (first.id, ("sha256:2",))
    history = await ledger.history("s", "n", 0)
    assert [one.outcome for one in history] == [*[Outcome.COMPLETED] * 2, Outcome.ABANDONED]
    assert await ledger.names_ended("s", {Outcome.ABANDONED}) == []
