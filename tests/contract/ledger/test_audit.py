from __future__ import annotations

from prefect_responses.ledger import Attach, LedgerAudit, Plan, PlanNext, Release, Resubmit
from prefect_responses.ledger.audit import Abandoned, Duplicate
from prefect_responses.statuses import AttemptState, Outcome

NOTHING = LedgerAudit(
    states={},
    outcomes={},
    posts_accepted=0,
    posts_possible=0,
    response_ids=0,
    keys=0,
    in_doubt=(),
    abandoned=(),
    surplus=(),
    duplicates=(),
    unsettled=(),
)


async def test_an_empty_ledger_adds_up_to_nothing(ledger):
    assert await ledger.audit() == NOTHING
    assert await ledger.audit("s") == NOTHING


async def test_a_job_that_went_well_adds_up(ledger, stage):
    for i in range(3):
        await stage.settled(Outcome.COMPLETED, f"n{i}")

    audit = await ledger.audit("s")

    assert audit.posts_accepted == audit.response_ids == audit.keys == 3
    assert audit.posts_possible == 0
    assert audit.states == {AttemptState.SETTLED: 3}
    assert audit.outcomes == {Outcome.COMPLETED: 3}
    assert audit.unsettled == audit.surplus == audit.abandoned == audit.duplicates == ()


async def test_posts_that_may_have_been_made_are_counted(ledger, stage):
    await stage.planned("planned")
    released = await stage.claimed("released")
    await ledger.do(Release(released.id, released.fence, None, None, at=3.0))
    await stage.settled(Outcome.REFUSED, "refused")
    await stage.claimed("submitting")
    await stage.doubted("doubted")
    await stage.abandoned("abandoned")
    await stage.accepted("accepted")

    audit = await ledger.audit()

    assert (audit.posts_accepted, audit.posts_possible) == (1, 3)
    assert (audit.response_ids, audit.keys) == (1, 7)
    assert audit.states == {
        AttemptState.PLANNED: 2,
        AttemptState.SUBMITTING: 1,
        AttemptState.SUBMITTED: 1,
        AttemptState.IN_DOUBT: 1,
        AttemptState.SETTLED: 2,
    }
    assert audit.outcomes == {Outcome.REFUSED: 1, Outcome.ABANDONED: 1}


async def test_what_is_out_of_line_is_named(ledger, stage, draft):
    doubted = await stage.doubted("doubted")
    given_up = await stage.abandoned("given up")
    followed = await stage.doubted("followed")
    second = (await ledger.do(Resubmit(followed.id, draft("followed"), at=4.0))).attempt
    second = await stage.doubted(second)
    third = (await ledger.do(Resubmit(second.id, draft("followed"), at=5.0))).attempt
    third = await stage.accepted(third)
    late = (await ledger.do(stage.acceptance(followed))).attempt

    audit = await ledger.audit("s")

    assert audit.in_doubt == (doubted,)
    assert {one.attempt.id: one.followers for one in audit.abandoned} == {
        given_up.id: 0,
        second.id: 1,
    }
    assert Abandoned(given_up, 0) in audit.abandoned
    assert audit.surplus == (late,)
    assert set(audit.unsettled) == {doubted, third}


async def test_the_second_id_of_an_attempt_counts_as_a_post(ledger, stage):
    first = await stage.accepted("n", "resp_1")
    await ledger.do(stage.acceptance(first, "resp_2"))

    audit = await ledger.audit()

    assert (audit.posts_accepted, audit.response_ids, audit.keys) == (2, 2, 1)
    assert [attempt.response_id for attempt in audit.surplus] == ["resp_2"]


async def test_a_response_of_somebody_else_is_no_post_of_ours(ledger, draft):
    await ledger.do(Attach(draft(), "resp_1", None, at=1.0))

    audit = await ledger.audit()

    assert (audit.posts_accepted, audit.response_ids) == (0, 1)


async def test_a_repeated_response_id_is_named_with_its_attempts(ledger, stage):
    first = await stage.accepted("n", "resp_1")
    second = await stage.accepted("m", "resp_1")
    await stage.accepted("o", "resp_2")

    audit = await ledger.audit()

    assert audit.duplicates == (
        Duplicate("https://api.example.com/v1", "resp_1", tuple(sorted([first.id, second.id]))),
    )
    assert (audit.posts_accepted, audit.response_ids) == (3, 2)


async def test_an_audit_of_one_scope_leaves_the_others_out(ledger, stage, draft):
    first = await stage.settled(Outcome.FAILED)
    await ledger.do(PlanNext(first.id, draft(), at=6.0))
    await ledger.do(Plan(draft(scope="t"), at=7.0))

    ours, theirs, all_ = [await ledger.audit(scope) for scope in ("s", "t", None)]

    assert (ours.keys, theirs.keys, all_.keys) == (1, 1, 2)
    assert (len(ours.unsettled), len(theirs.unsettled), len(all_.unsettled)) == (1, 1, 2)
    assert (ours.posts_accepted, theirs.posts_accepted) == (1, 0)
