"""Whatever happens to attempts, their accounts are what adding them up again comes to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_responses.attempt import Draft, Endpoint
from prefect_responses.charges import AccountLimit, Charge, Price, used_tokens
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import (
    Account,
    Claim,
    Deliver,
    Ledger,
    MarkInDoubt,
    Plan,
    PlanNext,
    RecordAccepted,
    RecordCancel,
    Reject,
    Release,
    ResolveDoubt,
    Resubmit,
    Settle,
    WantCancel,
)
from prefect_responses.statuses import (
    ANSWERED,
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
)

EXAMPLES = count()
USAGE = {"input_tokens": 11, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}
PRICE = Price(1_500_000, 150_000, 6_000_000)
COST = -(-(7 * 1_500_000 + 4 * 150_000 + 3 * 6_000_000) // 1000)
MOST = 400_000


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def ledger(runner, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"

    async def opened():
        return await Ledger.open(url, clock=SystemClock())

    ledger = runner.run(opened())
    yield ledger
    runner.run(ledger.aclose())


@dataclass
class World:
    """The attempts of one example, and the verbs that a step may come to."""

    ledger: Ledger
    scope: str
    ids: list[str] = field(default_factory=list)
    responses: int = 0

    def draft(self, digest):
        return Draft(self.scope, "n", f"sha256:{digest}", Endpoint("u"), "c", b"{}")

    def charge(self, kind):
        accounts = (AccountLimit(f"{self.scope}:a", max_usd=MOST), AccountLimit(f"{self.scope}:b"))
        return {
            "none": None,
            "priced": Charge(accounts, 90_000, 30, PRICE),
            "dear": Charge(accounts[:1], 250_000, 99, PRICE),
            "tokens": Charge(accounts[1:] * 2, 0, 50),
        }[kind]

    def verb(self, step, attempt, facts):
        kind, outcome, digest, flag = facts
        id_, fence, owner = attempt.id, attempt.fence, self.ledger.owner_id
        self.responses += 1
        response = "resp_same" if flag and digest else f"resp_{self.responses}"
        usage = USAGE if flag else None
        return {
            "claim": Claim(id_, f"{id_}-{digest}", 2.0, self.charge(kind)),
            "accept": RecordAccepted(id_, response, None, None, None, 3.0),
            "release": Release(id_, fence, None, None, 3.0),
            "doubt": MarkInDoubt(id_, owner, fence, None, 3.0),
            "resubmit": Resubmit(id_, self.draft(digest), 4.0),
            "resolve": ResolveDoubt(id_, response if flag else None, 4.0),
            "settle": Settle(id_, outcome, 5.0, usage=usage),
            "want": WantCancel(id_, CancelReason.ASKED, 5.0),
            "cancel": RecordCancel(id_, CancelAnswer.TAKEN, 9.0, 5.0),
            "next": PlanNext(id_, self.draft(digest), 6.0, superseding=flag),
            "reject": Reject(id_, "no", 6.0),
            "deliver": Deliver(id_, 6.0),
        }[step]


#: What usually comes next is chosen more often, so that examples get somewhere.
STEPS = (
    *(["claim", "accept", "settle"] * 3),
    *("release", "doubt", "doubt", "resubmit", "resolve", "want", "cancel", "next", "next"),
    *("reject", "deliver"),
)
steps = st.tuples(
    st.sampled_from(STEPS),
    st.integers(0, 3),
    st.sampled_from(["priced", "priced", "dear", "tokens", "none"]),
    st.sampled_from([Outcome.COMPLETED, Outcome.CANCELLED, *Outcome]),
    st.integers(0, 1),
    st.booleans(),
)


@given(st.lists(st.lists(steps, min_size=1, max_size=3), min_size=4, max_size=25))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_accounts_are_the_sum_of_their_attempts(runner, ledger, groups):
    runner.run(live_through(World(ledger, f"scope-{next(EXAMPLES)}"), groups))


async def live_through(world, groups):
    await world.ledger.do(Plan(world.draft(0), 1.0))
    for group in groups:
        known = [attempt async for attempt in world.ledger.attempts(world.scope)]
        verbs = [world.verb(step, known[-1 - n % len(known)], rest) for step, n, *rest in group]
        asked = (world.ledger.do(verb) for verb in verbs)
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert not isinstance(answer, KeyError | AttributeError | TypeError), answer
        await check(world)


async def check(world):
    attempts = [attempt async for attempt in world.ledger.attempts(world.scope)]
    for name in (f"{world.scope}:a", f"{world.scope}:b"):
        charged = [one for one in attempts if one.charge and name in names(one.charge)]
        found = await world.ledger.account(name) or Account(name)
        assert found == summed(name, charged)
    assert all(attempt.cost is None for attempt in attempts if attempt.charge is None)


def names(charge):
    return {limit.name for limit in charge.accounts}


def summed(name, attempts):
    """Add up what the ledger says of its attempts, in words of this test."""
    sent = {AttemptState.SUBMITTING, AttemptState.SUBMITTED, AttemptState.IN_DOUBT}
    flying = [attempt for attempt in attempts if attempt.state in sent]
    ended = [attempt for attempt in attempts if attempt.state is AttemptState.SETTLED]
    for attempt in ended:
        assert attempt.cost == cost(attempt), attempt
    return Account(
        name,
        len(flying),
        sum(attempt.charge.usd for attempt in flying),
        sum(attempt.charge.tokens for attempt in flying),
        sum(attempt.cost or 0 for attempt in ended),
        sum(tokens(attempt) for attempt in ended),
    )


def cost(attempt):
    if attempt.charge.price is None:
        return None
    if attempt.usage:
        return COST
    return attempt.charge.usd if is_lost(attempt) else 0


def tokens(attempt):
    if attempt.usage:
        return used_tokens(attempt.usage)
    return attempt.charge.tokens if is_lost(attempt) else 0


def is_lost(attempt):
    if attempt.outcome is Outcome.ABANDONED:
        return attempt.submitting_at is not None
    return attempt.outcome in {*ANSWERED, Outcome.SURPLUS}
