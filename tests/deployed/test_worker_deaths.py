"""A worker, or what it started, dies while a response is awaited: nothing is paid for twice."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import pytest
from worker_lab import PATIENCE, end, is_alive, kill

pytestmark = pytest.mark.timeout(300)
#: Seconds that a container has to stop.
GRACE = 5.0
STOPPED = "worker stopped"
RESCHEDULED = {"PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": "reschedule"}


def asked(lab, runs, attempt=1):
    """Wait until all processes wait for their responses; return their IDs."""
    return {
        way: lab.wait_until_asked(run, text_of(way), attempt=attempt) for way, run in runs.items()
    }


def text_of(way):
    return f"Asked before {way}."


def stop_container(worker, child):
    """Stop a worker and its child as a container is stopped.

    The worker kills its child and tells nobody. Now and then it waits for it instead, until the
    grace is over and both are killed.
    """
    worker.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        worker.wait(GRACE)
    for pid in (worker.pid, child):
        with suppress(ProcessLookupError):
            kill(pid)
    worker.wait(PATIENCE)


def assert_paid_once(lab, runs):
    """Every run is Completed, of one POST each, and nothing was cancelled on the way."""
    for way, run in runs.items():
        lab.wait_for_state(run, "Completed")
        [create] = lab.creates(text_of(way))
        assert lab.delivered(run) == [create["response_id"]], lab.log(run)
        assert lab.attempts(text_of(way)) == ["completed"]
    assert lab.cancels() == 0, "a shutdown is no cancel"


def test_workers_and_their_children_die(lab):
    ways = ("child killed", "worker killed", "both killed")
    runs = {way: lab.order("one_answer", text=text_of(way)) for way in ways}
    runs[STOPPED] = lab.order("one_answer", queue="stopped", text=text_of(STOPPED))
    first, other = lab.start_worker("default"), lab.start_worker("stopped")
    pids = asked(lab, runs)

    # Under a living worker a dead child is Crashed at once.
    kill(pids["child killed"])
    lab.wait_for_state(runs["child killed"], "Crashed")
    end(first, signal.SIGKILL)
    kill(pids["both killed"])
    stop_container(other, pids[STOPPED])
    assert is_alive(pids["worker killed"])
    assert {lab.state(run) for way, run in runs.items() if way != "child killed"} == {"Running"}

    # A person presses Retry; or a container is started again for a run that is still Running, and
    # is told to stop in its turn.
    pod = lab.execute(runs[STOPPED], **RESCHEDULED)
    lab.retry_by_hand(runs["child killed"])
    lab.retry_by_hand(runs["both killed"])
    lab.start_worker()
    asked(lab, {way: runs[way] for way in ("child killed", "both killed", STOPPED)}, attempt=2)
    assert end(pod, signal.SIGTERM) == 0
    lab.wait_until_asked(runs[STOPPED], text_of(STOPPED), attempt=3)
    assert "AwaitingRetry" in lab.history(runs[STOPPED])
    lab.answer_all()

    assert_paid_once(lab, runs)
    assert {way: lab.run_counts(run) for way, run in runs.items()} == {
        "child killed": [1, 2],
        "worker killed": [1],
        "both killed": [1, 2],
        STOPPED: [1, 2, 3],
    }


def test_serving_processes_die(lab):
    ways = ("serving process stopped", "serving process killed")
    stopped, killed = (lab.serve("one_answer", f"{lab.pool}-{way.split()[-1]}") for way in ways)
    runs = {
        way: lab.order_served(f"{lab.pool}-{way.split()[-1]}", "one_answer", text=text_of(way))
        for way in ways
    }
    pids = asked(lab, runs)

    stopped.send_signal(signal.SIGTERM)
    end(killed, signal.SIGKILL)
    lab.wait_for(lambda: "SIGTERM received" in lab.printed(stopped))
    assert [is_alive(pid) for pid in pids.values()] == [True, True]
    assert stopped.poll() is None, "it waits for what it started"
    lab.answer_all()

    assert_paid_once(lab, runs)
    assert stopped.wait(PATIENCE) == 0
    assert [lab.run_counts(run) for run in runs.values()] == [[1], [1]]
