"""What is deleted when a ledger is pruned, and what never is."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import text

from prefect_responses.clock import SystemClock
from prefect_responses.ledger import (
    BeginFollowing,
    Bodies,
    Ledger,
    PassProposal,
    PlanNext,
    PruneChoice,
    Pruned,
    RecordCancel,
    RecordProgress,
    ResolveDoubt,
    Settle,
    Take,
    WantCancel,
    pruning,
)
from prefect_responses.statuses import CancelAnswer, CancelReason, Outcome

#: `stage` settles at 5.0.
OLD = PruneChoice(before=6.0)
#: Later than anything, as a clock that is wrong or `--days -1` would have it.
ALL = PruneChoice(before=time.time() + 10**6)


async def pruned(ledger, choice=OLD):
    """Prune, and see that what was said before came to pass."""
    counted = await ledger.count_prunable(choice)
    assert await ledger.prune(choice) == counted
    assert await ledger.count_prunable(choice) == Pruned()
    return counted


async def names(ledger):
    return sorted([attempt.name async for attempt in ledger.attempts()])


async def test_what_has_ended_long_ago_goes_with_all_that_is_its(ledger, stage, draft):
    taken = await ledger.do(Take(draft(), "e", (), "claim-1", at=1.0))
    attempt = await stage.accepted(taken.attempt)
    await ledger.do(BeginFollowing(attempt.id, at=3.0))
    await ledger.do(RecordProgress(attempt.id, 1, b"text", at=3.0))
    await ledger.do(Settle(attempt.id, Outcome.FAILED, at=5.0, response=b"12345"))
    await ledger.do(Take(draft("m"), "e", (), "claim-2", at=1.0))

    counted = await pruned(ledger)

    assert counted == Pruned(attempts=1, bodies=1, bytes=17 + 5, claims=1)
    assert await names(ledger) == ["m"]
    assert await ledger.progress(attempt.id) is None
    assert await ledger.bodies([attempt.id]) == {}
    # A repetition of the call is paid for: nobody knows of it any more.
    assert (await ledger.do(Take(draft(), "e", (), "claim-1", at=9.0))).moved
    assert not (await ledger.do(Take(draft("m"), "e", (), "claim-2", at=9.0))).moved


async def test_what_is_needed_stays(ledger, stage, draft):
    await stage.planned("planned")
    await stage.claimed("claimed")
    await stage.accepted("submitted")
    await stage.doubted("in doubt")
    await ledger.do(Settle((await stage.accepted("young")).id, Outcome.FAILED, at=6.0))
    surplus = await stage.accepted("owes a cancel")
    await ledger.do(stage.acceptance(surplus))
    await ledger.do(Settle(surplus.id, Outcome.FAILED, at=5.0))
    watched = await stage.accepted("watched")
    await ledger.do(WantCancel(watched.id, CancelReason.ASKED, at=4.0))
    await ledger.do(RecordCancel(watched.id, CancelAnswer.TAKEN, watch_until=6.0, at=4.0))
    await ledger.do(Settle(watched.id, Outcome.CANCELLED, at=5.0))
    followed = await stage.settled(Outcome.FAILED, "followed")
    await ledger.do(PlanNext(followed.id, draft(), at=6.0))
    await stage.settled(Outcome.FAILED, await stage.planned("row", scope="job:j"))
    before = await names(ledger)
    assert len(before) == 11

    for choice in (OLD, PruneChoice(6.0, bodies_only=True)):
        assert await pruned(ledger, choice) == Pruned()

    assert await names(ledger) == before


async def test_a_surplus_one_goes_when_its_cancel_was_answered(ledger, stage):
    attempt = await stage.accepted()
    surplus = (await ledger.do(stage.acceptance(attempt))).attempt
    await ledger.do(Settle(attempt.id, Outcome.FAILED, at=5.0))
    await ledger.do(RecordCancel(surplus.id, CancelAnswer.REFUSED, watch_until=None, at=5.0))

    assert (await pruned(ledger)).attempts == 2


async def test_the_rows_of_a_job_go_when_it_is_named(ledger, stage):
    for scope in ("job:j", "job:k", "s"):
        await stage.settled(Outcome.FAILED, await stage.planned(f"in {scope}", scope=scope))

    assert (await pruned(ledger, PruneChoice(6.0, scopes=("job:j",)))).attempts == 1
    assert await names(ledger) == ["in job:k", "in s"]
    assert (await pruned(ledger)).attempts == 1
    assert await names(ledger) == ["in job:k"]


async def test_bodies_alone(ledger, stage):
    kept = await stage.settled(Outcome.COMPLETED, response=b"12345")
    young = await stage.accepted("young")

    counted = await pruned(ledger, PruneChoice(6.0, bodies_only=True))

    assert counted == Pruned(bodies=1, bytes=17 + 5)
    assert await ledger.attempt(kept.id) == kept
    left = await ledger.bodies([kept.id, young.id])
    assert (left[kept.id], left[young.id].request) == (Bodies(None, None), b'{"input":"hello"}')
    # An answer that comes late all the same has its place.
    abandoned = await stage.abandoned("abandoned")
    await ledger.prune(PruneChoice(6.0, bodies_only=True))
    late = (await ledger.do(stage.acceptance(abandoned))).attempt
    await ledger.do(Settle(late.id, Outcome.COMPLETED, at=9.0, response=b"late"))
    assert (await ledger.bodies([late.id]))[late.id].response == b"late"


@pytest.mark.parametrize("bodies_only", [False, True])
async def test_it_goes_in_batches(ledger, stage, monkeypatch, bodies_only):
    monkeypatch.setattr(pruning, "BATCH", 2)
    for i in range(5):
        await stage.settled(Outcome.FAILED, f"n{i}")

    counted = await pruned(ledger, PruneChoice(6.0, bodies_only=bodies_only))

    assert (counted.attempts, counted.bodies) == (0 if bodies_only else 5, 5)


async def test_what_was_given_up_within_a_day_stays_for_the_answer_that_may_still_come(
    ledger, stage
):
    attempt = await stage.doubted()
    await ledger.do(ResolveDoubt(attempt.id, None, at=time.time()))
    await stage.settled(Outcome.FAILED, "old")

    assert (await pruned(ledger, ALL)).attempts == 1

    assert (await ledger.do(stage.acceptance(attempt))).attempt.response_id is not None


# --- owners ---------------------------------------------------------------------------------------


async def set_owners(ledger, change, *ids):
    """Change the rows of other owners, or of these."""
    which = f"id IN {ids!r}".replace(",)", ")") if ids else f"id <> '{ledger.owner_id}'"
    async with ledger._writes.begin() as connection:
        await connection.execute(text(f"UPDATE owners SET {change} WHERE {which}"))


async def owner_ids(ledger):
    async with ledger._writes.begin() as connection:
        return {row[0] for row in await connection.execute(text("SELECT id FROM owners"))}


async def test_owners_that_ended_and_hold_nothing_go(url, ledger, stage):
    settled = await stage.settled(Outcome.FAILED)
    holding = await Ledger.open(url, clock=SystemClock())
    doubted = await type(stage)(holding, stage.draft).doubted("m")
    await holding.aclose()
    gone = await Ledger.open(url, clock=SystemClock())
    await gone.aclose()
    await set_owners(ledger, "heartbeat_at = 1")

    assert await pruned(ledger) == Pruned(attempts=1, bodies=1, bytes=17, owners=1)

    assert await owner_ids(ledger) == {ledger.owner_id, doubted.owner_id}
    assert settled.owner_id == ledger.owner_id
    assert not await ledger.owner_is_alive(gone.owner_id)


async def test_a_living_owner_stays_whatever_is_asked(ledger, other):
    """It may be about to send: whoever took it for dead would send beside it."""
    # As on a machine that was busy: within its lease, and a day old by a clock that was set.
    await set_owners(ledger, "lease_seconds = 200000, heartbeat_at = heartbeat_at - 100000")

    assert await pruned(ledger, ALL) == Pruned()

    for one in (ledger, other):
        assert await ledger.owner_is_alive(one.owner_id)


async def test_an_owner_that_was_killed_goes_when_many_of_its_leases_are_over(ledger, other):
    await set_owners(ledger, "heartbeat_at = heartbeat_at - 100000, lease_seconds = 60000")
    assert await pruned(ledger, ALL) == Pruned()

    await set_owners(ledger, "lease_seconds = 60")

    assert await pruned(ledger, ALL) == Pruned(owners=1)
    assert await owner_ids(ledger) == {ledger.owner_id}
    assert not await ledger.owner_is_alive(other.owner_id)


async def test_who_holds_an_open_pass_or_a_shard_of_it_stays(url, ledger, other):
    """A killed one is named there: others read of it whose shard they take over."""
    proposal = PassProposal("{}", "digest", "{}", rows=1, shard_rows=1)
    helper = await Ledger.open(url, clock=SystemClock())
    found = await other.jobs.open_pass("j", proposal, at=1.0)
    shard = await helper.jobs.take_shard(found.pass_)
    await helper.aclose()
    await set_owners(ledger, "heartbeat_at = 1, retired_at = 1")

    assert await pruned(ledger, ALL) == Pruned()
    await other.jobs.leave_pass(found.pass_)
    assert await pruned(ledger, ALL) == Pruned(owners=1)
    assert await owner_ids(ledger) == {ledger.owner_id, helper.owner_id}

    await ledger.jobs.open_pass("j", replace(proposal, definition="2"), at=2.0)
    assert await pruned(ledger, ALL) == Pruned(owners=1)
    assert shard.owner_id == helper.owner_id
