"""A cancel is wanted once, owed until it is answered, and never lost; so is a deadline."""

from __future__ import annotations

import pytest

from prefect_responses.ledger import (
    Claim,
    Deliver,
    MarkOrphaned,
    MarkWarned,
    RecordCancel,
    Release,
    ResolveDoubt,
    Resubmit,
    SetDeadline,
    Settle,
    WantCancel,
)
from prefect_responses.statuses import AttemptState, CancelAnswer, CancelReason, Outcome

DEADLINE, SURPLUS, ASKED = CancelReason.DEADLINE, CancelReason.SURPLUS, CancelReason.ASKED


async def wanted(ledger, attempt, reason=DEADLINE, at=6.0):
    return (await ledger.do(WantCancel(attempt.id, reason, at))).attempt


@pytest.mark.parametrize("before", ["claimed", "accepted", "doubted"])
async def test_a_wanted_cancel_is_written_down_and_the_first_reason_stays(ledger, stage, before):
    attempt = await getattr(stage, before)()

    first = await ledger.do(WantCancel(attempt.id, DEADLINE, at=6.0))
    again = await ledger.do(WantCancel(attempt.id, ASKED, at=7.0))

    assert (first.moved, again.moved) == (True, False)
    assert (first.attempt.cancel_reason, first.attempt.cancel_wanted_at) == (DEADLINE, 6.0)
    assert first.attempt.state is attempt.state
    assert first.attempt == again.attempt == await ledger.attempt(attempt.id)


async def test_what_was_never_sent_is_given_up(ledger, stage):
    planned = await stage.planned()

    verdict = await ledger.do(WantCancel(planned.id, CancelReason.FLOW_RUN_CANCELLED, at=6.0))

    given_up = verdict.attempt
    assert verdict.moved
    assert (given_up.outcome, given_up.settled_at) == (Outcome.ABANDONED, 6.0)
    assert given_up.error["error"] == "CancelWanted"
    assert "flow_run_cancelled" in given_up.error["message"]
    assert given_up.cancel_reason is CancelReason.FLOW_RUN_CANCELLED
    assert given_up.cancel_wanted_at == 6.0
    assert not given_up.owes_cancel
    assert (await ledger.audit()).posts_possible == 0


async def test_so_is_what_is_given_back_afterwards(ledger, stage):
    claimed = await wanted(ledger, await stage.claimed())

    verdict = await ledger.do(Release(claimed.id, claimed.fence, 99.0, {"error": "429"}, at=7.0))

    assert verdict.moved
    assert (verdict.attempt.outcome, verdict.attempt.settled_at) == (Outcome.ABANDONED, 7.0)
    assert verdict.attempt.error["error"] == "CancelWanted"
    assert (verdict.attempt.cancel_reason, verdict.attempt.cancel_wanted_at) == (DEADLINE, 6.0)
    assert (await ledger.audit()).posts_possible == 0
    assert not (await ledger.do(Claim(claimed.id, "request-2", at=8.0))).moved


async def test_what_is_settled_needs_no_cancel(ledger, stage):
    settled = [await stage.settled(outcome, outcome) for outcome in Outcome]

    verdicts = await ledger.do_all(WantCancel(attempt.id, ASKED, at=6.0) for attempt in settled)

    assert [verdict.attempt for verdict in verdicts] == settled
    assert not any(verdict.moved for verdict in verdicts)


async def test_a_cancel_wanted_before_the_id_landed_is_owed_from_then_on(ledger, stage):
    planned = await wanted(ledger, await stage.planned("planned"))
    claimed = await wanted(ledger, await stage.claimed("claimed"))
    doubted = await wanted(ledger, await stage.doubted("doubted"))
    assert await ledger.owed_cancels() == []

    landed = [
        (await ledger.do(stage.acceptance(attempt))).attempt
        for attempt in (planned, claimed, doubted)
    ]

    assert [attempt.state for attempt in landed] == [AttemptState.SUBMITTED] * 3
    assert {attempt.id for attempt in await ledger.owed_cancels()} == {a.id for a in landed}
    assert all(attempt.cancel_reason is DEADLINE for attempt in landed)


async def test_the_first_answer_to_a_cancel_stays(ledger, other, stage):
    for answer in CancelAnswer:
        attempt = await wanted(ledger, await stage.accepted(answer))
        assert await ledger.owed_cancels() == [attempt]

        first = await other.do(RecordCancel(attempt.id, answer, watch_until=99.0, at=7.0))
        again = await ledger.do(RecordCancel(attempt.id, CancelAnswer.GONE, None, at=8.0))

        answered = first.attempt
        assert (first.moved, again.moved) == (True, False)
        assert (answered.cancel_answer, answered.cancel_answered_at) == (answer, 7.0)
        assert answered.watch_until == 99.0
        assert answered.state is AttemptState.SUBMITTED
        assert again.attempt == answered == await ledger.attempt(attempt.id)
        assert await ledger.owed_cancels() == []


