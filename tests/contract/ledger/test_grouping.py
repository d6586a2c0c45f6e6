"""Any verbs in groups come to the same as the same verbs one by one."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_responses.attempt import Draft, Endpoint, Link
from prefect_responses.charges import AccountLimit, Charge
from prefect_responses.clock import SystemClock
from prefect_responses.errors import ResponsesError
from prefect_responses.ledger import (
    Attach,
    BeginFollowing,
    Claim,
    Classify,
    Deliver,
    DropClaim,
    Ledger,
    MarkInDoubt,
    MarkOrphaned,
    MarkWarned,
    Observe,
    Plan,
    PlanNext,
    RecordAccepted,
    RecordCancel,
    RecordProgress,
    Reject,
    Release,
    ResolveDoubt,
    Resubmit,
    SetDeadline,
    Settle,
    StopFollowing,
    Take,
    Verb,
    Verdict,
    WantCancel,
)
from prefect_responses.statuses import CancelAnswer, CancelReason, Outcome, ResponseStatus

SCOPES = count()
ENDPOINT = Endpoint("https://api.example.com/v1")

names = st.sampled_from(["a", "b"])
digests = st.sampled_from(["sha256:1", "sha256:2"])
ordinals = st.sampled_from([None, 0, 1])
response_ids = st.sampled_from(["resp_1", "resp_2", "resp_3"])
statuses = st.sampled_from(ResponseStatus)
runs = st.sampled_from([(Link("flow", 1), Link("task", 1)), (Link("flow", 1), Link("task", 2))])
claim_ids = st.integers(0, 5).map("claim-{}".format)
#: Which of the attempts that exist when the group begins.
picks = st.integers(0, 30)

#: A verb but for the scope and the IDs, which differ between the two ledgers.
Recipe = tuple[type, dict[str, object]]


def recipe(kind: type, **facts: st.SearchStrategy[object]) -> st.SearchStrategy[Recipe]:
    return st.tuples(st.just(kind), st.fixed_dictionaries(facts))


times = st.none() | st.integers(0, 9).map(float)
drafts = st.fixed_dictionaries(
    {
        "name": names,
        "digest": digests,
        "ordinal": ordinals,
        "flow_run_id": st.sampled_from([None, "run-1", "run-2"]),
        "deadline_at": times,
    }
)
acceptances = recipe(
    RecordAccepted,
    pick=picks,
    response_id=response_ids,
    remote_status=statuses,
    streamed=st.sampled_from([None, True, False]),
)
progresses = recipe(
    RecordProgress, pick=picks, cursor=st.none() | st.integers(0, 5), snapshot=st.binary()
)
recipes = st.one_of(
    recipe(Take, draft=drafts, chain=runs, claim_id=claim_ids),
    recipe(Plan, draft=drafts),
    recipe(PlanNext, pick=picks, draft=drafts, superseding=st.booleans()),
    recipe(PlanNext, pick=picks, draft=drafts, replay=st.just("again")),
    recipe(Attach, draft=drafts, response_id=response_ids, remote_status=statuses),
    recipe(DropClaim, claim_id=claim_ids),
    recipe(Claim, pick=picks, client_request_id=st.sampled_from(["request-1", "request-2"])),
    recipe(
        Claim,
        pick=picks,
        client_request_id=st.sampled_from(["request-1", "request-2"]),
        charge=st.sampled_from([100, 150]),
    ),
    acceptances,
    acceptances,
    progresses,
    progresses,
    recipe(BeginFollowing, pick=picks),
    recipe(StopFollowing, pick=picks),
    recipe(SetDeadline, pick=picks, deadline_at=times.map(lambda time: time or 5.0)),
    recipe(WantCancel, pick=picks, reason=st.sampled_from(CancelReason)),
    recipe(RecordCancel, pick=picks, answer=st.sampled_from(CancelAnswer), watch_until=times),
    recipe(MarkOrphaned, pick=picks),
    recipe(MarkWarned, pick=picks),
    recipe(Release, pick=picks, fence=st.integers(1, 2)),
    recipe(MarkInDoubt, pick=picks, fence=st.integers(1, 2)),
    recipe(Resubmit, pick=picks, draft=drafts),
    recipe(ResolveDoubt, pick=picks, response_id=st.none() | response_ids),
    recipe(Settle, pick=picks, outcome=st.sampled_from(Outcome), response=st.none() | st.binary()),
    recipe(Observe, pick=picks, remote_status=statuses, polls=st.integers(0, 9)),
    recipe(Deliver, pick=picks),
    recipe(Reject, pick=picks, reason=st.just("no good")),
    recipe(Classify, pick=picks, row_class=st.sampled_from(["schema", "refusal"])),
)


class Bench:
    """One ledger, one scope of it, and the attempts in it by what is the same in both ledgers."""

    def __init__(self, ledger: Ledger, scope: str) -> None:
        self.ledger = ledger
        self.scope = scope
        self._times = count()

    async def attempts(self):
        listed = [attempt async for attempt in self.ledger.attempts(self.scope)]
        return sorted(listed, key=lambda a: (a.name, a.ordinal, a.number))

    def verb(self, recipe: Recipe, ids: list[str]) -> Verb:
        kind, facts = recipe[0], dict(recipe[1])
        if "draft" in facts:
            facts["draft"] = Draft(
                scope=self.scope,
                endpoint=replace(ENDPOINT, base_url=f"{ENDPOINT.base_url}/{self.scope}"),
                credentials="environment",
                request=b"{}",
                **facts["draft"],
            )
        if "pick" in facts:
            pick = facts.pop("pick")
            facts["attempt_id"] = ids[pick % len(ids)] if ids else "nothing"
        if "claim_id" in facts:
            facts["claim_id"] = f"{self.scope}-{facts['claim_id']}"
        if "charge" in facts:
            account = AccountLimit(self.scope, max_usd=300)
            facts["charge"] = Charge((account,), usd=facts["charge"], tokens=7)
        facts |= {
            Take: {"execution": "execution"},
            MarkInDoubt: {"owner_id": self.ledger.owner_id, "error": {"why": "lost"}},
            Release: {"not_before": 9.0, "error": None},
            RecordAccepted: {"server_request_id": None, "expires_at": None},
        }.get(kind, {})
        return kind(**facts, at=float(next(self._times)))

    async def picture(self):
        attempts = await self.attempts()
        bodies = await self.ledger.bodies([attempt.id for attempt in attempts])
        account = await self.ledger.account(self.scope)
        return account, [
            (self.facts(one), asdict(bodies[one.id]), await self.ledger.progress(one.id))
            for one in attempts
        ]

    def facts(self, attempt):
        own = {"id": "", "scope": "", "endpoint": ENDPOINT}
        owner_id = attempt.owner_id and str(attempt.owner_id == self.ledger.owner_id)
        return replace(attempt, **own, owner_id=owner_id)

    def answer(self, answer):
        if isinstance(answer, Verdict):
            return (self.facts(answer.attempt), answer.moved)
        assert isinstance(answer, ResponsesError), answer
        return type(answer)


async def grouped(bench: Bench, group: list[Recipe]):
    ids = [attempt.id for attempt in await bench.attempts()]
    callers = [bench.ledger._writer.ask(bench.verb(recipe, ids)) for recipe in group]
    answers = await asyncio.gather(*callers, return_exceptions=True)
    return [bench.answer(answer) for answer in answers]


async def one_by_one(bench: Bench, group: list[Recipe]):
    ids = [attempt.id for attempt in await bench.attempts()]
    answers = []
    for recipe in group:
        caller = bench.ledger._writer.ask(bench.verb(recipe, ids))
        answers += await asyncio.gather(caller, return_exceptions=True)
    return [bench.answer(answer) for answer in answers]


@pytest.fixture
async def twin(tmp_path):
    """Another ledger, of which no group is ever larger than one verb."""
    ledger = await Ledger.open(f"sqlite:///{tmp_path}/twin.db", clock=SystemClock())
    yield ledger
    await ledger.aclose()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(groups=st.lists(st.lists(recipes, min_size=1, max_size=12), min_size=1, max_size=6))
async def test_grouped_is_the_same_as_one_by_one(ledger, twin, groups):
    scope = f"scope-{next(SCOPES)}"
    together, apart = Bench(ledger, scope), Bench(twin, scope)

    for group in groups:
        assert await grouped(together, group) == await one_by_one(apart, group)

    assert await together.picture() == await apart.picture()
