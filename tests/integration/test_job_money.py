"""What a user sees of money: a preview, a budget that stops and resumes, replays by class."""

from __future__ import annotations

import contextlib
import io
import signal
import sqlite3

import pytest
from row_jobs import Process, ask, job, read, rows_of, table, wait_until

from prefect_responses.cli.__main__ import main
from prefect_responses.decisions.budgets import Budget
from prefect_responses.decisions.rate_limits import RateLimits
from prefect_responses.enrichment.prices import ModelPrices
from prefect_responses.errors import QuotaExhausted
from prefect_responses.job_errors import BudgetStopped, PriceMissing

#: Invented.
PRICES = ModelPrices.model_validate(
    {
        "as_of": "2026-11-21",
        "models": {"extract": {"input": 2, "output": 8}, "script": {"input": 2, "output": 8}},
    }
)


def varied(count):
    return [(f"r{i}", f"Text {i}. {'More words. ' * (i % 9)}", "x") for i in range(count)]


def cost_of(rows):
    return sum(float(row["cost_usd"]) for row in rows)


# --- preview --------------------------------------------------------------------------------------


def test_a_sample_says_what_the_rest_costs_and_is_not_paid_again(world, tmp_path):
    source, sink = table(tmp_path, varied(60)), tmp_path / "out.csv"

    preview = job(source, sink, sample=15, seed=3, prices=PRICES).preview
    sampled = {key for key, row in read(sink).items() if row["status"] == "ok"}
    assert world.posts() == len(sampled) == preview.sampled == 15

    job(source, sink, prices=PRICES)

    rest = [row for key, row in read(sink).items() if key not in sampled]
    assert world.posts() == 60
    assert preview.rows_left == len(rest) == 45
    assert preview.cost.low <= cost_of(rest) * 10**9 <= preview.cost.high
    read_tokens = sum(int(row["input_tokens"]) for row in rest)
    assert preview.input_tokens.low <= read_tokens <= preview.input_tokens.high
    assert preview.prices_as_of == PRICES.as_of


# --- budgets --------------------------------------------------------------------------------------


def test_a_budget_stops_the_job_and_a_larger_one_goes_on(world, tmp_path):
    # Of so many short words what is reserved, by their bytes, is about twice what they cost.
    rows = [(f"r{i}", f"Text {i}. {'a ' * 1500}", "x") for i in range(10)]
    source, sink = table(tmp_path, rows), tmp_path / "out.csv"
    how = {"prices": PRICES, "options": {"max_output_tokens": 100}, "model": "script"}
    world.control.add_replies({"match": "Text", "value": {"summary": "Fine."}, "times": None})

    with pytest.raises(BudgetStopped):
        job(source, sink, budget=Budget(max_usd=0.025, per="job"), **how)

    stopped = read(sink)
    finished = [row for row in stopped.values() if row["status"] == "ok"]
    assert {row["status"] for row in stopped.values()} == {"ok", "budget"}
    assert world.posts() == len(finished)
    assert cost_of(finished) <= 0.025

    report = job(source, sink, budget=Budget(max_usd=3, per="job"), **how)

    assert world.posts() == 10
    assert (report.reused, report.submitted) == (len(finished), 10 - len(finished))
    assert {row["status"] for row in read(sink).values()} == {"ok"}


def test_a_budget_in_usd_without_a_price_sends_nothing(world, tmp_path):
    source = table(tmp_path, rows_of(2))

    with pytest.raises(PriceMissing, match="price of 'extract'"):
        job(source, tmp_path / "out.csv", budget=Budget(max_usd=1))

    assert world.posts() == 0


def test_a_row_larger_than_the_whole_budget_stops_nobody(world, tmp_path):
    rows = [("large", "word " * 20_000, "x"), *rows_of(6)]
    source, sink = table(tmp_path, rows), tmp_path / "out.csv"
    how = {"options": {"max_output_tokens": 100}, "shard_rows": 3, "max_in_flight": 2}

    report = ask(source, sink, budget=Budget(max_tokens=60_000, per="job"), **how)

    assert report.outcomes == {"ok": 6, "budget": 1}
    assert (report.over_budget, world.posts()) == (("large",), 6)
    assert "raise the budget" in read(sink)["large"]["error"]
    larger = ask(source, budget=Budget(max_tokens=600_000, per="job"), **how)
    assert (larger.submitted, larger.over_budget) == (1, ())


def with_an_id(world):
    with sqlite3.connect(world.ledger_file) as ledger:
        (found,) = ledger.execute("SELECT count(response_id) FROM attempts").fetchone()
    ledger.close()
    return found


def test_rows_that_left_the_table_give_their_room_back_when_they_end(world, tmp_path):
    world.control.set_latency("constant:600")
    how = {"limits": RateLimits(in_flight=2), "sink": tmp_path / "out.csv"}
    killed = Process(world, tmp_path, source=table(tmp_path, rows_of(2)), **how)
    wait_until(lambda: with_an_id(world) == 2)
    killed.kill()
    world.control.set_latency("instant")
    world.control.stop_clock()
    world.control.advance(700)
    world.control.start_clock()

    others = [(f"z{i}", f"Text {i}", "x") for i in range(2)]
    report = ask(table(tmp_path, others), **how)

    assert (report.outcomes, report.plan.vanished) == ({"ok": 2}, 2)


# --- replays --------------------------------------------------------------------------------------