async def test_no_answer_is_taken_to_a_cancel_that_nobody_wanted(ledger, stage):
    accepted = await stage.accepted()

    verdict = await ledger.do(RecordCancel(accepted.id, CancelAnswer.TAKEN, None, at=7.0))

    assert (verdict.attempt, verdict.moved) == (accepted, False)


async def test_owed_cancels_come_oldest_first_and_end_with_the_response(ledger, stage):
    late = await wanted(ledger, await stage.accepted("late"), at=9.0)
    soon = await wanted(ledger, await stage.accepted("soon"), at=7.0)
    ended = await wanted(ledger, await stage.accepted("ended"), at=8.0)
    await ledger.do(Settle(ended.id, Outcome.COMPLETED, at=9.0))
    await stage.accepted("wanted")

    assert await ledger.owed_cancels() == [soon, late]
    assert await ledger.owed_cancels(limit=1) == [soon]


@pytest.mark.parametrize("found", ["recorded", "resolved"])
async def test_a_surplus_response_owes_a_cancel_from_the_same_commit_on(
    ledger, stage, draft, found
):
    first = await stage.doubted()
    second = await stage.doubted((await ledger.do(Resubmit(first.id, draft(), 4.0))).attempt)
    await ledger.do(stage.acceptance(first))
    late = stage.acceptance(second, "resp_late")
    if found == "resolved":
        late = ResolveDoubt(second.id, "resp_late", at=3.0)

    surplus = (await ledger.do(late)).attempt

    assert (surplus.id, surplus.outcome) == (second.id, Outcome.SURPLUS)
    assert (surplus.cancel_reason, surplus.cancel_wanted_at) == (SURPLUS, 3.0)
    assert await ledger.owed_cancels() == [surplus]
    await ledger.do(RecordCancel(surplus.id, CancelAnswer.TAKEN, None, at=7.0))
    assert await ledger.owed_cancels() == []


async def test_so_does_a_second_id_of_one_attempt(ledger, stage):
    planned = await stage.planned("n", model="m")
    first = await wanted(ledger, await stage.accepted(planned), at=1.0)

    surplus = (await ledger.do(stage.acceptance(first, "resp_2"))).attempt

    assert (surplus.number, surplus.outcome, surplus.model) == (2, Outcome.SURPLUS, "m")
    assert (surplus.cancel_reason, surplus.cancel_wanted_at) == (SURPLUS, 3.0)
    assert await ledger.owed_cancels() == [first, surplus]


async def test_a_surplus_response_keeps_the_reason_that_came_first(ledger, stage, draft):
    first = await stage.doubted()
    second = (await ledger.do(Resubmit(first.id, draft(), 4.0))).attempt
    second = await wanted(ledger, await stage.doubted(second), ASKED, at=2.0)
    await ledger.do(stage.acceptance(first))

    surplus = (await ledger.do(stage.acceptance(second))).attempt

    assert (surplus.outcome, surplus.owes_cancel) == (Outcome.SURPLUS, True)
    assert (surplus.cancel_reason, surplus.cancel_wanted_at) == (ASKED, 2.0)


async def test_cancelled_responses_are_watched_until_their_time_is_over(ledger, stage):
    ends = {"long": 99.0, "short": 50.0, "not": None, "settled": 99.0}
    watched = {}
    for name, end in ends.items():
        attempt = await wanted(ledger, await stage.accepted(name))
        await ledger.do(RecordCancel(attempt.id, CancelAnswer.TAKEN, end, at=7.0))
        outcome = Outcome.FAILED if name == "settled" else Outcome.CANCELLED
        watched[name] = (await ledger.do(Settle(attempt.id, outcome, at=8.0))).attempt

    assert await ledger.watched(10.0) == [watched["short"], watched["long"]]
    assert await ledger.watched(50.0) == [watched["long"]]
    assert await ledger.watched(99.0) == []

    for outcome in (Outcome.COMPLETED, Outcome.INCOMPLETE):
        name = "long" if outcome is Outcome.COMPLETED else "short"
        late = await ledger.do(Settle(watched[name].id, outcome, at=20.0))
        assert (late.moved, late.attempt.outcome) == (True, outcome)
    assert await ledger.watched(10.0) == []


