"""What attempts reserve and cost: moved with them, whoever moves them, and never counted twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from prefect_responses.charges import AccountLimit, Charge, Price
from prefect_responses.job_errors import AccountFull
from prefect_responses.ledger import (
    Account,
    Claim,
    Deliver,
    PassProposal,
    PlanNext,
    RecordAccepted,
    RecordCancel,
    Release,
    ResolveDoubt,
    Resubmit,
    Settle,
    WantCancel,
)
from prefect_responses.statuses import AttemptState, CancelAnswer, CancelReason, Outcome

PRICE = Price(input=1_000_000, cached_input=100_000, output=4_000_000)  # 1, 0.1, 4 USD a million
USAGE = {"input_tokens": 10, "output_tokens": 5}
COST = 10 * 1000 + 5 * 4000
CHARGE = Charge((AccountLimit("job:a"), AccountLimit("day:1:job:a")), 70_000, 40, PRICE)

IDLE = Account("job:a")
RESERVED = Account("job:a", in_flight=1, reserved_usd=70_000, reserved_tokens=40)
SPENT = Account("job:a", spent_usd=COST, spent_tokens=15)
LOST = Account("job:a", spent_usd=70_000, spent_tokens=40)


def usual(**facts):
    return replace(CHARGE, **facts)


def limited(**limits):
    return usual(accounts=(AccountLimit("job:a", **limits),))


async def claimed(ledger, stage, name="n", charge=CHARGE):
    planned = await stage.planned(name)
    return (await ledger.do(Claim(planned.id, f"request-{name}", at=2.0, charge=charge))).attempt


async def account(ledger):
    """The account, after a look at the other one: they always stand alike."""
    one, other = await ledger.accounts("job:a")
    assert replace(other, name=one.name) == one
    return one


async def test_what_was_never_charged_is_no_account(ledger, stage):
    await stage.settled(Outcome.COMPLETED, usage=USAGE)

    assert await ledger.account("job:a") is None
    assert await ledger.accounts("job:a") == []


async def test_a_claim_reserves_and_an_answer_costs(ledger, stage):
    attempt = await claimed(ledger, stage)
    assert attempt.charge == CHARGE
    assert await account(ledger) == RESERVED
    again = await ledger.do(Claim(attempt.id, "request-n", at=2.5, charge=CHARGE))
    assert (again.moved, again.attempt) == (True, attempt)
    await ledger.do(stage.acceptance(attempt))
    assert await account(ledger) == RESERVED

    settle = Settle(attempt.id, Outcome.COMPLETED, at=4.0, usage=USAGE)
    settled = (await ledger.do(settle)).attempt

    assert settled.cost == COST
    assert await ledger.attempt(attempt.id) == settled
    assert await account(ledger) == SPENT
    assert not (await ledger.do(settle)).moved
    await ledger.do(Deliver(attempt.id, at=5.0))
    assert await account(ledger) == SPENT


async def test_the_accounts_of_a_job_are_not_those_of_another_name(ledger, stage):
    """A job may be called anything."""
    own = ("job:a", "day:2026-11-21:job:a", "run:r:job:a")
    others = ("job:a:b", "job:ab", "job", "JOB:A", "job:day:1:job:a", "day:1:job:x:job:a", "ay:job")
    others += ("job:a:day:2026-11-21", "day:2026-11-21:job:A", "scope:1:job:a", "job:b:job:a")
    await claimed(ledger, stage, charge=usual(accounts=tuple(map(AccountLimit, own + others))))

    found = await ledger.accounts("job:a")

    assert found[0] == RESERVED == await ledger.account("job:a")
    assert sorted(one.name for one in found) == sorted(own)


async def test_another_process_settles_too(ledger, other, stage):
    attempt = await stage.accepted(await claimed(ledger, stage))

    await other.do(Settle(attempt.id, Outcome.FAILED, at=4.0, usage=USAGE))

    assert await account(ledger) == SPENT


@pytest.mark.parametrize(
    ("outcome", "left", "cost"),
    [
        (Outcome.COMPLETED, LOST, 70_000),
        (Outcome.INCOMPLETE, LOST, 70_000),
        (Outcome.FAILED, IDLE, 0),
        (Outcome.CANCELLED, IDLE, 0),
        (Outcome.EXPIRED, IDLE, 0),
    ],
)
async def test_what_ends_without_usage(ledger, stage, outcome, left, cost):
    """An answer of which the API did not say what it cost counts as was reserved."""
    attempt = await stage.accepted(await claimed(ledger, stage))

    settled = (await ledger.do(Settle(attempt.id, outcome, at=4.0))).attempt

    assert (settled.cost, await account(ledger)) == (cost, left)


async def test_a_refused_one_costs_nothing(ledger, stage):
    attempt = await claimed(ledger, stage)

    settled = (await ledger.do(Settle(attempt.id, Outcome.REFUSED, at=4.0))).attempt

    assert (settled.cost, await account(ledger)) == (0, IDLE)


async def test_without_a_price_only_tokens_are_counted(ledger, stage):
    attempt = await stage.accepted(await claimed(ledger, stage, charge=usual(usd=0, price=None)))

    settled = (await ledger.do(Settle(attempt.id, Outcome.COMPLETED, at=4.0, usage=USAGE))).attempt

    assert settled.cost is None
    assert await account(ledger) == replace(SPENT, spent_usd=0)


async def test_a_cancelled_one_that_turns_completed_costs(ledger, stage):
    attempt = await stage.accepted(await claimed(ledger, stage))
    await ledger.do(WantCancel(attempt.id, CancelReason.ASKED, at=4.0))
    await ledger.do(RecordCancel(attempt.id, CancelAnswer.TAKEN, watch_until=9.0, at=4.0))
    await ledger.do(Settle(attempt.id, Outcome.CANCELLED, at=4.0))

    late = (await ledger.do(Settle(attempt.id, Outcome.COMPLETED, at=5.0, usage=USAGE))).attempt

    assert (late.cost, await account(ledger)) == (COST, SPENT)


async def test_one_that_was_given_back_reserves_nothing_and_is_charged_anew(ledger, stage):
    attempt = await claimed(ledger, stage)
    released = await ledger.do(Release(attempt.id, attempt.fence, None, None, at=3.0))
    assert (released.attempt.state, released.attempt.cost) == (AttemptState.PLANNED, None)
    assert await account(ledger) == IDLE

    dearer = usual(usd=80_000)
    again = (await ledger.do(Claim(attempt.id, "request-2", at=4.0, charge=dearer))).attempt

    assert again.charge == dearer
    assert await account(ledger) == replace(RESERVED, reserved_usd=80_000)


async def test_one_that_was_given_back_may_go_out_without_a_charge(ledger, stage):
    attempt = await claimed(ledger, stage)
    await ledger.do(Release(attempt.id, attempt.fence, None, None, at=3.0))

    again = (await ledger.do(Claim(attempt.id, "request-2", at=4.0))).attempt
    await ledger.do(stage.acceptance(again))
    settled = (await ledger.do(Settle(again.id, Outcome.COMPLETED, at=5.0, usage=USAGE))).attempt

    assert (again.charge, settled.cost, await account(ledger)) == (None, None, IDLE)


async def test_one_that_was_given_back_and_accepted_all_the_same(ledger, stage):
    attempt = await claimed(ledger, stage)
    await ledger.do(Release(attempt.id, attempt.fence, None, None, at=3.0))

    await ledger.do(stage.acceptance(attempt))

    assert await account(ledger) == RESERVED


async def test_one_that_is_given_up_before_it_was_sent_costs_nothing(ledger, stage):
    attempt = await claimed(ledger, stage)
    await ledger.do(WantCancel(attempt.id, CancelReason.ASKED, at=3.0))

    given_up = await ledger.do(Release(attempt.id, attempt.fence, None, None, at=3.0))

    assert (given_up.attempt.outcome, given_up.attempt.cost) == (Outcome.ABANDONED, 0)
    assert await account(ledger) == IDLE


async def test_a_doubt_holds_its_reservation_and_what_is_abandoned_counts_as_spent(ledger, stage):
    attempt = await stage.doubted(await claimed(ledger, stage))
    assert await account(ledger) == RESERVED

    abandoned = (await ledger.do(ResolveDoubt(attempt.id, None, at=4.0))).attempt

    assert (abandoned.cost, await account(ledger)) == (70_000, LOST)


async def test_an_abandoned_one_that_is_accepted_late_is_counted_once(ledger, stage):
    attempt = await stage.doubted(await claimed(ledger, stage))
    await ledger.do(ResolveDoubt(attempt.id, None, at=4.0))

    late = (await ledger.do(stage.acceptance(attempt))).attempt
    assert (late.state, late.cost) == (AttemptState.SUBMITTED, None)
    assert await account(ledger) == RESERVED

    await ledger.do(Settle(late.id, Outcome.COMPLETED, at=5.0, usage=USAGE))
    assert await account(ledger) == SPENT


async def test_one_that_was_submitted_again_is_counted_and_so_is_its_successor(
    ledger, stage, draft
):
    first = await stage.doubted(await claimed(ledger, stage))
    second = (await ledger.do(Resubmit(first.id, draft(), at=4.0))).attempt
    assert (second.charge, second.cost) == (None, None)
    await ledger.do(Claim(second.id, "request-2", at=5.0, charge=CHARGE))
    both = replace(RESERVED, spent_usd=70_000, spent_tokens=40)
    assert await account(ledger) == both

    await ledger.do(RecordAccepted(second.id, "resp_2", None, None, None, at=6.0))
    late = (await ledger.do(RecordAccepted(first.id, "resp_1", None, None, None, at=7.0))).attempt

    assert (late.outcome, late.cost) == (Outcome.SURPLUS, 70_000)
    assert await account(ledger) == both


async def test_a_doubt_that_is_resolved_by_an_id_goes_on(ledger, stage):
    attempt = await stage.doubted(await claimed(ledger, stage))

    await ledger.do(ResolveDoubt(attempt.id, "resp_1", at=4.0))

    assert await account(ledger) == RESERVED


async def test_a_second_id_of_one_attempt_is_paid_too(ledger, stage):
    attempt = await stage.accepted(await claimed(ledger, stage))

    beside = (await ledger.do(stage.acceptance(attempt, "resp_other"))).attempt

    assert (beside.outcome, beside.charge, beside.cost) == (Outcome.SURPLUS, CHARGE, 70_000)
    assert await ledger.attempt(beside.id) == beside
    assert await account(ledger) == replace(RESERVED, spent_usd=70_000, spent_tokens=40)


async def test_a_superseded_one_keeps_its_reservation_until_it_ends(ledger, stage, draft):
    attempt = await stage.accepted(await claimed(ledger, stage))
    following = PlanNext(attempt.id, draft(digest="sha256:2"), at=4.0, superseding=True)
    following = (await ledger.do(following)).attempt
    await ledger.do(WantCancel(attempt.id, CancelReason.SUPERSEDED, at=4.0))
    await ledger.do(Claim(following.id, "request-2", at=5.0, charge=CHARGE))
    assert (await account(ledger)).in_flight == 2

    await ledger.do(Settle(attempt.id, Outcome.CANCELLED, at=6.0))

    assert await account(ledger) == RESERVED


# --- what no server should say --------------------------------------------------------------------

MOST = 2**63 - 1
ABSURD = {"input_tokens": 2**63, "output_tokens": 10**16}


@pytest.mark.parametrize("price", [PRICE, None], ids=["priced", "unpriced"])
@pytest.mark.parametrize(
    "usage",
    [ABSURD, {"input_tokens": 10, "output_tokens": 10**12 + 1}, {"input_tokens": -5}],
    ids=["both", "one", "negative"],
)
async def test_an_absurd_count_of_tokens_is_as_if_it_was_not_said(ledger, stage, usage, price):
    attempt = await stage.accepted(await claimed(ledger, stage, charge=usual(price=price)))

    settled = (await ledger.do(Settle(attempt.id, Outcome.COMPLETED, at=4.0, usage=usage))).attempt

    assert (settled.usage, settled.cost) == (usage, 70_000 if price else None)
    assert await account(ledger) == LOST


async def test_of_one_that_failed_what_was_said_is_counted(ledger, stage):
    attempt = await stage.accepted(await claimed(ledger, stage))
    usage = USAGE | {"output_tokens": 2**63}

    settled = (await ledger.do(Settle(attempt.id, Outcome.FAILED, at=4.0, usage=usage))).attempt

    assert settled.cost == 10 * 1000
    assert (await account(ledger)).spent_tokens == 10


async def test_sums_end_where_the_ledger_can_hold_no_more(ledger, stage):
    dear = Price(input=10**12, cached_input=10**12, output=10**12)
    for name in "nm":
        attempt = await claimed(ledger, stage, name, usual(usd=2**62, tokens=2**62, price=dear))
        await ledger.do(stage.acceptance(attempt))
    full = Account("job:a", in_flight=2, reserved_usd=MOST, reserved_tokens=MOST)
    assert await account(ledger) == full

    usage = {"input_tokens": 10**12, "output_tokens": 10**12}
    settled = (await ledger.do(Settle(attempt.id, Outcome.COMPLETED, at=4.0, usage=usage))).attempt

    assert settled.cost == MOST
    assert (await account(ledger)).spent_usd == MOST
    await ledger.do(Claim((await stage.planned("o")).id, "request-o", at=5.0, charge=CHARGE))
    assert (await account(ledger)).in_flight == 2
    await ledger.jobs.open_pass("a", PassProposal("{}", "t", "{}", 1, 1), at=6.0)
    assert (await account(ledger)).reserved_usd == 2**62 + 70_000


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"max_usd": 139_999}, "max_usd"),
        ({"max_tokens": 79}, "max_tokens"),
        ({"max_in_flight": 1}, "max_in_flight"),
        ({"max_in_flight": 1, "max_usd": 1}, "max_usd"),
    ],
)
async def test_a_charge_that_would_exceed_a_limit_is_refused(ledger, stage, limits, limit):
    await claimed(ledger, stage)
    planned = await stage.planned("m")

    with pytest.raises(AccountFull) as refused:
        await ledger.do(Claim(planned.id, "request-m", at=2.0, charge=limited(**limits)))

    assert (refused.value.account, refused.value.limit) == ("job:a", limit)
    assert await ledger.attempt(planned.id) == planned
    assert await account(ledger) == RESERVED


async def test_a_charge_that_fits_exactly_is_taken(ledger, stage):
    tight = limited(max_usd=140_000, max_tokens=80, max_in_flight=2)

    for name in "nm":
        assert (await claimed(ledger, stage, name, tight)).state is AttemptState.SUBMITTING

    assert (await ledger.account("job:a")).reserved_usd == 140_000


async def test_what_is_spent_counts_against_a_limit(ledger, stage):
    attempt = await stage.accepted(await claimed(ledger, stage))
    await ledger.do(Settle(attempt.id, Outcome.COMPLETED, at=4.0, usage=USAGE))

    with pytest.raises(AccountFull, match="max_usd"):
        await claimed(ledger, stage, "m", limited(max_usd=COST + 69_999))
    await claimed(ledger, stage, "o", limited(max_usd=COST + 70_000))


async def test_two_budgets_on_one_account_are_counted_once(ledger, stage):
    both = (AccountLimit("job:a", max_usd=10**9), AccountLimit("job:a", max_tokens=10**9))

    await claimed(ledger, stage, charge=usual(accounts=both))

    assert await ledger.account("job:a") == RESERVED


async def test_of_many_claims_at_once_no_more_are_taken_than_fit(ledger, other, stage):
    tight = limited(max_usd=3 * 70_000)
    planned = [await stage.planned(f"n{i}") for i in range(12)]

    claims = (
        one.do(Claim(attempt.id, f"request-{attempt.id}", at=2.0, charge=tight))
        for attempt, one in zip(planned, [ledger, other] * 6, strict=True)
    )
    answers = await asyncio.gather(*claims, return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, AccountFull)]
    assert len(refused) == 9
    assert (await ledger.account("job:a")).in_flight == 3
    states = {attempt.state for attempt in planned}
    assert states == {AttemptState.PLANNED}
    assert len([a async for a in ledger.attempts(states=[AttemptState.SUBMITTING])]) == 3


async def test_two_processes_settle_on_one_account_at_once(ledger, other, stage):
    attempts = [await stage.accepted(await claimed(ledger, stage, f"n{i}")) for i in range(20)]

    settles = (
        one.do(Settle(attempt.id, Outcome.COMPLETED, at=4.0, usage=USAGE))
        for attempt in attempts
        for one in (ledger, other)
    )
    verdicts = await asyncio.gather(*settles)

    assert sum(verdict.moved for verdict in verdicts) == 20
    spent = replace(SPENT, spent_usd=20 * COST, spent_tokens=20 * 15)
    assert await account(ledger) == spent
