"""What a pass makes of what earlier passes began: each row is paid for once, and not undone."""

from __future__ import annotations

import signal

import pytest
from row_jobs import Process, ask, rows_of, table, wait_until
from test_enrich_passes import attempts, count

from prefect_responses.emulator.server import EmulatorThread
from prefect_responses.errors import RequestInvalid

PLANNED = "before_intent:kill"
UNFINISHED = "before_finishing_shard:kill"
WITH_AN_ID = "SELECT id FROM attempts WHERE response_id IS NOT NULL"


@pytest.fixture
def how(tmp_path):
    return {"source": table(tmp_path, rows_of(3)), "sink": tmp_path / "out.csv"}


def killed(world, folder, crash, **how):
    assert Process(world, folder, crash=crash, **how).wait() == -signal.SIGKILL


def left_in_flight(world, folder, **how):
    """Let a pass die whose rows are all in flight, and end the responses."""
    world.control.set_latency("constant:600")
    process = Process(world, folder, **how)
    wait_until(lambda: count(world, WITH_AN_ID) == 3, 15)
    process.kill()
    world.control.set_latency("instant")
    world.control.stop_clock()
    world.control.advance(700)
    world.control.start_clock()


def fail_one(world):
    match = {"body_contains": "Text number 1."}
    world.control.add_fault("fail", code="server_error", times=None, match=match)


def test_a_forced_pass_that_sent_what_was_planned_before_forces_no_row_twice(world, tmp_path, how):
    killed(world, tmp_path, PLANNED, **how)
    killed(world, tmp_path, UNFINISHED, **how, select="force")

    report = ask(**how, select="force")

    assert report.outcomes == {"ok": 3}
    assert world.posts() == 3


def test_a_row_that_was_planned_before_fails_once_a_pass(world, tmp_path, how):
    killed(world, tmp_path, PLANNED, **how)
    fail_one(world)

    report = ask(**how, max_attempts=1, replay=["schema"])

    assert report.outcomes == {"ok": 2, "failed": 1}
    assert world.posts() == 3


@pytest.mark.parametrize("change", [{}, {"version": "2", "on_change": "adopt"}])
def test_a_row_that_was_adopted_fails_once_a_pass(world, tmp_path, how, change):
    fail_one(world)
    left_in_flight(world, tmp_path, **how)

    report = ask(**how, replay=["schema"], **change)

    assert (report.adopted, report.outcomes) == (3, {"ok": 2, "failed": 1})
    assert world.posts() == 3
    assert ask(**how, **change).submitted == 1  # a later pass may ask again


def test_a_forced_pass_that_adopted_rows_and_was_killed_pays_for_none(world, tmp_path, how):
    left_in_flight(world, tmp_path, **how)
    killed(world, tmp_path, UNFINISHED, **how, select="force")

    report = ask(**how, select="force")

    assert (report.reused, report.outcomes) == (3, {"ok": 3})
    assert world.posts() == 3
    assert len(attempts(world)) == 3


@pytest.mark.parametrize("on_change", ["adopt", "resubmit"])
def test_rows_in_flight_are_not_asked_for_at_another_endpoint(
    world, tmp_path, how, monkeypatch, on_change
):
    left_in_flight(world, tmp_path, **how)
    with EmulatorThread(seed=9) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.url)
        with pytest.raises(RequestInvalid, match="3 rows are in flight at another endpoint"):
            ask(**how, on_change=on_change)
        assert other.control.journal() == []

    monkeypatch.setenv("OPENAI_BASE_URL", world.emulator.url)
    assert ask(**how).adopted == 3
    assert world.posts() == 3


def test_a_prompt_that_comes_back_finds_its_answers(world, how):
    ask(**how, version="A")
    ask(**how, version="B")

    back = ask(**how, version="A")
    again = ask(**how, version="A")

    assert world.posts() == 6
    assert "3 rows, 0 of them to be paid for" in back.plan.as_lines()[0]
    assert "  answered before they changed: 3" in back.plan.as_lines()
    for report in (back, again):
        did = (report.reused, report.submitted, report.by_others, report.abandoned)
        assert did == (3, 0, 0, ())
        assert report.outcomes == {"ok": 3}
    assert count(world, "SELECT id FROM attempts WHERE state = 'planned'") == 0