async def test_the_earlier_deadline_stays(ledger, stage):
    planned = await stage.planned()

    first, later, same, earlier = await ledger.do_all(
        SetDeadline(planned.id, deadline_at, at=6.0) for deadline_at in (50.0, 60.0, 50.0, 40.0)
    )

    assert [v.moved for v in (first, later, same, earlier)] == [True, False, False, True]
    assert [v.attempt.deadline_at for v in (first, later, same)] == [50.0] * 3
    assert (await ledger.attempt(planned.id)).deadline_at == earlier.attempt.deadline_at == 40.0


async def test_what_has_ended_has_no_deadline(ledger, stage):
    settled = await stage.settled()

    verdict = await ledger.do(SetDeadline(settled.id, 50.0, at=6.0))

    assert (verdict.attempt, verdict.moved) == (settled, False)


@pytest.mark.parametrize(
    ("verb", "fact"), [(MarkOrphaned, "orphaned_at"), (MarkWarned, "warned_at")]
)
async def test_a_report_is_noted_once(ledger, stage, verb, fact):
    accepted = await stage.accepted()

    first = await ledger.do(verb(accepted.id, at=6.0))
    again = await ledger.do(verb(accepted.id, at=7.0))

    assert (first.moved, again.moved) == (True, False)
    assert getattr(again.attempt, fact) == 6.0
    assert await ledger.attempt(accepted.id) == first.attempt == again.attempt


async def test_a_deadline_counts_for_the_run_that_last_waits(ledger, stage):
    attempt = await stage.accepted(await stage.planned("n", run=(1,)))

    first = await ledger.do(WantCancel(attempt.id, DEADLINE, at=6.0, run=(2,)))
    same = await ledger.do(WantCancel(attempt.id, DEADLINE, at=7.0, run=(2,)))
    later = await ledger.do(WantCancel(attempt.id, DEADLINE, at=8.0, run=(3,)))
    nobody = await ledger.do(WantCancel(attempt.id, DEADLINE, at=9.0))

    assert [first.moved, same.moved, later.moved, nobody.moved] == [True, False, True, False]
    assert (first.attempt.run, later.attempt.run, nobody.attempt.run) == ((2,), (3,), (3,))
    assert later.attempt.cancel_wanted_at == 6.0


async def test_any_other_cancel_leaves_the_run_that_asked_for_it(ledger, stage):
    attempt = await stage.accepted(await stage.planned("n", run=(1,)))

    asked = await ledger.do(WantCancel(attempt.id, ASKED, at=6.0, run=(2,)))
    late = await ledger.do(WantCancel(attempt.id, DEADLINE, at=7.0, run=(2,)))

    assert (asked.moved, late.moved) == (True, False)
    assert late.attempt.run == (1,)


async def test_a_deadline_asks_again_where_another_cancel_was_answered(ledger, stage):
    attempt = await stage.accepted()
    await ledger.do(WantCancel(attempt.id, ASKED, at=6.0))
    await ledger.do(RecordCancel(attempt.id, CancelAnswer.REFUSED, None, at=7.0))

    again = await ledger.do(WantCancel(attempt.id, DEADLINE, at=8.0))
    same = await ledger.do(WantCancel(attempt.id, DEADLINE, at=9.0))

    assert (again.moved, same.moved) == (True, False)
    assert (again.attempt.cancel_reason, again.attempt.cancel_wanted_at) == (DEADLINE, 8.0)
    assert again.attempt.owes_cancel
    assert again.attempt.cancel_answered_at is None
    assert await ledger.owed_cancels() == [same.attempt]


async def test_what_a_deadline_comes_to_is_delivered_once_it_has_come_to_it(ledger, stage):
    accepted = await stage.accepted()
    await ledger.do(Deliver(accepted.id, at=5.0))

    due = await ledger.do(WantCancel(accepted.id, DEADLINE, at=6.0))
    early = await ledger.do(Deliver(accepted.id, at=7.0))
    ended = await ledger.do(Settle(accepted.id, Outcome.CANCELLED, at=8.0))
    told = await ledger.do(Deliver(accepted.id, at=9.0))

    assert due.attempt.delivered_at is None
    assert (early.moved, told.moved) == (False, True)
    assert ended.attempt.delivered_at is None
    assert told.attempt.delivered_at == 9.0


async def test_a_caller_that_left_at_its_deadline_was_told(ledger, stage):
    accepted = await stage.accepted()
    await ledger.do(WantCancel(accepted.id, DEADLINE, at=6.0))

    told = await ledger.do(Deliver(accepted.id, at=7.0, timeout=True))

    assert told.attempt.delivered_at == 7.0
