"""Which rows a run of a job asks, what it says beforehand, and what it leaves alone."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import date

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter
from row_jobs import Process, ask, job, read, rows_of, table, wait_until

from prefect_responses import aenrich
from prefect_responses.decisions.budgets import Budget
from prefect_responses.enrichment.prices import ModelPrices
from prefect_responses.errors import QuotaExhausted, RequestInvalid
from prefect_responses.job_errors import BudgetStopped, JobChanged, PriceMissing


def fail(world, text, times=None, code="server_error"):
    world.control.add_fault("fail", code=code, times=times, match={"body_contains": text})


pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def source(tmp_path):
    return table(tmp_path, rows_of(5))


@pytest.fixture
def sink(tmp_path):
    return tmp_path / "out.csv"


# --- what changed ---------------------------------------------------------------------------------


def test_a_change_is_said_before_anything_is_sent(world, source):
    ask(source)

    plan = ask(source, version="2", model="echo", dry_run=True).plan

    assert plan.choices == {"changed": 5}
    assert plan.changed_because == ("the prompt's version", "the model")
    assert plan.paid == 5
    assert "changed: 5 (because of the prompt's version, the model)" in "\n".join(plan.as_lines())
    assert world.posts() == 5


def test_a_job_that_may_not_change_sends_nothing(world, source, tmp_path):
    ask(source)
    changed = table(tmp_path, rows_of(6, r2="Another text."), "changed.csv")

    with pytest.raises(JobChanged, match="1 rows of facts changed"):
        ask(changed, on_change="error")

    assert world.posts() == 5
    assert ask(table(tmp_path, rows_of(6)), on_change="error").submitted == 1


def test_what_changed_keeps_its_answer_if_it_is_to_be_adopted(source, sink):
    ask(source)

    report = ask(source, sink, version="2", on_change="adopt")

    assert (report.reused, report.submitted) == (5, 0)
    assert read(sink)["r3"]["summary"] == "Text number 3."


def test_a_row_that_changed_in_flight_is_cancelled_and_named(world, source, tmp_path):
    world.control.set_latency("constant:600")
    first = Process(world, tmp_path, source=source, sink=None)
    wait_until(lambda: _with_an_id(world) == 5)
    first.kill()
    changed = table(tmp_path, rows_of(5, r2="Another text."), "changed.csv")
    world.control.set_latency("instant")
    second = Process(world, tmp_path, source=changed, sink=None)
    wait_until(lambda: len(world.control.responses()) == 6)
    world.control.stop_clock()
    world.control.advance(700)
    world.control.start_clock()

    report = second.report()

    assert report.superseded == ("r2",)
    assert (report.adopted, report.submitted) == (4, 1)
    assert report.outcomes == {"ok": 5}
    statuses = sorted(one["status"] for one in world.control.responses())
    assert statuses == ["cancelled"] + ["completed"] * 5


def _with_an_id(world):
    with sqlite3.connect(world.ledger_file) as ledger:
        (found,) = ledger.execute("SELECT count(response_id) FROM attempts").fetchone()
    ledger.close()
    return found


def test_rows_that_vanished_are_named(source, tmp_path):
    ask(source)

    report = ask(table(tmp_path, rows_of(3), "shorter.csv"))

    assert (report.plan.vanished, report.plan.vanished_names) == (2, ("r3", "r4"))
    assert "no longer in the table: 2 (r3, r4)" in report.as_lines()


# --- which rows -----------------------------------------------------------------------------------


def test_only_rows_that_hold_what_is_wanted(source, sink):
    by_values = ask(source, sink, where={"id": ["r1", "r3"]})
    assert by_values.submitted == 2
    assert by_values.plan.choices == {"new": 2, "not_selected": 3}
    statuses = [row["status"] for row in read(sink).values()]
    assert statuses == ["not_selected", "ok"] * 2 + ["not_selected"]

    by_function = ask(source, where=lambda row: row.key > "r2")
    assert (by_function.submitted, by_function.reused) == (1, 1)


def test_only_rows_that_failed(world, source, tmp_path):
    fail(world, "number 1", times=1)
    ask(source)
    longer = table(tmp_path, rows_of(8), "longer.csv")

    report = ask(longer, select="failed")

    assert report.submitted == 1
    assert report.outcomes == {"ok": 5, "not_selected": 3}
    assert world.posts() == 6


def test_rows_are_given_up_after_as_many_attempts_as_their_class_may_have(world, source):
    fail(world, "number 1")
    counts = [ask(source, max_attempts={"failed": 2}).submitted for _ in range(4)]

    assert counts == [5, 1, 0, 0]
    left = ask(source, max_attempts={"failed": 2})
    assert left.plan.left == {"failed": 1}
    assert "left as they are: 1 (failed 1, asked often enough)" in left.as_lines()
    assert ask(source, max_attempts=3).submitted == 1


def test_a_finished_row_is_asked_again_only_by_force(world, source):
    assert [ask(source, select=how).submitted for how in ("due", "due", "force")] == [5, 0, 5]
    assert world.posts() == 10


def test_an_answer_that_was_deleted_is_missed_and_not_paid_again(world, source, sink):
    ask(source, sink)
    with sqlite3.connect(world.ledger_url.removeprefix("sqlite:///")) as ledger:
        ledger.execute("UPDATE bodies SET response = NULL WHERE length(request) > 0")
    ledger.close()

    assert ask(source, sink).submitted == 0

    assert {row["error"] for row in read(sink).values()} == {
        "Its answer was deleted from the ledger."
    }
    assert world.posts() == 5


# --- dead rows and their replays ------------------------------------------------------------------


def test_a_dead_row_is_classified_and_replayed_as_its_class_wants_it(world, source, sink):
    world.control.add_replies(
        {"match": "correct", "value": {"summary": "Repaired."}},
        {"match": "number 1", "value": {"other": 1}, "times": 1},
        {"match": "number 2", "refusal": "No.", "times": 1},
        {"match": "Text number", "value": {"summary": "Fine."}, "times": None},
    )
    first = ask(source, model="script")
    assert first.outcomes == {"ok": 3, "schema": 1, "refusal": 1}

    kept = ask(source, model="script")
    assert (kept.submitted, kept.plan.left) == (0, {"schema": 1, "refusal": 1})

    replayed = ask(source, sink, model="script", replay="schema")
    assert replayed.plan.replayed == {"schema": 1}
    assert replayed.submitted == 1
    assert {row["status"] for key, row in read(sink).items() if key != "r2"} == {"ok"}
    sent = [each["body"] for each in world.control.journal(method="POST")][-1]
    assert "other" in str(sent), "the model was not shown its answer"

    again = ask(source, model="script", replay=["refusal", "schema"])
    assert (again.submitted, again.outcomes) == (1, {"ok": 5})


# --- what stops a job -----------------------------------------------------------------------------


def events(name):
    async def read_all():
        async with get_client() as client:
            asked = EventFilter(event=EventNameFilter(name=[name]))
            return (await client.read_events(asked, limit=50)).events

    return asyncio.run(read_all())


def test_a_parked_job_says_so_and_says_when_it_goes_on(world, tmp_path):
    source, sink = table(tmp_path, rows_of(4)), tmp_path / "out.csv"
    world.control.add_fault(
        "status",
        status=429,
        code="insufficient_quota",
        times=None,
        after=2,
        match={"method": "POST"},
    )
    how = {"job": f"parked-{tmp_path.name}"}

    with pytest.raises(QuotaExhausted):
        job(source, sink, max_in_flight=1, **how)
    world.control.clear_faults()
    report = ask(source, sink, **how)

    assert (report.submitted, report.reused) == (2, 2)
    found = wait_until(lambda: _of_job(events("prefect-responses.job.parked"), how["job"]))
    assert found.payload["kind"] == "QuotaExhausted"
    assert [one.role for one in found.related] == ["flow-run"]
    assert wait_until(lambda: _of_job(events("prefect-responses.job.resumed"), how["job"]))


def _of_job(found, name):
    return next((one for one in found if one.resource.name == name), None)


PRICES = ModelPrices(as_of=date(2026, 11, 21), models={"extract": {"input": 1, "output": 10}})


def test_a_budget_stops_a_job_that_a_larger_one_goes_on_with(world, source, sink):
    options = {"max_output_tokens": 100}
    assert ask(source, prices=PRICES, options=options, where={"id": "r0"}).cost > 0

    # A row reserves a little less than all of it, and costs a thirtieth of that.
    with pytest.raises(BudgetStopped):
        job(
            source,
            sink,
            prices=PRICES,
            options=options,
            budget=Budget(max_usd=0.0016, per="job"),
            max_in_flight=1,
        )
    stopped = [row["status"] for row in read(sink).values()]
    assert stopped[0] == "ok"
    assert stopped[-1] == "budget"

    report = ask(source, sink, prices=PRICES, options=options, budget=Budget(max_usd=1, per="job"))
    assert report.outcomes == {"ok": 5}
    assert world.posts() == 5
    assert float(read(sink)["r4"]["cost_usd"]) > 0
    assert any(line.startswith("cost of all rows") for line in report.as_lines())


def test_a_sample_says_what_the_whole_would_take(world, tmp_path):
    source = table(tmp_path, rows_of(50))

    report = ask(source, sample=20, prices=PRICES)

    assert report.submitted == 20
    assert (report.preview.sampled, report.preview.rows_left) == (20, 30)
    assert report.preview.cost.expected > 0
    assert ask(source, prices=PRICES).reused == 20
    assert world.posts() == 50


BAD = {
    "no such selection": ({"select": "all"}, "select= takes one of 'due'"),
    "no such class": ({"replay": "ok"}, "Rows cannot be replayed as 'ok'"),
    "no such class of attempts": ({"max_attempts": {"ok": 1}}, "names 'ok'"),
    "no attempts": ({"max_attempts": 0}, "at least 1"),
    "a column that is not there": ({"where": {"price": 1}}, "no column 'price'"),
    "a where that is none": ({"where": 3}, "a mapping of columns"),
    "an input of its own": ({"options": {"input": "x"}}, "leave it out"),
}


@pytest.mark.parametrize(("how", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_asked_is_refused(world, source, how, words):
    with pytest.raises(RequestInvalid, match=words):
        ask(source, **how)
    assert world.requests() == 0


def test_a_budget_needs_a_price(world, source):
    with pytest.raises(PriceMissing):
        ask(source, budget=Budget(max_usd=1, per="job"))
    assert world.requests() == 0


# --- flows ----------------------------------------------------------------------------------------


def test_a_retry_of_a_flow_whose_pass_is_finished_asks_dead_rows_again(world, source):
    fail(world, "number 1", times=1)
    runs = []

    @flow(retries=1)
    def twice():
        runs.append(ask(source))
        if len(runs) == 1:
            raise RuntimeError("Something after the job fails.")

    twice()

    assert [run.outcomes for run in runs] == [{"ok": 4, "failed": 1}, {"ok": 5}]
    assert [run.pass_number for run in runs] == [1, 2]


async def test_two_runs_of_one_process_share_a_table(world, tmp_path):
    world.control.set_latency("constant:0.2")
    source = table(tmp_path, rows_of(20))
    how = {
        "job": "facts",
        "key": "id",
        "prompt": "{text}",
        "output_type": {"type": "object", "properties": {"summary": {"type": "string"}}},
        "model": "extract",
        "shard_rows": 2,
        "max_in_flight": 2,
    }

    one, two = await asyncio.gather(aenrich(rows=source, **how), aenrich(rows=source, **how))

    assert one.submitted + two.submitted == world.posts() == 20
    assert one.outcomes == two.outcomes == {"ok": 20}
