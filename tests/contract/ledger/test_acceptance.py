"""An ID always lands, however late it comes and whatever happened meanwhile."""

from __future__ import annotations

import pytest

from prefect_responses.ledger import (
    Attach,
    Claim,
    PlanNext,
    RecordAccepted,
    Reject,
    Release,
    ResolveDoubt,
    Resubmit,
)
from prefect_responses.statuses import AttemptState, Outcome, ResponseStatus

BASE_URL = "https://api.example.com/v1"


async def test_an_accepted_id_is_stored(ledger, stage):
    claimed = await stage.claimed()

    verdict = await ledger.do(
        RecordAccepted(claimed.id, "resp_1", ResponseStatus.QUEUED, "req_1", 600.0, at=3.0)
    )

    accepted = verdict.attempt
    assert verdict.moved
    assert (accepted.state, accepted.outcome) == (AttemptState.SUBMITTED, None)
    assert (accepted.response_id, accepted.server_request_id) == ("resp_1", "req_1")
    assert (accepted.remote_status, accepted.expires_at) == (ResponseStatus.QUEUED, 600.0)
    assert accepted.submitted_at == 3.0
    assert await ledger.by_response(BASE_URL, "resp_1") == [accepted]


async def test_the_same_id_again_changes_nothing(ledger, stage):
    accepted = await stage.accepted("n", "resp_1")
    settled = await stage.settled(Outcome.COMPLETED, accepted)

    again = await ledger.do(stage.acceptance(accepted, "resp_1"))

    assert (again.attempt, again.moved) == (settled, False)


@pytest.mark.parametrize("before", ["claimed", "doubted", "abandoned"])
async def test_an_id_lands_on_the_attempt_that_asked_for_it(other, stage, before):
    attempt = await getattr(stage, before)()

    verdict = await other.do(stage.acceptance(attempt, "resp_1"))

    assert verdict.moved
    assert verdict.attempt.id == attempt.id
    assert verdict.attempt.state is AttemptState.SUBMITTED
    assert (verdict.attempt.outcome, verdict.attempt.settled_at) == (None, None)


async def test_even_if_it_was_given_back_as_not_sent(ledger, stage):
    claimed = await stage.claimed()
    await ledger.do(Release(claimed.id, claimed.fence, None, None, at=3.0))

    verdict = await ledger.do(stage.acceptance(claimed, "resp_1"))

    assert verdict.attempt.state is AttemptState.SUBMITTED
    assert verdict.attempt.submitting_at == 3.0


@pytest.mark.parametrize("before", ["claimed", "doubted", "abandoned"])
@pytest.mark.parametrize("rival", ["submitted", "completed"])
async def test_a_late_id_beside_another_accepted_attempt_is_surplus(
    ledger, stage, draft, before, rival
):
    first = await stage.doubted()
    second = (await ledger.do(Resubmit(first.id, draft(), at=4.0))).attempt
    if before == "abandoned":
        late, accepted = first, await stage.accepted(second)
    else:
        late = await getattr(stage, before)(second)
        accepted = (await ledger.do(stage.acceptance(first))).attempt
    if rival == "completed":
        accepted = await stage.settled(Outcome.COMPLETED, accepted)

    verdict = await ledger.do(stage.acceptance(late, "resp_late"))

    surplus = verdict.attempt
    assert verdict.moved
    assert (surplus.id, surplus.response_id) == (late.id, "resp_late")
    assert (surplus.state, surplus.outcome) == (AttemptState.SETTLED, Outcome.SURPLUS)
    assert surplus.settled_at == 3.0
    assert await ledger.latest("s", "n", 0) == await ledger.attempt(accepted.id)


async def test_a_rejected_answer_is_no_rival(ledger, stage, draft):
    first = await stage.settled()
    await ledger.do(Reject(first.id, "not good", at=6.0))
    second = (await ledger.do(PlanNext(first.id, draft(), at=7.0))).attempt

    accepted = await stage.accepted(second)

    assert accepted.state is AttemptState.SUBMITTED


async def test_of_two_ids_in_one_group_the_first_is_kept_and_the_second_is_surplus(
    ledger, stage, draft
):
    first = await stage.doubted()
    second = (await ledger.do(Resubmit(first.id, draft(), at=4.0))).attempt
    second = await stage.claimed(second)

    kept, surplus = await ledger.do_all(
        [stage.acceptance(second, "resp_2"), stage.acceptance(first, "resp_1")]
    )

    assert (kept.attempt.id, kept.attempt.state) == (second.id, AttemptState.SUBMITTED)
    assert (surplus.attempt.id, surplus.attempt.outcome) == (first.id, Outcome.SURPLUS)


