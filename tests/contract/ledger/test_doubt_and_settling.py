from __future__ import annotations

import pytest

from prefect_responses.errors import AttemptUnknown, IllegalMove
from prefect_responses.ledger import (
    BeginFollowing,
    Deliver,
    MarkInDoubt,
    MarkOrphaned,
    MarkWarned,
    Observe,
    Plan,
    PlanNext,
    RecordCancel,
    RecordProgress,
    Reject,
    Resubmit,
    SetDeadline,
    Settle,
    StopFollowing,
    WantCancel,
)
from prefect_responses.statuses import (
    SETTLEMENTS,
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
    ResponseStatus,
    may_settle,
)


async def test_anyone_may_doubt_what_the_named_owner_was_submitting(ledger, other, stage):
    claimed = await stage.claimed()
    error = {"error": "AnswerAmbiguous"}

    verdict = await other.do(MarkInDoubt(claimed.id, ledger.owner_id, claimed.fence, error, at=9.0))

    assert verdict.moved
    assert (verdict.attempt.state, verdict.attempt.error) == (AttemptState.IN_DOUBT, error)


@pytest.mark.parametrize("wrong", ["owner", "fence", "state"])
async def test_a_doubt_that_names_another_claim_is_refused(ledger, stage, wrong):
    attempt = await (stage.accepted() if wrong == "state" else stage.claimed())
    owner_id = "somebody" if wrong == "owner" else ledger.owner_id
    fence = attempt.fence + (wrong == "fence")

    verdict = await ledger.do(MarkInDoubt(attempt.id, owner_id, fence, None, at=9.0))

    assert (verdict.attempt, verdict.moved) == (attempt, False)


async def test_resubmitting_abandons_and_plans_the_next(ledger, stage, draft):
    doubted = await stage.doubted()

    verdict = await ledger.do(Resubmit(doubted.id, draft(resubmissions=1), at=9.0))

    abandoned = await ledger.attempt(doubted.id)
    assert verdict.moved
    assert (abandoned.outcome, abandoned.settled_at) == (Outcome.ABANDONED, 9.0)
    assert (verdict.attempt.number, verdict.attempt.resubmissions) == (2, 1)
    assert verdict.attempt.state is AttemptState.PLANNED
    assert await ledger.latest("s", "n", 0) == verdict.attempt


async def test_resubmitting_twice_plans_once(ledger, other, stage, draft):
    doubted = await stage.doubted()

    first = await ledger.do(Resubmit(doubted.id, draft(), at=9.0))
    second = await other.do(Resubmit(doubted.id, draft(), at=9.0))

    assert (second.attempt, second.moved) == (first.attempt, False)


async def test_a_doubt_that_another_attempt_has_ended_is_not_resubmitted(ledger, stage, draft):
    first = await stage.doubted()
    second = (await ledger.do(Resubmit(first.id, draft(), at=4.0))).attempt
    second = await stage.doubted(second)
    late = (await ledger.do(stage.acceptance(first))).attempt

    verdict = await ledger.do(Resubmit(second.id, draft(), at=9.0))

    assert (verdict.attempt, verdict.moved) == (late, False)
    assert await ledger.attempt(second.id) == second


@pytest.mark.parametrize("before", [None, *AttemptState, *Outcome])
@pytest.mark.parametrize("outcome", Outcome)
async def test_an_attempt_is_settled_as_the_table_says(ledger, stage, before, outcome):
    attempt = await _bring(stage, before)
    settle = Settle(attempt.id, outcome, at=9.0)

    if outcome is attempt.outcome:
        verdict = await ledger.do(settle)
        assert (verdict.attempt, verdict.moved) == (attempt, False)
    elif may_settle(attempt.state, attempt.outcome, outcome):
        verdict = await ledger.do(settle)
        assert verdict.moved
        assert (verdict.attempt.state, verdict.attempt.outcome) == (AttemptState.SETTLED, outcome)
        assert verdict.attempt.settled_at == 9.0
    else:
        with pytest.raises(IllegalMove, match=f"{attempt.outcome or attempt.state}; it cannot"):
            await ledger.do(settle)
        assert await ledger.attempt(attempt.id) == attempt


async def _bring(stage, before):
    if isinstance(before, Outcome):
        return await stage.settled(before)
    match before:
        case AttemptState.SUBMITTING:
            return await stage.claimed()
        case AttemptState.SUBMITTED:
            return await stage.accepted()
        case AttemptState.IN_DOUBT:
            return await stage.doubted()
        case _:
            return await stage.planned()


