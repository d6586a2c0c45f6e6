from __future__ import annotations

import pytest

from prefect_responses.errors import AttemptUnknown, OwnerLost
from prefect_responses.ledger import Claim, PlanNext, Reject, Release, ResolveDoubt
from prefect_responses.statuses import AttemptState, Outcome


async def test_a_planned_attempt_is_claimed(ledger, stage):
    planned = await stage.planned()

    verdict = await ledger.do(Claim(planned.id, "request-1", at=2.0))

    claimed = verdict.attempt
    assert verdict.moved
    assert claimed.state is AttemptState.SUBMITTING
    assert (claimed.owner_id, claimed.fence) == (ledger.owner_id, planned.fence + 1)
    assert (claimed.client_request_id, claimed.submitting_at) == ("request-1", 2.0)
    assert await ledger.attempt(planned.id) == claimed


async def test_only_one_of_two_owners_wins(other, stage):
    claimed = await stage.claimed()

    verdict = await other.do(Claim(claimed.id, "request-2", at=3.0))

    assert (verdict.attempt, verdict.moved) == (claimed, False)


async def test_two_claims_in_one_group_are_won_once(ledger, stage):
    planned = await stage.planned()

    first, second = await ledger.do_all(
        [Claim(planned.id, "request-1", at=2.0), Claim(planned.id, "request-2", at=2.0)]
    )

    assert (first.moved, second.moved) == (True, False)
    assert second.attempt == first.attempt


async def test_a_claim_that_is_given_again_is_still_won(ledger, stage):
    planned = await stage.planned()
    claim = Claim(planned.id, "request-1", at=2.0)

    verdicts = [await ledger.do(claim), await ledger.do(claim)]

    assert [verdict.moved for verdict in verdicts] == [True, True]
    assert verdicts[0].attempt == verdicts[1].attempt


async def test_nothing_but_the_attempt_that_speaks_is_claimed(ledger, stage, draft):
    first = await stage.settled(Outcome.FAILED)
    second = (await ledger.do(PlanNext(first.id, draft(), at=6.0))).attempt

    verdict = await ledger.do(Claim(first.id, "request-2", at=7.0))

    assert (verdict.attempt, verdict.moved) == (second, False)


async def test_an_attempt_is_not_claimed_beside_one_that_was_accepted_late(ledger, stage, draft):
    first = await stage.abandoned()
    second = (await ledger.do(PlanNext(first.id, draft(), at=6.0))).attempt
    late = (await ledger.do(stage.acceptance(first))).attempt

    verdict = await ledger.do(Claim(second.id, "request-2", at=8.0))

    assert late.state is AttemptState.SUBMITTED
    assert (verdict.attempt, verdict.moved) == (late, False)
    assert (await ledger.attempt(second.id)).state is AttemptState.PLANNED


async def test_nor_beside_an_answer_that_was_not_rejected(ledger, stage, draft):
    first = await stage.settled()
    second = (await ledger.do(PlanNext(first.id, draft(), at=6.0))).attempt

    refused = await ledger.do(Claim(second.id, "request-2", at=7.0))
    await ledger.do(Reject(first.id, "not good", at=8.0))
    won = await ledger.do(Claim(second.id, "request-3", at=9.0))

    assert (refused.attempt, refused.moved) == (first, False)
    assert (won.attempt.id, won.moved) == (second.id, True)


async def test_another_request_under_the_same_name_is_no_rival(ledger, stage, draft):
    first = await stage.accepted()
    changed = PlanNext(first.id, draft(digest="sha256:2"), at=6.0, superseding=True)
    second = (await ledger.do(changed)).attempt

    verdict = await ledger.do(Claim(second.id, "request-2", at=7.0))

    assert verdict.moved


async def test_a_rejected_rival_and_a_claim_in_one_group(ledger, stage, draft):
    first = await stage.settled()
    second = (await ledger.do(PlanNext(first.id, draft(), at=6.0))).attempt

    _, won = await ledger.do_all(
        [Reject(first.id, "not good", at=7.0), Claim(second.id, "request-2", at=7.0)]
    )

    assert (won.attempt.id, won.moved) == (second.id, True)


async def test_an_owner_whose_lease_ended_may_not_claim(ledger, stage):
    planned = await stage.planned()
    ledger.forget_owner()

    with pytest.raises(OwnerLost):
        await ledger.do(Claim(planned.id, "request-1", at=2.0))

    assert (await ledger.attempt(planned.id)) == planned


async def test_what_nobody_planned_cannot_be_claimed(ledger):
    with pytest.raises(AttemptUnknown, match="no attempt nothing"):
        await ledger.do(Claim("nothing", "request-1", at=2.0))


async def test_a_released_attempt_waits_and_can_be_claimed_again(ledger, stage):
    claimed = await stage.claimed()
    error = {"error": "RefusedForNow"}

    released = await ledger.do(Release(claimed.id, claimed.fence, 60.0, error, at=3.0))
    again = await ledger.do(Claim(claimed.id, "request-2", at=61.0))

    waiting = released.attempt
    assert released.moved
    assert waiting.state is AttemptState.PLANNED
    assert (waiting.owner_id, waiting.submitting_at) == (None, None)
    assert (waiting.not_before, waiting.error) == (60.0, error)
    assert (again.moved, again.attempt.fence) == (True, claimed.fence + 1)


async def test_only_the_claim_that_is_on_is_released(ledger, other, stage):
    claimed = await stage.claimed()

    theirs = await other.do(Release(claimed.id, claimed.fence, None, None, at=3.0))
    earlier = await ledger.do(Release(claimed.id, claimed.fence - 1, None, None, at=3.0))

    assert [theirs.moved, earlier.moved] == [False, False]
    assert theirs.attempt == earlier.attempt == await ledger.attempt(claimed.id) == claimed


async def test_a_doubted_attempt_is_not_released(ledger, stage):
    doubted = await stage.doubted()

    verdict = await ledger.do(Release(doubted.id, doubted.fence, None, None, at=4.0))

    assert (verdict.attempt, verdict.moved) == (doubted, False)


async def test_an_abandoned_attempt_is_not_claimed(ledger, stage):
    doubted = await stage.doubted()
    abandoned = (await ledger.do(ResolveDoubt(doubted.id, None, at=4.0))).attempt

    verdict = await ledger.do(Claim(abandoned.id, "request-2", at=5.0))

    assert (verdict.attempt, verdict.moved) == (abandoned, False)
