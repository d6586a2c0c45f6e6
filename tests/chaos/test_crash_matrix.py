"""Every crash point, killed and terminated: run again, and count what was paid for.

What is outside the gate, workers that die, is in `kill_matrix.py`.
"""

from __future__ import annotations

import signal

import pytest
from matrix_cells import Mode, Way, cells_of, pairwise, promise_of
from matrix_counts import bench_of, kill_and_run_all_again

from prefect_responses.engine.crash_points import CrashPoint

KILLED, TERMINATED = cells_of(Way.FLOW_KILLED), pairwise(Way.FLOW_TERMINATED)
SHARED = pairwise(Way.FLOW_KILLED)
GROUPS = {
    "polled and killed": ("sqlite", [cell for cell in KILLED if cell.mode is Mode.POLL]),
    "streamed and killed": ("sqlite", [cell for cell in KILLED if cell.mode is Mode.STREAM]),
    "terminated": ("sqlite", TERMINATED),
    "killed on PostgreSQL": ("postgresql", SHARED),
}


@pytest.fixture
def bench(lab):
    with bench_of(lab, lab, lab) as bench:
        yield bench


@pytest.mark.parametrize(
    ("ledger_database", "cells"), GROUPS.values(), ids=GROUPS, indirect=["ledger_database"]
)
def test_run_again_after_any_crash(lab, bench, cells):
    action = "term" if cells is TERMINATED else "kill"

    codes = kill_and_run_all_again(bench, cells, action)

    assert {cell for cell, code in codes.items() if code == 0} == set(), "it was not ended there"
    if action == "kill":
        assert set(codes.values()) == {-signal.SIGKILL}
    found = {cell: bench.found(cell) for cell in cells}
    broken = {cell: found[cell] for cell in cells if promise_of(cell).breaches(found[cell])}
    assert broken == {}, lab.all_logs()


def test_every_point_is_killed_and_terminated():
    for cells in (KILLED, TERMINATED, SHARED):
        assert {cell.point for cell in cells} == {*CrashPoint}


def test_in_doubt_is_left_to_a_person_where_the_policy_says_so(lab):
    texts = {point: f"Who says what happened {point}?" for point in ("after_intent", "after_post")}
    runs = {
        point: lab.plan("one_response", text=text, in_doubt="fail") for point, text in texts.items()
    }

    for action in ("kill", ""):
        lab.finish_all(
            {
                run: {"name": "one_response", "crash": action and f"{point}:{action}"}
                for point, run in runs.items()
            }
        )

    assert {lab.state(run) for run in runs.values()} == {"Failed"}
    for run in runs.values():
        assert "SubmissionInDoubt" in lab.message(run)
    lab.retry(runs["after_post"], "one_response")
    assert {point: lab.attempts(text, "state") for point, text in texts.items()} == {
        point: ["in_doubt"] for point in texts
    }
    assert [lab.posts(text) for text in texts.values()] == [0, 1]
    assert lab.cancels() == 0
