"""Two processes of one flow run: side by side, or one that was paused and wakes up late."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

#: On a file a lock tells who lives; on PostgreSQL the lease alone does.
everywhere = pytest.mark.parametrize("ledger_database", ["sqlite", "postgresql"], indirect=True)


def both(lab, name, text, **how):
    run = lab.plan(name, text=text)
    processes = [lab.start(run, name, **how) for _ in range(2)]
    return run, [process.wait(60.0) for process in processes]


@everywhere
def test_side_by_side(lab):
    text = "Asked by two."
    # Both have set Running before either reads the state back.
    run, codes = both(lab, "side_by_side", text)

    assert 0 in codes, lab.log(run)
    assert len(lab.notes("running")) == 2
    assert lab.posts(text) == 1, lab.attempts(text, "ordinal, number, outcome")
    assert lab.attempts(text) == ["completed"]


def stopped_after_the_post(lab, text):
    """Stop a process when the API has accepted, and its ID is in that process only.

    Returns what was asked, the flow run and the process. One that was stopped while it renewed its
    lease is in the middle of a write, and others wait for it: then another is tried.
    """
    for turn in range(5):
        asked = f"{text} In turn {turn}."
        run = lab.plan("one_response", text=asked)
        late = lab.start(run, "one_response", crash="after_post:stop", **LEASE)
        lab.wait_for(lambda: lab.posts(asked) and _is_stopped(late.pid))  # noqa: B023
        if not lab.is_locked():
            return asked, run, late
        late.send_signal(signal.SIGKILL)
        late.wait(60.0)
    raise AssertionError("It was always stopped in the middle of a write.")


LEASE = {"PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS": "3"}


def _is_stopped(pid):
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - no path of ours
        return file.read().rpartition(")")[2].split()[0] == "T"


@everywhere
def test_an_id_that_comes_late_is_kept_and_named_as_surplus(lab):
    text, run, late = stopped_after_the_post(lab, "Accepted twice.")

    assert lab.finish(run, "one_response", **LEASE) == 0, lab.log(run)
    assert lab.attempts(text) == ["abandoned", "completed"]
    late.send_signal(signal.SIGCONT)
    late.wait(60.0)

    first, second = lab.attempts(text, "outcome, response_id")
    ids = [entry["response_id"] for entry in lab.creates(text)]
    assert (first, second) == (("surplus", ids[0]), ("completed", ids[1]))
    assert lab.cancelled_ids() == [ids[0]]
    assert lab.posts(text) == 2
    # Both processes deliver the one that counts.
    assert set(lab.notes("delivered")) == {ids[1]}
    assert lab.state(run) == "Completed"


def test_an_id_that_comes_before_the_second_is_accepted_is_adopted(lab):
    text, run, late = stopped_after_the_post(lab, "Accepted twice, one after the other.")
    # The second POST is held for longer than the first process needs to wake up.
    lab.control.add_fault(
        "delay", seconds=1.2, match={"method": "POST", "path_regex": "/responses$"}
    )

    second = lab.start(run, "one_response", **LEASE)
    lab.wait_for(lambda: lab.posts(text) >= 2)
    late.send_signal(signal.SIGCONT)
    assert second.wait(60.0) == 0, lab.log(run)
    late.wait(60.0)

    ids = [entry["response_id"] for entry in lab.creates(text)]
    assert lab.attempts(text, "outcome, response_id") == [
        ("completed", ids[0]),
        ("surplus", ids[1]),
    ]
    assert lab.cancelled_ids() == [ids[1]]
    assert set(lab.notes("delivered")) == {ids[0]}


def test_an_id_that_comes_before_the_second_post_makes_it_unnecessary(lab):
    text, run, late = stopped_after_the_post(lab, "Accepted once.")

    second = lab.start(run, "one_response", **LEASE)
    lab.wait_for(lambda: lab.attempts(text, "state") == ["settled", "planned"])
    late.send_signal(signal.SIGCONT)
    assert second.wait(60.0) == 0, lab.log(run)
    late.wait(60.0)

    assert lab.posts(text) == 1
    assert lab.attempts(text, "outcome, state") == [("completed", "settled"), (None, "planned")]
    assert lab.cancels() == 0


@everywhere
def test_a_process_that_lost_its_lease_goes_on_as_another_owner(lab):
    text, then = "Asked before the pause.", "Asked after it."
    run = lab.plan("two_in_turn", text=text, then=then)
    process = lab.start(run, "two_in_turn", **{LEASE_SECONDS: "1"})
    lab.wait_for(lambda: len(lab.notes("delivered")) == 1)

    process.send_signal(signal.SIGSTOP)
    time.sleep(1.2)  # the length of the lease and a little: nothing else can be waited for
    process.send_signal(signal.SIGCONT)
    (lab.folder / "go on.word").touch()

    assert process.wait(60.0) == 0, lab.log(run)
    assert lab.state(run) == "Completed"
    assert (lab.posts(text), lab.posts(then)) == (1, 1)
    assert lab.owners() == 2


#: Holds the lock of a SQLite file, and stops.
NEIGHBOUR = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_neighbour_that_is_stopped_in_the_middle_of_a_write(lab):
    texts = {"killed": "Killed while it waits to write.", "patient": "Waits until it can write."}
    lab.control.add_fault("delay", seconds=0.9, match={"method": "POST"}, times=2)
    runs = {what: lab.plan("one_response", text=text) for what, text in texts.items()}
    processes = {what: lab.start(run, "one_response") for what, run in runs.items()}
    lab.wait_for(lambda: all(lab.posts(text) for text in texts.values()))
    file = lab.folder / "responses.db"
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(file)]) as neighbour:
        lab.wait_for(lambda: _is_stopped(neighbour.pid))

        lab.wait_for(lambda: all(lab.accepts(text) for text in texts.values()))
        processes["killed"].send_signal(signal.SIGKILL)
        processes["killed"].wait(60.0)
        neighbour.kill()

    assert processes["patient"].wait(60.0) == 0, lab.all_logs()
    assert lab.finish(runs["killed"], "one_response") == 0, lab.all_logs()
    assert lab.attempts(texts["patient"]) == ["completed"]
    assert lab.attempts(texts["killed"]) == ["abandoned", "completed"]
    assert {what: lab.accepts(text) for what, text in texts.items()} == {"killed": 2, "patient": 1}


LEASE_SECONDS = "PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS"
