"""Every crash point, killed and terminated: run again, and count what was paid for."""

from __future__ import annotations

import signal

import pytest

from prefect_responses.engine.crash_points import CrashPoint


def text_of(point: CrashPoint) -> str:
    return f"What is paid for at {point}?"


def run_all(lab, runs, action=""):
    """Start a run for each point, some side by side; return the exit codes."""
    orders = {
        run: {"name": "one_response", "crash": action and f"{point}:{action}"}
        for point, run in runs.items()
    }
    codes = lab.finish_all(orders)
    return {point: codes[run] for point, run in runs.items()}


def plan_all(lab, points=tuple(CrashPoint), **parameters):
    return {point: lab.plan("one_response", text=text_of(point), **parameters) for point in points}


@pytest.mark.parametrize("action", ["kill", "term"])
def test_run_again_after_any_crash(lab, action):
    lab.control.set_latency("constant:0.8")  # so that one poll finds it still at work
    runs = plan_all(lab)

    crashed = run_all(lab, runs, action)
    if action == "kill":
        assert set(crashed.values()) == {-signal.SIGKILL}
    again = run_all(lab, runs)

    assert {point: code for point, code in again.items() if code != 0} == {}
    assert {lab.state(run) for run in runs.values()} == {"Completed"}
    paid = {point: lab.posts(text_of(point)) for point in runs}
    named = {point: lab.attempts(text_of(point)) for point in runs}
    expected_paid = dict.fromkeys(CrashPoint, 1)
    expected_named = {point: ["completed"] for point in CrashPoint}
    if action == "kill":
        # In doubt under `resubmit`: both attempts are in the ledger, the first as given up.
        for point in (CrashPoint.AFTER_INTENT, CrashPoint.AFTER_POST):
            expected_named[point] = ["abandoned", "completed"]
        expected_paid[CrashPoint.AFTER_POST] = 2
    assert paid == expected_paid
    assert named == expected_named
    assert lab.cancels() == 0


def test_in_doubt_is_left_to_a_person_where_the_policy_says_so(lab):
    doubted = [CrashPoint.AFTER_INTENT, CrashPoint.AFTER_POST]
    runs = plan_all(lab, doubted, in_doubt="fail")

    run_all(lab, runs, "kill")
    run_all(lab, runs)

    assert {lab.state(run) for run in runs.values()} == {"Failed"}
    for run in runs.values():
        assert "SubmissionInDoubt" in lab.message(run)
    lab.retry(runs[CrashPoint.AFTER_POST], "one_response")
    assert {point: lab.attempts(text_of(point), "state") for point in runs} == {
        point: ["in_doubt"] for point in doubted
    }
    assert [lab.posts(text_of(point)) for point in doubted] == [0, 1]
    assert lab.cancels() == 0