def test_the_table_of_settlements_has_a_case_for_each_state():
    assert set(SETTLEMENTS) == set(AttemptState)


async def test_what_came_back_is_stored(ledger, stage):
    accepted = await stage.accepted()
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}

    verdict = await ledger.do(
        Settle(
            accepted.id,
            Outcome.COMPLETED,
            at=9.0,
            remote_status=ResponseStatus.COMPLETED,
            response=b'{"id":"resp_1"}',
            usage=usage,
            polls=4,
        )
    )

    settled = verdict.attempt
    assert (settled.remote_status, settled.usage, settled.polls) == ("completed", usage, 4)
    assert await ledger.attempt(accepted.id) == settled
    assert (await ledger.bodies([accepted.id]))[accepted.id].response == b'{"id":"resp_1"}'


async def test_settling_clears_what_went_wrong_on_the_way(ledger, stage):
    doubted = await stage.doubted()
    accepted = (await ledger.do(stage.acceptance(doubted))).attempt

    settled = await stage.settled(Outcome.COMPLETED, accepted)

    assert accepted.error is not None
    assert settled.error is None
    assert settled.remote_status is accepted.remote_status


async def test_a_refusal_by_the_owner_names_the_reason(ledger, stage):
    claimed = await stage.claimed()
    error = {"error": "RequestRefused"}

    verdict = await ledger.do(
        Settle(claimed.id, Outcome.REFUSED, at=9.0, error=error, fence=claimed.fence)
    )

    assert verdict.moved
    assert (verdict.attempt.outcome, verdict.attempt.error) == (Outcome.REFUSED, error)


async def test_a_refusal_by_another_owner_or_of_another_claim_moves_nothing(ledger, other, stage):
    claimed = await stage.claimed()

    theirs = await other.do(Settle(claimed.id, Outcome.REFUSED, at=9.0))
    earlier = await ledger.do(Settle(claimed.id, Outcome.REFUSED, at=9.0, fence=claimed.fence - 1))

    assert [theirs.moved, earlier.moved] == [False, False]
    assert await ledger.attempt(claimed.id) == claimed


async def test_a_cancelled_response_that_completed_after_all_is_kept(ledger, stage):
    cancelled = await stage.settled(Outcome.CANCELLED, response=b"cancelled")

    verdict = await ledger.do(
        Settle(cancelled.id, Outcome.COMPLETED, at=9.0, response=b"completed")
    )

    assert verdict.moved
    assert verdict.attempt.outcome is Outcome.COMPLETED
    assert (await ledger.bodies([cancelled.id]))[cancelled.id].response == b"completed"


async def test_one_illegal_verb_of_a_group_fails_alone(ledger, stage):
    accepted = [await stage.accepted(f"n{i}") for i in range(3)]
    planned = await stage.planned()
    futures = [
        ledger._writer.ask(Settle(attempt.id, Outcome.COMPLETED, at=9.0))
        for attempt in (accepted[0], planned, *accepted[1:])
    ]

    with pytest.raises(IllegalMove):
        await futures.pop(1)

    assert [(await future).attempt.outcome for future in futures] == [Outcome.COMPLETED] * 3


async def test_a_poll_that_saw_news_is_written(ledger, stage):
    accepted = await stage.accepted()

    news = await ledger.do(Observe(accepted.id, ResponseStatus.IN_PROGRESS, polls=3, at=9.0))
    none = await ledger.do(Observe(accepted.id, ResponseStatus.IN_PROGRESS, polls=4, at=10.0))

    assert news.moved
    assert (news.attempt.remote_status, news.attempt.polls) == (ResponseStatus.IN_PROGRESS, 3)
    assert (none.attempt, none.moved) == (news.attempt, False)
    assert await ledger.attempt(accepted.id) == news.attempt


async def test_the_first_delivery_counts(ledger, stage):
    settled = await stage.settled()

    first = await ledger.do(Deliver(settled.id, at=9.0))
    again = await ledger.do(Deliver(settled.id, at=10.0))

    assert (first.moved, again.moved) == (True, False)
    assert first.attempt.delivered_at == again.attempt.delivered_at == 9.0


async def test_an_answer_is_rejected_once_and_for_good(ledger, stage):
    settled = await stage.settled()

    first = await ledger.do(Reject(settled.id, "not good", at=9.0))
    again = await ledger.do(Reject(settled.id, "really not", at=10.0))

    assert (first.moved, again.moved) == (True, False)
    assert first.attempt.rejected == again.attempt.rejected == "not good"
    assert not first.attempt.is_answered


