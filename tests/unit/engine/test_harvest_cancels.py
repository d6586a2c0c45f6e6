"""What a harvest cancels: owed, of flow runs that ended, past their deadline."""

from __future__ import annotations

import pytest
from harvest_bench import (
    RUN,
    NoRuns,
    Runs,
    Told,
    counted,
    created,
    created_as,
    harvest,
    planted,
)

from prefect_responses.attempt import Endpoint
from prefect_responses.engine.harvest_doors import Ended
from prefect_responses.engine.harvest_report import Happened
from prefect_responses.identity import flow_run_scope
from prefect_responses.ledger import (
    Plan,
    RecordAccepted,
    SetDeadline,
    Take,
    WantCancel,
)
from prefect_responses.statuses import AttemptState, CancelReason, Outcome

HOUR, DAY = 3600.0, 86_400.0


# --- cancels that are owed ------------------------------------------------------------------------


async def test_owed_cancels_are_delivered(hourly):
    attempt = await created(hourly, "one")
    await hourly.ledger.do(WantCancel(attempt.id, CancelReason.ASKED, hourly.clock.now()))
    told = Told()

    report = await harvest(hourly, told=told)

    assert counted(report) == {"read": 2, "cancelled": 1, "cancels_taken": 1}
    assert hourly.cancels() == [f"/v1/responses/{attempt.response_id}/cancel"]
    assert told.responses == [("cancelled", attempt.id)]
    await harvest(hourly)
    assert len(hourly.cancels()) == 1


async def test_a_surplus_response_is_cancelled_and_stays_surplus(hourly):
    attempt = await created(hourly, "one")
    response_id = (await created(hourly, "another", key="k")).response_id
    beside = RecordAccepted(attempt.id, response_id, None, None, None, hourly.clock.now())
    surplus = (await hourly.ledger.do(beside)).attempt
    assert surplus.outcome is Outcome.SURPLUS

    report = await harvest(hourly)

    assert counted(report)["cancels_taken"] == 1
    assert hourly.cancels() == [f"/v1/responses/{response_id}/cancel"]
    assert (await hourly.ledger.attempt(surplus.id)).outcome is Outcome.SURPLUS


async def test_a_cancel_that_comes_too_late_keeps_the_answer(hourly):
    attempt = await created(hourly, "one")
    await hourly.ledger.do(WantCancel(attempt.id, CancelReason.ASKED, hourly.clock.now()))
    await hourly.clock.sleep(HOUR)

    await harvest(hourly)

    assert (await hourly.ledger.attempt(attempt.id)).outcome is Outcome.COMPLETED
    assert hourly.cancels() == []


async def test_undeliverable_cancels_stay_owed_and_hide_no_other(hourly, monkeypatch):
    monkeypatch.setattr("prefect_responses.engine.harvest_cancels.PAGE", 3)
    now = hourly.clock.now()
    for number in range(7):
        away = Endpoint("http://127.0.0.1:9/v1")
        attempt_id = await planted(hourly, f"away-{number}", endpoint=away)
        await hourly.ledger.do(WantCancel(attempt_id, CancelReason.ASKED, now))
    here = await created(hourly, "here")
    await hourly.ledger.do(WantCancel(here.id, CancelReason.ASKED, now + 1))

    report = await harvest(hourly, abreast=3)

    assert counted(report)["cancels_owed"] == 7
    assert counted(report)["cancelled"] == 1
    assert len(await hourly.ledger.owed_cancels()) == 7
    assert len(report.left) == 1


async def test_a_late_completion_is_kept_while_it_is_watched(hourly):
    hourly.control.add_fault("cancel_then_completes", after_cancel=60)
    attempt = await created(hourly, "one")
    await hourly.ledger.do(WantCancel(attempt.id, CancelReason.ASKED, hourly.clock.now()))
    told = Told()
    await harvest(hourly, told=told)
    assert (await hourly.ledger.attempt(attempt.id)).outcome is Outcome.CANCELLED

    await hourly.clock.sleep(61)
    report = await harvest(hourly, told=told)

    assert counted(report) == {"read": 1, "completed": 1, "late": 1}
    assert told.responses == [("cancelled", attempt.id), ("completed", attempt.id)]
    assert (await hourly.ledger.attempt(attempt.id)).outcome is Outcome.COMPLETED


# --- flow runs ------------------------------------------------------------------------------------


