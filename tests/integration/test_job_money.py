"""What a user sees of money: a preview, a budget that stops and resumes, replays by class."""

from __future__ import annotations

import contextlib
import io

import pytest
from row_jobs import job, read, rows_of, table

from prefect_responses.cli.__main__ import main
from prefect_responses.decisions.budgets import Budget
from prefect_responses.enrichment.prices import ModelPrices
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