@pytest.mark.parametrize("outcome", [None, Outcome.COMPLETED, Outcome.REFUSED, Outcome.SURPLUS])
async def test_a_second_id_is_kept_beside_the_first(ledger, stage, outcome):
    if outcome is None:
        first = await stage.accepted("n", "resp_1")
    else:
        first = await stage.settled(outcome)
    late = stage.acceptance(first, "resp_2")

    verdict = await ledger.do(late)
    again = await ledger.do(late)

    second = verdict.attempt
    assert verdict.moved
    assert (second.number, second.response_id) == (first.number + 1, "resp_2")
    assert second.outcome is Outcome.SURPLUS
    assert (second.endpoint, second.digest) == (first.endpoint, first.digest)
    assert second.submitting_at == first.submitting_at
    assert (again.attempt, again.moved) == (second, False)
    assert await ledger.attempt(first.id) == first


async def test_a_surplus_attempt_never_speaks_for_its_ordinal(ledger, stage):
    first = await stage.accepted("n", "resp_1")
    await ledger.do(stage.acceptance(first, "resp_2"))

    assert await ledger.latest("s", "n", 0) == first


async def test_a_response_of_somebody_else_is_attached_once(ledger, draft):
    request = draft("theirs")

    first = await ledger.do(Attach(request, "resp_9", ResponseStatus.IN_PROGRESS, at=1.0))
    again = await ledger.do(Attach(request, "resp_9", ResponseStatus.COMPLETED, at=2.0))

    attached = first.attempt
    assert (first.moved, again.moved) == (True, False)
    assert again.attempt == attached
    assert (attached.state, attached.response_id) == (AttemptState.SUBMITTED, "resp_9")
    assert (attached.remote_status, attached.submitted_at) == (ResponseStatus.IN_PROGRESS, 1.0)
    assert (attached.ordinal, attached.submitting_at) == (0, None)


async def test_an_attached_response_that_an_attempt_carries_is_that_attempt(ledger, stage, draft):
    accepted = await stage.accepted("n", "resp_1")

    verdict = await ledger.do(Attach(draft("theirs"), "resp_1", None, at=4.0))

    assert (verdict.attempt, verdict.moved) == (accepted, False)


async def test_attaching_does_not_take_an_ordinal_that_exists(ledger, stage, draft):
    await stage.planned()

    counted = await ledger.do(Attach(draft(), "resp_1", None, at=1.0))
    fixed = await ledger.do(Attach(draft(ordinal=0), "resp_2", None, at=2.0))

    assert (counted.attempt.ordinal, counted.attempt.number) == (1, 1)
    assert (fixed.attempt.ordinal, fixed.attempt.number) == (0, 2)


async def test_an_id_repeated_by_a_proxy_is_stored_on_both_attempts(ledger, stage):
    first = await stage.accepted("n", "resp_1")
    second = await stage.accepted("m", "resp_1")

    assert await ledger.by_response(BASE_URL, "resp_1") == sorted(
        [first, second], key=lambda attempt: attempt.id
    )
    assert await ledger.by_response("https://elsewhere.example.com", "resp_1") == []


async def test_a_doubt_is_resolved_by_the_id_that_was_found(ledger, stage):
    doubted = await stage.doubted()

    verdict = await ledger.do(ResolveDoubt(doubted.id, "resp_1", at=9.0))

    assert verdict.moved
    assert (verdict.attempt.state, verdict.attempt.response_id) == (
        AttemptState.SUBMITTED,
        "resp_1",
    )
    assert verdict.attempt.submitted_at == 9.0


async def test_a_doubt_is_resolved_by_having_found_nothing(ledger, stage):
    doubted = await stage.doubted()

    verdict = await ledger.do(ResolveDoubt(doubted.id, None, at=9.0))

    assert verdict.moved
    assert (verdict.attempt.outcome, verdict.attempt.settled_at) == (Outcome.ABANDONED, 9.0)


@pytest.mark.parametrize("response_id", [None, "resp_9"])
async def test_only_a_doubt_is_resolved(ledger, stage, response_id):
    accepted = await stage.accepted()

    verdict = await ledger.do(ResolveDoubt(accepted.id, response_id, at=9.0))

    assert (verdict.attempt, verdict.moved) == (accepted, False)


async def test_a_claim_that_lost_its_turn_to_a_late_id_still_stores_its_own(ledger, stage, draft):
    first = await stage.doubted()
    second = (await ledger.do(Resubmit(first.id, draft(), at=4.0))).attempt
    claimed = (await ledger.do(Claim(second.id, "request-2", at=5.0))).attempt
    await ledger.do(stage.acceptance(first, "resp_1"))

    late = await ledger.do(stage.acceptance(claimed, "resp_2"))

    assert late.attempt.outcome is Outcome.SURPLUS
    assert [a.response_id for a in await ledger.by_response(BASE_URL, "resp_2")] == ["resp_2"]
