"""One harvest: whatever is due is done, whoever began it, and nothing is submitted."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from engine_bench import API_KEY, policy
from harvest_bench import (
    BenchAccounts,
    Runs,
    Told,
    counted,
    created,
    created_as,
    gone,
    harvest,
    planted,
    submitting,
)

from prefect_responses.attempt import Endpoint
from prefect_responses.decisions.policies import InDoubtMode
from prefect_responses.engine.harvest import OWN_DOUBT
from prefect_responses.engine.harvest_accounts import MOST_FAILURES, AccountBook
from prefect_responses.engine.harvest_report import Happened
from prefect_responses.engine.harvest_tally import Tally
from prefect_responses.errors import AnswerUnreadable, SubmissionInDoubt
from prefect_responses.identity import named_scope
from prefect_responses.statuses import AttemptState, Outcome

HOUR, DAY = 3600.0, 86_400.0


# --- what is due ----------------------------------------------------------------------------------


async def test_what_has_ended_is_kept_whoever_submitted_it(hourly):
    ours = await created(hourly, "one")
    other = await hourly.again()
    theirs = await created(other, "two")
    await hourly.clock.sleep(HOUR)
    late = await created(hourly, "three")
    told = Told()

    report = await harvest(hourly, told=told)

    assert counted(report) == {"read": 3, "completed": 2, "at_work": 1}
    assert sorted(told.responses) == sorted([("completed", ours.id), ("completed", theirs.id)])
    assert (await hourly.ledger.attempt(late.id)).state is AttemptState.SUBMITTED
    body = (await hourly.ledger.bodies([theirs.id]))[theirs.id].response
    assert b"two" in body
    assert not report.needs_a_person
    assert len(hourly.posts()) == 3


async def test_its_caller_finds_what_was_harvested(hourly):
    await created(hourly, "one")
    await hourly.clock.sleep(HOUR)
    await harvest(hourly)
    reads = hourly.reads()

    settled = await hourly.responses.respond(hourly.call("one", execution="e2"))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert (len(hourly.posts()), hourly.reads()) == (1, reads)


async def test_two_harvests_at_once_keep_each_end_once(hourly):
    for number in range(20):
        await created(hourly, f"text {number}")
    await hourly.clock.sleep(HOUR)
    other = await hourly.again()
    told, other_told = Told(), Told()

    reports = await asyncio.gather(harvest(hourly, told=told), harvest(other, told=other_told))

    assert sum(counted(report).get("completed", 0) for report in reports) == 20
    ids = [attempt_id for _, attempt_id in told.responses + other_told.responses]
    assert len(ids) == len(set(ids)) == 20


async def test_every_end_is_told_by_its_name(hourly):
    hourly.control.add_replies(
        {"match": "fails", "error": {"code": "server_error"}},
        {"match": "cut", "text": "So far", "incomplete": "max_output_tokens"},
    )
    failed = await created(hourly, "fails", model="script")
    cut = await created(hourly, "cut", model="script")
    await hourly.clock.sleep(HOUR)
    told = Told()

    report = await harvest(hourly, told=told)

    assert sorted(told.responses) == sorted([("failed", failed.id), ("incomplete", cut.id)])
    assert counted(report) == {"read": 2, "incomplete": 1, "failed": 1}


async def test_a_limit_reads_what_expires_soonest(hourly):
    long = await created(hourly, "stored")
    short = await created(hourly, "not stored", store=False)
    await hourly.clock.sleep(60)

    await harvest(hourly, limit=1)

    paths = [entry["path"] for entry in hourly.control.journal(method="GET")]
    assert paths == [f"/v1/responses/{short.response_id}"]
    assert long.expires_at > short.expires_at


# --- what cannot be read --------------------------------------------------------------------------


async def test_a_404_before_its_time_is_reported_and_buries_nothing(hourly):
    first = await created(hourly, "one")
    second = await created(hourly, "two")
    await hourly.clock.sleep(HOUR)
    gone(hourly)
    told = Told()

    report = await harvest(hourly, told=told)
    again = await harvest(hourly, told=told)

    assert (report.missing.count, again.missing.count) == (2, 2)
    assert {one.attempt_id for one in report.missing.named} == {first.id, second.id}
    assert report.needs_a_person
    [warning] = told.warnings
    assert (warning.count, warning.missing) == (2, 2)
    assert set(warning.response_ids) == {first.response_id, second.response_id}
    assert (await hourly.ledger.attempt(first.id)).state is AttemptState.SUBMITTED
    hourly.control.clear_faults()
    assert counted(await harvest(hourly))["completed"] == 2


async def test_a_404_after_its_time_is_settled_as_expired(hourly):
    attempt = await created(hourly, "one")
    gone(hourly)
    await hourly.clock.sleep(30 * DAY)
    told = Told()

    report = await harvest(hourly, told=told)

    assert counted(report) == {"read": 1, "expired": 1}
    assert told.responses == [("expired", attempt.id)]
    kept = await hourly.ledger.attempt(attempt.id)
    assert kept.outcome is Outcome.EXPIRED
    assert (kept.error["error"], kept.error["status"]) == ("RetentionEnded", 404)


async def test_an_account_that_is_refused_is_left_and_the_others_are_read(hourly):
    for number in range(8):
        await created_as(hourly, f"other {number}", credentials="block:responses/other")
    mine = await created(hourly, "mine")
    missing = await created_as(hourly, "nobody's", credentials="block:responses/missing")
    await hourly.clock.sleep(HOUR)
    own = f"^/v1/responses/(?!{mine.response_id})"
    match = {"method": "GET", "path_regex": own}
    hourly.control.add_fault("status", match=match, times=None, status=401)

    there = ("environment", "block:responses/other")
    report = await harvest(hourly, there=there, abreast=2)

    assert counted(report)["completed"] == 1
    assert (await hourly.ledger.attempt(mine.id)).outcome is Outcome.COMPLETED
    left = {account.credentials: account for account in report.left}
    assert left["block:responses/other"].unread == 8
    assert left["block:responses/missing"].unread == 1
    assert "HTTP 401" in left["block:responses/other"].reason
    assert API_KEY not in str(report.as_json())
    assert hourly.reads() <= 4
    assert report.needs_a_person
    assert (await hourly.ledger.attempt(missing.id)).state is AttemptState.SUBMITTED


async def test_an_endpoint_that_is_away_is_left_after_a_few_tries(hourly):
    nowhere = Endpoint("http://127.0.0.1:9/v1")
    for number in range(12):
        await planted(hourly, f"away-{number}", endpoint=nowhere)
    await created(hourly, "here")
    await hourly.clock.sleep(HOUR)

    report = await harvest(hourly, abreast=4)

    assert report.counts[Happened.READ] < 12
    assert (counted(report)["completed"], counted(report)["unread"]) == (1, 12)
    [left] = report.left
    assert (left.base_url, left.unread) == (nowhere.base_url, 12)


async def test_responses_that_cannot_be_read_by_themselves_keep_no_other_from_it(hourly):
    odd = [await created(hourly, f"odd {number}") for number in range(MOST_FAILURES + 1)]
    await created(hourly, "even")
    await hourly.clock.sleep(HOUR)
    ids = "|".join(attempt.response_id for attempt in odd)
    match = {"method": "GET", "path_regex": ids}
    hourly.control.add_fault("status", match=match, times=None, status=400)

    report = await harvest(hourly, abreast=1)

    assert counted(report) == {"read": 7, "completed": 1, "unread": 6}
    assert report.left == ()


async def test_an_account_is_left_after_failures_in_a_row_only(hourly):
    attempt = await created(hourly, "one")
    book = AccountBook(BenchAccounts(hourly, Tally(Told())))
    for _ in range(MOST_FAILURES - 1):
        book.failed(attempt, AnswerUnreadable())
    book.worked(attempt)
    for _ in range(MOST_FAILURES - 1):
        book.failed(attempt, AnswerUnreadable())
    assert await book.reader_for(attempt) is not None

    book.failed(attempt, AnswerUnreadable())

    assert await book.reader_for(attempt) is None


async def test_what_may_be_lost_unread_is_warned_of_once(hourly):
    attempt = await created(hourly, "one")
    other = await created(hourly, "two")
    hourly.control.add_fault("status", match={"method": "GET"}, times=None, status=401)
    told = Told()

    await hourly.clock.sleep(29 * DAY - 60)
    early = await harvest(hourly, told=told)
    await hourly.clock.sleep(120)
    report = await harvest(hourly, told=told)
    again = await harvest(hourly, told=told)

    assert early.expiring.count == 0
    assert (report.expiring.count, again.expiring.count) == (2, 2)
    assert (counted(report)["warned"], counted(again).get("warned")) == (2, None)
    [warning] = told.warnings
    assert (warning.count, warning.missing) == (2, 0)
    assert warning.soonest == min(attempt.expires_at, other.expires_at)
    assert (await hourly.ledger.attempt(attempt.id)).warned_at is not None


async def test_what_is_kept_for_minutes_is_warned_of_when_half_of_them_are_over(hourly):
    await created(hourly, "one", store=False)
    hourly.control.add_fault("status", match={"method": "GET"}, times=None, status=401)
    await hourly.clock.sleep(290)
    assert (await harvest(hourly)).expiring.count == 0
    await hourly.clock.sleep(20)
    assert (await harvest(hourly)).expiring.count == 1


async def test_a_warning_that_did_not_arrive_is_given_again(hourly):
    attempt = await created(hourly, "one")
    gone(hourly)
    await hourly.clock.sleep(60)
    told = Told(arrives=False)

    await harvest(hourly, told=told)
    assert (await hourly.ledger.attempt(attempt.id)).warned_at is None
    told.arrives = True
    await harvest(hourly, told=told)

    assert len(told.warnings) == 2
    assert (await hourly.ledger.attempt(attempt.id)).warned_at is not None


# --- doubts ---------------------------------------------------------------------------------------


async def test_what_a_dead_process_was_submitting_is_in_doubt_and_never_sent_again(hourly):
    dead = await hourly.again()
    attempt = await submitting(dead, "one")
    alive = await submitting(hourly, "two")
    dead.ledger._owner._unlock()
    told = Told()

    report = await harvest(hourly, told=told)
    again = await harvest(hourly, told=told)

    assert told.responses == [("in_doubt", attempt.id)]
    assert (report.in_doubt.count, again.in_doubt.count) == (1, 1)
    assert f"prefect-responses resolve {attempt.id}" in report.in_doubt.named[0].note
    assert report.needs_a_person
    assert (await hourly.ledger.attempt(alive.id)).state is AttemptState.SUBMITTING
    assert hourly.posts() == []


async def test_the_doubt_of_a_living_process_is_its_own_for_a_while(hourly):
    hourly.control.add_fault("accept_then_drop")
    call = hourly.call("one", policy=policy(InDoubtMode.FAIL))
    with pytest.raises(SubmissionInDoubt):
        await hourly.responses.create(call)

    assert (await harvest(hourly)).in_doubt.count == 0
    await hourly.clock.sleep(OWN_DOUBT)
    assert (await harvest(hourly)).in_doubt.count == 1


# --- the report -----------------------------------------------------------------------------------


async def test_the_report_shows_text_as_text(hourly):
    scope = named_scope("[boo](http://x)\x1b[31m\n# huge")
    await created_as(hourly, "one", scope=scope)
    gone(hourly)
    await hourly.clock.sleep(60)

    report = await harvest(hourly)

    assert "\x1b" not in "\n".join(report.as_lines())
    markdown = report.as_markdown()
    assert "[boo](http" not in markdown
    assert "\n# huge" not in markdown
    document = orjson.loads(orjson.dumps(report.as_json()))
    assert document["missing"]["count"] == 1
    assert document["needs_a_person"] is True


async def test_a_long_list_is_counted_and_named_in_part(hourly, monkeypatch):
    monkeypatch.setattr("prefect_responses.engine.harvest_report.SHOWN", 3)
    for number in range(5):
        await created(hourly, f"text {number}")
    gone(hourly)
    await hourly.clock.sleep(60)

    report = await harvest(hourly)

    assert (report.missing.count, len(report.missing.named)) == (5, 3)
    assert "and 2 more" in report.as_markdown()


async def test_an_empty_ledger_is_quiet(hourly):
    report = await harvest(hourly, Runs())

    assert (counted(report), report.is_quiet, report.needs_a_person) == ({}, True, False)
    assert "nothing was due" in report.headline()
