"""One row job over many runs: processes that die, runs at once, and what each of them reports."""

from __future__ import annotations

import asyncio
import signal
import sqlite3

import pytest
from row_jobs import Facts, Process, ask, read, rows_of, table, wait_until

from prefect_responses import aenrich
from prefect_responses.engine.crash_points import PassPoint

LIVING = "SELECT id FROM owners WHERE retired_at IS NULL"


def passes(world):
    with sqlite3.connect(world.ledger_file) as ledger:
        found = ledger.execute("SELECT number, closed_as FROM passes ORDER BY number").fetchall()
    ledger.close()
    return found


def count(world, query):
    with sqlite3.connect(world.ledger_file) as ledger:
        found = ledger.execute(query).fetchall()
    ledger.close()
    return len(found)


def attempts(world):
    """Return each row's attempts as (outcome, class), the first first."""
    found = {}
    with sqlite3.connect(world.ledger_file) as ledger:
        for name, *facts in ledger.execute(
            "SELECT name, outcome, row_class FROM attempts ORDER BY planned_at, number"
        ):
            found.setdefault(name.removeprefix("row:"), []).append(tuple(facts))
    ledger.close()
    return found


# --- processes that die ---------------------------------------------------------------------------


@pytest.mark.parametrize("point", PassPoint)
def test_a_run_that_was_killed_is_gone_on_with(world, tmp_path, point):
    source, sink = table(tmp_path, rows_of(6)), tmp_path / "out.csv"
    how = {"source": source, "sink": sink, "shard_rows": 2, "max_in_flight": 2}
    killed = Process(world, tmp_path, crash=f"{point}:kill", **how)
    assert killed.wait() == -signal.SIGKILL
    answered = sum(outcomes == [("completed", None)] for outcomes in attempts(world).values())

    report = ask(**how)

    # The other lane's POST may have been on the wire when the process died: then it is named.
    assert world.posts() == 6 + len(report.abandoned)
    assert len(report.abandoned) <= 1
    assert report.reused + report.adopted + report.submitted == 6
    assert report.reused == answered
    assert report.outcomes == {"ok": 6}
    assert list(read(sink)) == [f"r{i}" for i in range(6)]
    assert passes(world) == [(1, "done")]


def test_rows_in_flight_at_a_kill_are_adopted(world, tmp_path):
    source, sink = table(tmp_path, rows_of(8)), tmp_path / "out.csv"
    world.control.set_latency("constant:600")
    how = {"source": source, "sink": sink, "shard_rows": 3}
    killed = Process(world, tmp_path, **how)
    wait_until(lambda: count(world, "SELECT id FROM attempts WHERE response_id IS NOT NULL") == 8)
    killed.kill()
    world.control.set_latency("instant")
    world.control.stop_clock()
    world.control.advance(700)
    world.control.start_clock()

    report = ask(**how)

    assert (report.adopted, report.submitted, report.reused) == (8, 0, 0)
    assert world.posts() == 8


def test_a_failed_row_is_paid_once_a_pass_however_often_its_runs_die(world, tmp_path):
    source, sink = table(tmp_path, rows_of(4)), tmp_path / "out.csv"
    world.control.add_fault(
        "fail", code="server_error", times=None, match={"body_contains": "Text number 1."}
    )
    how = {"source": source, "sink": sink}
    for _ in range(2):
        killed = Process(world, tmp_path, crash="before_closing_pass:kill", **how)
        assert killed.wait() == -signal.SIGKILL

    same = ask(**how)
    assert (same.outcomes, world.posts()) == ({"ok": 3, "failed": 1}, 4)

    next_ = ask(**how)
    assert (next_.outcomes, world.posts()) == ({"ok": 3, "failed": 1}, 5)
    assert next_.plan.retried == {"failed": 1}


def test_a_forced_pass_that_was_killed_forces_no_row_twice(world, tmp_path):
    source, sink = table(tmp_path, rows_of(4)), tmp_path / "out.csv"
    how = {"source": source, "sink": sink, "shard_rows": 3}
    ask(**how)
    killed = Process(
        world, tmp_path, crash="after_id:kill:2", select="force", max_in_flight=1, **how
    )
    assert killed.wait() == -signal.SIGKILL

    report = ask(**how, select="force")

    assert world.posts() == 8
    assert report.outcomes == {"ok": 4}
    assert report.submitted + report.adopted + report.reused == 4
    assert all(len(history) == 2 for history in attempts(world).values())


async def test_a_run_that_is_cancelled_gives_back_what_it_held(world, tmp_path):
    source = table(tmp_path, rows_of(3))
    world.control.set_latency("constant:600")
    how = {"job": "facts", "key": "id", "prompt": "{text}", "model": "extract", "rows": source}
    cancelled = asyncio.create_task(aenrich(**how, output_type=Facts))
    while len(world.control.responses()) < 3:  # noqa: ASYNC110 - of another process, so to speak
        await asyncio.sleep(0.02)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    world.control.stop_clock()
    world.control.advance(700)
    world.control.start_clock()

    report = await aenrich(**how, output_type=Facts)

    assert (report.adopted + report.reused, report.submitted) == (3, 0)
    assert world.posts() == 3
    assert passes(world) == [(1, "done")]


# --- runs at once ---------------------------------------------------------------------------------


def test_two_processes_share_a_table(world, tmp_path):
    source, sink = table(tmp_path, rows_of(60)), tmp_path / "out.csv"
    world.control.set_latency("constant:0.3")
    how = {"source": source, "sink": sink, "shard_rows": 6, "max_in_flight": 6}
    both = [Process(world, tmp_path, **how) for _ in range(2)]
    reports = [process.report() for process in both]

    assert world.posts() == 60
    assert sum(report.submitted for report in reports) == 60
    assert all(report.submitted for report in reports), "one of them did it all"
    for report in reports:
        assert report.outcomes == {"ok": 60}
        assert report.reused + report.submitted + report.by_others == 60
    assert len(read(sink)) == 60
    assert passes(world) == [(1, "done")]


def test_the_shard_of_a_process_that_dies_is_taken_over_by_the_one_that_watches(world, tmp_path):
    source, sink = table(tmp_path, rows_of(4)), tmp_path / "out.csv"
    world.control.set_latency("constant:600")
    how = {"source": source, "sink": sink}
    dying = Process(world, tmp_path, **how)
    wait_until(lambda: len(world.control.responses()) == 4)
    watching = Process(world, tmp_path, **how)
    wait_until(lambda: count(world, LIVING) == 2)

    dying.kill()
    world.control.stop_clock()
    world.control.advance(700)
    world.control.start_clock()
    report = watching.report()

    assert (report.adopted, report.submitted) == (4, 0)
    assert world.posts() == 4
    assert passes(world) == [(1, "done")]


def test_a_run_with_another_prompt_waits_for_the_one_at_work(world, tmp_path):
    source, sink = table(tmp_path, rows_of(3)), tmp_path / "out.csv"
    world.control.set_latency("constant:600")
    first = Process(world, tmp_path, source=source, sink=sink)
    wait_until(lambda: len(world.control.responses()) == 3)
    other = Process(world, tmp_path, source=source, sink=sink, version="2")
    wait_until(lambda: count(world, LIVING) == 2)

    world.control.set_latency("instant")
    world.control.stop_clock()
    world.control.advance(700)
    world.control.start_clock()

    assert first.report().submitted == 3
    assert (other.report().submitted, world.posts()) == (3, 6)
    assert passes(world) == [(1, "done"), (2, "done")]