async def test_what_a_cancelled_flow_run_left_is_cancelled(hourly):
    of_scope = await created(hourly, "in its scope")
    of_subflow = await created_as(hourly, "job", scope="job:big", flow_run_id=RUN)
    other = await created_as(hourly, "other", scope=flow_run_scope("2"), flow_run_id="2")
    unsent = (await hourly.ledger.do(Plan(hourly.call("unsent").draft, hourly.clock.now()))).attempt
    runs = Runs(Ended(cancelled=frozenset({RUN})))

    report = await harvest(hourly, runs)

    assert runs.asked == [{RUN, "2"}]
    assert counted(report)["cancelled"] == 2
    assert counted(report)["given_up"] == 1
    ended = [await hourly.ledger.attempt(one.id) for one in (of_scope, of_subflow, unsent, other)]
    assert [one.outcome for one in ended] == ["cancelled", "cancelled", "abandoned", None]
    assert {one.cancel_reason for one in ended[:3]} == {CancelReason.FLOW_RUN_CANCELLED}
    assert len(hourly.cancels()) == 2


async def test_what_no_call_of_a_completed_flow_run_asked_for_is_named_once(hourly):
    orphan = await created(hourly, "orphan", execution="state-1:host:1")
    asked = await created(hourly, "asked for", execution="state-1:host:1")
    again = hourly.call("asked for", execution="state-2:host:2")
    take = Take(again.draft, again.origin.execution, (), "claim", hourly.clock.now())
    await hourly.ledger.do(take)
    unsent = (await hourly.ledger.do(Plan(hourly.call("unsent").draft, 0.0))).attempt
    runs, told = Runs(Ended(completed={RUN: "state-2"})), Told()

    report = await harvest(hourly, runs, told=told)
    second = await harvest(hourly, runs, told=told)

    assert [one.attempt_id for one in report.orphaned.named] == [orphan.id]
    assert told.responses == [("orphaned", orphan.id)]
    assert second.orphaned.count == 0
    assert hourly.cancels() == []
    assert not report.needs_a_person

    third = await harvest(hourly, runs, told=told, cancel_orphans=True)

    assert counted(third)["cancelled"] == 1
    assert (await hourly.ledger.attempt(orphan.id)).cancel_reason is CancelReason.ORPHANED
    assert (await hourly.ledger.attempt(asked.id)).state is AttemptState.SUBMITTED
    assert (await hourly.ledger.attempt(unsent.id)).state is AttemptState.PLANNED


async def test_flow_runs_that_may_go_on_are_left_alone(hourly):
    attempt = await created(hourly, "one")

    runs = Runs()

    report = await harvest(hourly, runs)

    assert runs.asked == [{RUN}]
    assert counted(report) == {"read": 1, "at_work": 1}
    assert (await hourly.ledger.attempt(attempt.id)).cancel_wanted_at is None


@pytest.mark.parametrize("runs", [None, NoRuns()])
async def test_without_prefect_the_rest_is_harvested_and_it_is_said(hourly, runs):
    await created(hourly, "one")
    await hourly.clock.sleep(HOUR)

    report = await harvest(hourly, runs)

    assert counted(report)["completed"] == 1
    [sentence] = report.skipped
    assert sentence.startswith("Flow runs were not looked at: ")


# --- deadlines ------------------------------------------------------------------------------------


async def overdue(bench, text):
    attempt = await created(bench, text)
    await bench.ledger.do(SetDeadline(attempt.id, bench.clock.now() + 60, bench.clock.now()))
    return attempt


async def test_a_deadline_that_nobody_waited_for_cancels(hourly):
    attempt = await overdue(hourly, "one")
    told = Told()
    assert counted(await harvest(hourly, told=told)) == {"read": 1, "at_work": 1}
    await hourly.clock.sleep(60)

    report = await harvest(hourly, told=told)

    assert counted(report)["timed_out"] == 1
    assert told.responses == [("timed_out", attempt.id)]
    assert (await hourly.ledger.attempt(attempt.id)).cancel_reason is CancelReason.DEADLINE


async def test_what_completed_before_the_deadline_reached_it_is_kept(hourly):
    attempt = await overdue(hourly, "one")
    await hourly.clock.sleep(HOUR)

    report = await harvest(hourly)

    assert counted(report)["completed"] == 1
    assert (await hourly.ledger.attempt(attempt.id)).outcome is Outcome.COMPLETED


@pytest.mark.parametrize(
    ("status", "what"), [(400, Happened.DEADLINES_REFUSED), (500, Happened.DEADLINES_OPEN)]
)
async def test_a_deadline_that_cancels_nothing_is_counted(hourly, status, what):
    attempt = await overdue(hourly, "one")
    await hourly.clock.sleep(60)
    hourly.control.add_fault("status", match={"method": "POST"}, times=None, status=status)

    report = await harvest(hourly)

    assert report.counts[what] == 1
    kept = await hourly.ledger.attempt(attempt.id)
    assert kept.state is AttemptState.SUBMITTED
    assert kept.owes_cancel is (what is Happened.DEADLINES_OPEN)