def run(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert not left.value.code
    return out.getvalue()


@pytest.fixture
def with_a_dead_row(world, tmp_path):
    """One row of three was answered with a number for a text; say how the job is run."""
    wrong = {"match": "Text number 1.", "value": {"summary": 7}, "times": 1}
    right = {"match": "Text number", "value": {"summary": "Fine."}, "times": None}
    repaired = {"match": "cannot be used", "value": {"summary": "Repaired."}, "times": None}
    world.control.add_replies(wrong, right, repaired)
    how = {"source": table(tmp_path, rows_of(3)), "sink": tmp_path / "out.csv", "model": "script"}
    how["prices"] = PRICES
    assert job(**how).outcomes == {"ok": 2, "schema": 1}
    return how


def test_a_dead_row_is_marked_and_repaired_by_the_next_run(world, with_a_dead_row):
    url = ("--url", world.ledger_url)
    assert job(**with_a_dead_row).submitted == 0  # it stays dead until it is replayed

    shown = run("job", "replay", "facts", "--class", "schema", *url)
    assert "1 schema: asked to repair the answer" in shown
    assert "Cost: about 0.00" in shown
    assert job(**with_a_dead_row).submitted == 0

    run("job", "replay", "facts", "--class", "schema", "--yes", *url)
    report = job(**with_a_dead_row)

    assert (report.submitted, report.outcomes) == (1, {"ok": 3})
    assert read(with_a_dead_row["sink"])["r1"]["summary"] == "Repaired."
    assert job(**with_a_dead_row).submitted == 0
    assert world.posts() == 4
    assert "ok 3" in run("job", "list", *url)


def test_a_run_may_replay_a_class_itself(world, with_a_dead_row):
    report = job(**with_a_dead_row, replay=["schema"])

    assert report.outcomes == {"ok": 3}
    assert job(**with_a_dead_row, replay=["schema"]).submitted == 0
    assert world.posts() == 4


def test_a_failed_row_whose_attempts_are_used_up_can_be_marked(world, tmp_path):
    source, sink = table(tmp_path, rows_of(2)), tmp_path / "out.csv"
    world.control.add_fault("fail", code="server_error", match={"body_contains": "Text number 1."})
    how = {"source": source, "sink": sink, "max_attempts": 1}
    assert job(**how).outcomes == {"ok": 1, "failed": 1}
    assert job(**how).submitted == 0

    run("job", "replay", "facts", "--class", "failed", "--yes", "--url", world.ledger_url)

    assert job(**how).outcomes == {"ok": 2}
    assert world.posts() == 3


def test_a_replay_under_an_adopted_change_answers_what_was_asked_then(world, tmp_path):
    world.control.add_replies(
        {"match": "Text number 0.", "value": {"summary": 7}, "times": 1},
        {"match": "cannot be used", "value": {"summary": "Repaired."}, "times": None},
        {"match": "Another text.", "value": {"summary": "Another."}, "times": None},
    )
    sink, changed = tmp_path / "out.csv", rows_of(1, r0="Another text.")
    assert ask(table(tmp_path, rows_of(1)), sink, model="script").outcomes == {"schema": 1}
    how = {"source": table(tmp_path, changed), "sink": sink, "model": "script"}

    assert ask(**how, on_change="adopt", replay=("schema",)).outcomes == {"ok": 1}
    assert read(sink)["r0"]["summary"] == "Repaired."

    assert ask(**how).plan.choices == {"changed": 1}
    assert read(sink)["r0"]["summary"] == "Another."


# --- what is sent is what is charged --------------------------------------------------------------


def charged_and_sent(world):
    """Return the tokens that the last attempt reserved, and its max_output_tokens."""
    with sqlite3.connect(world.ledger_file) as ledger:
        (found,) = ledger.execute(
            "SELECT json_extract(charge, '$.tokens') FROM attempts ORDER BY planned_at DESC, number"
            " DESC LIMIT 1"
        ).fetchone()
    ledger.close()
    posts = [each for each in world.control.journal(method="POST") if "/cancel" not in each["path"]]
    return found, posts[-1]["body"]["max_output_tokens"]


def test_a_replay_in_doubt_reserves_what_it_sends(world, tmp_path):
    world.control.add_fault("incomplete", times=1)
    how = {"source": table(tmp_path, rows_of(1)), "sink": tmp_path / "out.csv"}
    how |= {"prices": PRICES, "options": {"max_output_tokens": 5000}}
    ask(**how)
    killed = Process(world, tmp_path, crash="after_post:kill", replay=("truncated",), **how)
    assert killed.wait() == -signal.SIGKILL

    report = ask(**how, replay=("truncated",))

    charged, sent = charged_and_sent(world)
    assert (sent, report.outcomes) == (10_000, {"ok": 1})
    assert charged >= sent


def test_a_request_that_was_planned_before_an_adopted_change_is_charged_as_it_is_sent(
    world, tmp_path
):
    world.control.add_fault("status", status=429, code="insufficient_quota", times=1)
    how = {"source": table(tmp_path, rows_of(1)), "sink": None, "prices": PRICES}
    with pytest.raises(QuotaExhausted):
        job(**how, options={"max_output_tokens": 5000})

    ask(**how, options={"max_output_tokens": 10}, on_change="adopt")

    charged, sent = charged_and_sent(world)
    assert sent == 5000
    assert charged >= sent
