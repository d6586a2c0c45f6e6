"""How far events were followed survives, goes forward only, and goes when there is an answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from sqlalchemy import event

from prefect_responses.ledger import (
    BeginFollowing,
    Observe,
    Progress,
    RecordProgress,
    Resubmit,
    Settle,
    StopFollowing,
)
from prefect_responses.statuses import AttemptState, Outcome, ResponseStatus

NOTHING = Progress(None, None, None)


async def followed(ledger, stage, name="n"):
    claimed = await stage.claimed(name)
    return (await ledger.do(replace(stage.acceptance(claimed), streamed=True))).attempt


async def test_a_response_that_streams_has_room_for_progress(ledger, stage):
    attempt = await followed(ledger, stage)

    assert attempt.streamed is True
    assert await ledger.attempt(attempt.id) == attempt
    assert await ledger.progress(attempt.id) == NOTHING


@pytest.mark.parametrize("streamed", [None, False])
async def test_one_that_does_not_has_none(ledger, stage, streamed):
    claimed = await stage.claimed()

    verdict = await ledger.do(replace(stage.acceptance(claimed), streamed=streamed))

    assert verdict.attempt.streamed is streamed
    assert await ledger.progress(claimed.id) is None
    assert await ledger.progress("nothing") is None


async def test_nor_has_a_surplus_one(ledger, stage, draft):
    first = await stage.doubted()
    second = await stage.doubted((await ledger.do(Resubmit(first.id, draft(), 4.0))).attempt)
    await ledger.do(stage.acceptance(first))

    surplus = (await ledger.do(replace(stage.acceptance(second), streamed=True))).attempt

    assert (surplus.outcome, surplus.streamed) == (Outcome.SURPLUS, True)
    assert await ledger.progress(surplus.id) is None


async def test_progress_goes_forward_only(ledger, stage):
    attempt = await followed(ledger, stage)

    async def noted(cursor, snapshot, at):
        verdict = await ledger.do(RecordProgress(attempt.id, cursor, snapshot, at))
        assert (verdict.attempt, verdict.moved) == (attempt, True)
        return await ledger.progress(attempt.id)

    unnumbered = Progress(None, b"unnumbered", 4.0)
    assert await noted(None, b"unnumbered", 4.0) == unnumbered
    assert await noted(7, b"seven", 5.0) == Progress(7, b"seven", 5.0)
    assert await noted(7, b"again", 6.0) == Progress(7, b"seven", 5.0)
    assert await noted(6, b"late", 6.0) == Progress(7, b"seven", 5.0)
    assert await noted(None, b"late", 6.0) == Progress(7, b"seven", 5.0)
    assert await noted(2**40, b"far", 8.0) == Progress(2**40, b"far", 8.0)


async def test_of_a_group_the_furthest_progress_is_kept(ledger, stage):
    first, second = [await followed(ledger, stage, name) for name in ("n", "m")]
    cursors = (None, 3, None, 5, 4)

    await ledger.do_all(
        RecordProgress(attempt.id, cursor, f"{cursor}".encode(), at=6.0)
        for cursor in cursors
        for attempt in (first, second)
    )

    for attempt in (first, second):
        assert await ledger.progress(attempt.id) == Progress(5, b"5", 6.0)


async def test_progress_from_before_it_was_followed_is_not_kept(ledger, stage):
    attempt = await stage.accepted()

    together = [RecordProgress(attempt.id, 1, b"one", at=4.0), BeginFollowing(attempt.id, at=5.0)]
    assert [verdict.moved for verdict in await ledger.do_all(together)] == [True, True]

    assert await ledger.progress(attempt.id) == NOTHING


async def test_progress_does_not_rewrite_the_attempt(ledger, stage):
    attempt = await followed(ledger, stage)
    statements = []
    event.listen(
        ledger._writes.sync_engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )

    await ledger.do(RecordProgress(attempt.id, 1, b"one", at=4.0))

    assert [s.split()[1] for s in statements if s.startswith("UPDATE")] == ["streams"]


async def test_what_was_followed_of_a_response_without_an_answer_stays(ledger, stage):
    for outcome in (Outcome.FAILED, Outcome.CANCELLED, Outcome.EXPIRED):
        attempt = await followed(ledger, stage, outcome)
        progress = RecordProgress(attempt.id, 3, b"all there is", at=4.0)

        _, settled, late = await ledger.do_all(
            [progress, Settle(attempt.id, outcome, at=5.0), replace(progress, cursor=4)]
        )

        assert (late.attempt, late.moved) == (settled.attempt, False)
        assert await ledger.progress(attempt.id) == Progress(3, b"all there is", 4.0)


async def test_with_an_answer_the_progress_goes(ledger, stage):
    answers, befores = (Outcome.COMPLETED, Outcome.INCOMPLETE), ([], [Outcome.CANCELLED])
    for outcome, before in product(answers, befores):
        attempt = await followed(ledger, stage, f"{outcome} after {before}")
        ends = [Settle(attempt.id, end, at=5.0) for end in (*before, outcome)]
        progress = RecordProgress(attempt.id, 3, b"text", at=4.0)

        verdicts = await ledger.do_all([progress, *ends, replace(progress, cursor=9)])

        assert [verdict.moved for verdict in verdicts] == [True, *([True] * len(ends)), False]
        assert await ledger.progress(attempt.id) is None
        assert not (await ledger.do(ends[-1])).moved


async def test_a_response_may_be_followed_later_once(ledger, other, stage):
    accepted = await stage.accepted()

    first = await other.do(BeginFollowing(accepted.id, at=6.0))
    again = await ledger.do(BeginFollowing(accepted.id, at=7.0))

    assert (first.moved, again.moved) == (True, False)
    assert first.attempt.streamed is True
    assert again.attempt == first.attempt == await ledger.attempt(accepted.id)
    assert await ledger.progress(accepted.id) == NOTHING


async def test_also_where_following_had_stopped(ledger, stage):
    attempt = await followed(ledger, stage)

    await ledger.do(StopFollowing(attempt.id, at=4.0))
    await ledger.do(Settle(attempt.id, Outcome.COMPLETED, at=5.0))

    assert await ledger.progress(attempt.id) is None


@pytest.mark.parametrize("streams", [True, None])
async def test_following_stops_for_good_and_the_progress_stays(ledger, stage, streams):
    attempt = await (followed(ledger, stage) if streams else stage.accepted())
    await ledger.do(RecordProgress(attempt.id, 3, b"text", at=4.0))

    stopped, again, begun = await ledger.do_all(
        [
            StopFollowing(attempt.id, at=5.0),
            StopFollowing(attempt.id, at=6.0),
            BeginFollowing(attempt.id, at=7.0),
        ]
    )

    assert [stopped.moved, again.moved, begun.moved] == [True, False, False]
    assert begun.attempt.streamed is False
    assert begun.attempt == await ledger.attempt(attempt.id)
    kept = Progress(3, b"text", 4.0) if streams else None
    assert await ledger.progress(attempt.id) == kept


async def test_only_a_submitted_response_is_followed(ledger, stage):
    others = [
        await stage.planned("planned"),
        await stage.claimed("claimed"),
        await stage.doubted("doubted"),
        await stage.settled(attempt="settled"),
    ]
    for attempt in others:
        verbs = [BeginFollowing(attempt.id, at=6.0), StopFollowing(attempt.id, at=6.0)]

        verdicts = await ledger.do_all([*verbs, RecordProgress(attempt.id, 1, b"", at=6.0)])

        assert [verdict.attempt for verdict in verdicts] == [attempt] * 3
        assert not any(verdict.moved for verdict in verdicts)


async def test_progress_goes_in_one_group_with_anything(ledger, stage):
    attempt = await stage.accepted()

    verdicts = await ledger.do_all(
        [
            BeginFollowing(attempt.id, at=4.0),
            RecordProgress(attempt.id, 1, b"one", at=5.0),
            Observe(attempt.id, ResponseStatus.IN_PROGRESS, polls=1, at=6.0),
            RecordProgress(attempt.id, 2, b"two", at=7.0),
        ]
    )

    assert all(verdict.moved for verdict in verdicts)
    assert verdicts[-1].attempt.state is AttemptState.SUBMITTED
    assert await ledger.progress(attempt.id) == Progress(2, b"two", 7.0)


async def test_how_long_it_took_is_stored_and_not_forgotten_by_a_late_end(ledger, stage):
    cancelled = await stage.settled(Outcome.CANCELLED, latency=2.5)
    assert cancelled.latency == 2.5

    late = (await ledger.do(Settle(cancelled.id, Outcome.COMPLETED, at=9.0))).attempt

    assert late.latency == 2.5
    assert await ledger.attempt(late.id) == late
