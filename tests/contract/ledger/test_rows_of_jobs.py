"""How the rows of a job stand, what came of them, and what there is of each scope."""

from __future__ import annotations

import secrets

import pytest

from prefect_responses.enrichment.rows import LONGEST_KEY, row_key
from prefect_responses.ledger import (
    Classify,
    Plan,
    PlanNext,
    RecordAccepted,
    Reject,
    Resubmit,
    RowStanding,
    ScopeSummary,
    Settle,
    WantCancel,
)
from prefect_responses.ledger.reads import PAGE
from prefect_responses.statuses import AttemptState, CancelReason, Outcome


async def one_standing(ledger, name="n"):
    found = await ledger.row_standings("s", [name])
    spoken = (await ledger.standing("s", [name]))[name]
    standing = found.pop(name)
    assert not found
    assert (standing.attempt_id, standing.state) == (spoken.id, spoken.state)
    assert (standing.is_answered, standing.is_settled) == (spoken.is_answered, spoken.is_settled)
    return standing


async def test_the_longest_key_fits_into_every_index(ledger, stage):
    # What repeats is stored shortened, and would prove nothing.
    key = row_key([secrets.token_hex(LONGEST_KEY // 2)])
    await stage.accepted(await stage.planned(key), "resp_1")

    assert (await one_standing(ledger, key)).response_id == "resp_1"


async def test_how_a_row_stands(ledger, stage):
    planned = await stage.planned("n", run=(3, 1))
    assert await one_standing(ledger) == RowStanding(
        "n", planned.id, "sha256:1", AttemptState.PLANNED, run=(3, 1)
    )

    accepted = await stage.accepted(planned, "resp_1")
    error = {"error": "ResponseFailed", "code": "server_error"}
    await ledger.do(Settle(accepted.id, Outcome.FAILED, at=5.0, error=error))
    await ledger.do(Classify(accepted.id, "failed", at=6.0))
    await ledger.do(Reject(accepted.id, "replay:failed", at=6.0))

    assert await one_standing(ledger) == RowStanding(
        "n",
        planned.id,
        "sha256:1",
        AttemptState.SETTLED,
        Outcome.FAILED,
        rejected="replay:failed",
        row_class="failed",
        run=(3, 1),
        response_id="resp_1",
        error_code="server_error",
        attempts=1,
    )


async def test_ended_attempts_at_the_same_digest_are_counted(ledger, stage, draft):
    async def next_one(attempt, **facts):
        following = PlanNext(attempt.id, draft(**facts), at=6.0)
        return (await ledger.do(following)).attempt

    first = await stage.settled(Outcome.FAILED)
    second = await stage.settled(Outcome.FAILED, await next_one(first))
    assert (await one_standing(ledger)).attempts == 2
    abandoned = await stage.settled(Outcome.ABANDONED, await next_one(second))
    assert (await one_standing(ledger)).attempts == 2
    changed = await next_one(abandoned, digest="sha256:2")
    assert (await one_standing(ledger)).attempts == 0
    last = await stage.settled(Outcome.COMPLETED, changed)
    assert (await one_standing(ledger)).attempts == 1
    await ledger.do(RecordAccepted(abandoned.id, "resp_late", None, None, None, at=9.0))

    standing = await one_standing(ledger)

    assert (standing.attempt_id, standing.error_code) == (last.id, None)


async def test_an_accepted_one_speaks_for_a_later_one(ledger, stage, draft):
    first = await stage.doubted()
    second = (await ledger.do(Resubmit(first.id, draft(), at=4.0))).attempt
    assert (await one_standing(ledger)).attempt_id == second.id
    await ledger.do(stage.acceptance(first))

    assert (await one_standing(ledger)).attempt_id == first.id


async def test_standings_are_of_ordinal_0_of_one_scope_and_of_known_names(ledger, stage):
    planned = await stage.planned("n")
    await stage.planned("n", scope="t")
    await stage.planned("n", ordinal=1)
    await stage.planned("m", ordinal=1)

    found = await ledger.row_standings("s", ["n", "m", "never"])

    assert [one.attempt_id for one in found.values()] == [planned.id]
    assert await ledger.row_standings("s", []) == {}


async def test_names_and_standings_come_in_pages(ledger, draft):
    wanted = [f"row-{i:04}" for i in range(PAGE + 3)]
    await ledger.do_all(Plan(draft(name), at=1.0) for name in reversed(wanted))
    await ledger.do(Plan(draft("row-0000", ordinal=1), at=1.0))
    await ledger.do(Plan(draft("elsewhere", scope="t"), at=1.0))

    pages = [page async for page in ledger.row_names("s")]

    assert [len(page) for page in pages] == [PAGE, 3]
    assert [name for page in pages for name in page] == wanted
    assert sorted(await ledger.row_standings("s", wanted)) == wanted
    assert [page async for page in ledger.row_names("nowhere")] == []


async def test_the_names_of_attempts_that_ended_in_a_way(ledger, stage):
    for name, outcome in (("b", Outcome.ABANDONED), ("a", Outcome.FAILED)):
        await stage.settled(outcome, await stage.planned(name))
    await stage.planned("c")

    given_up = await ledger.names_ended("s", {Outcome.ABANDONED, Outcome.SURPLUS})

    assert given_up == [("b", Outcome.ABANDONED)]
    assert await ledger.names_ended("nowhere", {Outcome.ABANDONED}) == []


# --- classes --------------------------------------------------------------------------------------


async def test_a_settled_row_is_classified(ledger, stage):
    attempt = await stage.settled(Outcome.COMPLETED)

    first = await ledger.do(Classify(attempt.id, "schema", at=6.0))
    again = await ledger.do(Classify(attempt.id, "schema", at=7.0))
    other = await ledger.do(Classify(attempt.id, "refusal", at=8.0))

    assert [one.moved for one in (first, again, other)] == [True, False, True]
    assert (await ledger.attempt(attempt.id)).row_class == "refusal"
    await stage.settled(Outcome.COMPLETED, "m")
    assert await ledger.row_classes("s") == {"refusal": 1}


async def test_one_that_has_not_ended_has_no_class(ledger, stage):
    attempt = await stage.accepted()

    verdict = await ledger.do(Classify(attempt.id, "schema", at=6.0))

    assert (verdict.moved, verdict.attempt.row_class) == (False, None)


async def test_a_class_goes_with_its_outcome(ledger, stage):
    abandoned = await stage.abandoned("a")
    await ledger.do(Classify(abandoned.id, "abandoned", at=6.0))
    cancelled = await stage.settled(Outcome.CANCELLED, "b")
    await ledger.do(Classify(cancelled.id, "cancelled", at=6.0))

    late = (await ledger.do(stage.acceptance(abandoned))).attempt
    completed = (await ledger.do(Settle(cancelled.id, Outcome.COMPLETED, at=7.0))).attempt

    assert (late.row_class, completed.row_class) == (None, None)
    assert await ledger.row_classes("s") == {}


async def test_a_replay_is_kept_also_when_it_is_submitted_again(ledger, stage, draft):
    rejected = await stage.settled(Outcome.COMPLETED)
    await ledger.do(Reject(rejected.id, "replay:schema", at=6.0))
    repair = draft(request=b'{"input":"repair"}')
    replayed = (await ledger.do(PlanNext(rejected.id, repair, at=6.0, replay="repair"))).attempt
    assert (replayed.replay, replayed.digest) == ("repair", rejected.digest)
    doubted = await stage.doubted(replayed)

    again = (await ledger.do(Resubmit(doubted.id, repair, at=7.0))).attempt

    assert (again.replay, (await one_standing(ledger)).replay) == ("repair", "repair")
    assert (await ledger.bodies([again.id]))[again.id].request == repair.request


# --- deadlines ------------------------------------------------------------------------------------


async def test_what_is_past_its_deadline_is_overdue_until_its_cancel_is_wanted(ledger, stage):
    async def submitted(name, deadline):
        return await stage.accepted(await stage.planned(name, deadline_at=deadline))

    late, later = await submitted("late", 20.0), await submitted("later", 10.0)
    await submitted("not yet", 21.0)
    await submitted("never", None)
    await stage.settled(Outcome.COMPLETED, await stage.planned("ended", deadline_at=1.0))
    await stage.planned("planned", deadline_at=1.0)

    assert await ledger.overdue(20.0) == [later, late]
    assert await ledger.overdue(20.0, limit=1) == [later]
    await ledger.do(WantCancel(later.id, CancelReason.DEADLINE, at=20.0))
    await ledger.do(WantCancel(late.id, CancelReason.ASKED, at=20.0))
    assert await ledger.overdue(20.0) == []


# --- scopes ---------------------------------------------------------------------------------------


async def test_what_there_is_of_each_scope(ledger, stage):
    await stage.settled(Outcome.COMPLETED, response=b"12345")
    await stage.planned("m")
    await stage.planned("n", scope="t", request=b"123")

    assert await ledger.scopes(9) == [
        ScopeSummary("s", attempts=2, unsettled=1, last_at=5.0, bytes=2 * 17 + 5),
        ScopeSummary("t", attempts=1, unsettled=1, last_at=1.0, bytes=3),
    ]
    assert len(await ledger.scopes(1)) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, None),
        ({}, None),
        ({"error": "OwnerDied"}, "OwnerDied"),
        ({"error": "ResponseFailed", "code": "rate_limit"}, "rate_limit"),
    ],
)
async def test_the_code_of_an_error_or_its_name(ledger, stage, error, code):
    await stage.settled(Outcome.FAILED, error=error)

    assert (await one_standing(ledger)).error_code == code