async def test_what_is_not_settled_cannot_be_rejected(ledger, stage):
    accepted = await stage.accepted()

    with pytest.raises(IllegalMove, match="only a settled one"):
        await ledger.do(Reject(accepted.id, "not good", at=9.0))


async def test_the_first_attempt_is_planned_once(ledger, other, draft):
    first = await ledger.do(Plan(draft(), at=1.0))
    again = await other.do(Plan(draft(ordinal=0), at=2.0))
    beside = await ledger.do(Plan(draft(ordinal=1), at=3.0))

    assert [first.moved, again.moved, beside.moved] == [True, False, True]
    assert again.attempt == first.attempt
    assert beside.attempt.ordinal == 1


async def test_thousands_are_planned_at_once(ledger, draft):
    verdicts = await ledger.do_all(Plan(draft(f"row-{i}"), at=1.0) for i in range(2500))

    assert all(verdict.moved for verdict in verdicts)
    assert len([attempt async for attempt in ledger.attempts("s")]) == 2500


@pytest.mark.parametrize("outcome", Outcome)
async def test_another_attempt_follows_a_settled_one(ledger, stage, draft, outcome):
    settled = await stage.settled(outcome)

    verdict = await ledger.do(PlanNext(settled.id, draft(deadline_at=99.0), at=9.0))

    assert verdict.moved
    assert (verdict.attempt.number, verdict.attempt.state) == (2, AttemptState.PLANNED)
    assert verdict.attempt.deadline_at == 99.0
    assert await ledger.attempt(settled.id) == settled


@pytest.mark.parametrize("before", ["planned", "claimed", "accepted", "doubted"])
async def test_none_follows_one_that_is_not(ledger, stage, draft, before):
    attempt = await getattr(stage, before)()

    verdict = await ledger.do(PlanNext(attempt.id, draft(), at=9.0))

    assert (verdict.attempt, verdict.moved) == (attempt, False)


async def test_a_changed_request_supersedes_a_submitted_one(ledger, stage, draft):
    accepted = await stage.accepted()
    changed = draft(digest="sha256:2")

    verdict = await ledger.do(PlanNext(accepted.id, changed, at=9.0, superseding=True))

    assert verdict.moved
    assert (verdict.attempt.number, verdict.attempt.digest) == (2, "sha256:2")
    assert await ledger.attempt(accepted.id) == accepted
    assert await ledger.latest("s", "n", 0) == verdict.attempt


async def test_only_one_attempt_follows_another(ledger, other, stage, draft):
    settled = await stage.settled(Outcome.FAILED)
    follow = PlanNext(settled.id, draft(), at=9.0)

    first, second, third = [*await ledger.do_all([follow, follow]), await other.do(follow)]

    assert [first.moved, second.moved, third.moved] == [True, False, False]
    assert first.attempt == second.attempt == third.attempt


async def test_a_follower_belongs_to_the_same_call_whatever_its_draft_says(ledger, stage, draft):
    settled = await stage.settled(Outcome.FAILED)

    verdict = await ledger.do(PlanNext(settled.id, draft("m", scope="t", ordinal=8), at=9.0))

    follower = verdict.attempt
    assert (follower.scope, follower.name, follower.ordinal, follower.number) == ("s", "n", 0, 2)


@pytest.mark.parametrize(
    "verb",
    [
        lambda draft: PlanNext("nothing", draft(), at=1.0),
        lambda draft: Resubmit("nothing", draft(), at=1.0),
        lambda _: Settle("nothing", Outcome.COMPLETED, at=1.0),
        lambda _: Observe("nothing", ResponseStatus.QUEUED, polls=1, at=1.0),
        lambda _: Deliver("nothing", at=1.0),
        lambda _: Reject("nothing", "reason", at=1.0),
    ],
)
async def test_what_is_unknown_is_never_taken_for_absent(ledger, draft, verb):
    with pytest.raises(AttemptUnknown, match="no attempt nothing"):
        await ledger.do(verb(draft))


async def test_nor_by_the_verbs_about_endings_and_events(ledger):
    verbs = [
        RecordProgress("nothing", 1, b"", at=1.0),
        BeginFollowing("nothing", at=1.0),
        StopFollowing("nothing", at=1.0),
        SetDeadline("nothing", 2.0, at=1.0),
        WantCancel("nothing", CancelReason.ASKED, at=1.0),
        RecordCancel("nothing", CancelAnswer.TAKEN, None, at=1.0),
        MarkOrphaned("nothing", at=1.0),
        MarkWarned("nothing", at=1.0),
    ]
    for verb in verbs:
        with pytest.raises(AttemptUnknown, match="no attempt nothing"):
            await ledger.do(verb)
