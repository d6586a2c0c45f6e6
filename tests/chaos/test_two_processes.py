"""Two processes of one flow run: side by side, or one that was paused and wakes up late."""

from __future__ import annotations

import signal
import time


def both(lab, name, text, **how):
    run = lab.plan(name, text=text)
    processes = [lab.start(run, name, **how) for _ in range(2)]
    return run, [process.wait(60.0) for process in processes]


def test_side_by_side(lab):
    text = "Asked by two."
    # Both have set Running before either reads the state back.
    run, codes = both(lab, "side_by_side", text)

    assert 0 in codes, lab.log(run)
    assert len(lab.notes("running")) == 2
    assert lab.posts(text) == 1, lab.attempts(text, "ordinal, number, outcome")
    assert lab.attempts(text) == ["completed"]


def stopped_after_the_post(lab, text, name="one_response", **parameters):
    """Stop a process when the API has accepted, and its ID is in that process only.

    Returns the lab with its ledger, the flow run and the process. One that was stopped while it
    renewed its lease holds SQLite's lock: nobody can do anything then, so another is tried.
    """
    for turn in range(5):
        before, own = lab.posts(text), lab.beside(f"turn-{turn}")
        run = own.plan(name, text=text, **parameters)
        late = own.start(run, name, crash="after_post:stop", **LEASE)
        lab.wait_for(lambda: lab.posts(text) > before and _is_stopped(late.pid))  # noqa: B023
        if not own.is_locked():
            return own, run, late, before
        late.send_signal(signal.SIGKILL)
        late.wait(60.0)
    raise AssertionError("It was always stopped in the middle of a write.")


LEASE = {"PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS": "3"}


def _is_stopped(pid):
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - no path of ours
        return file.read().rpartition(")")[2].split()[0] == "T"


def test_an_id_that_comes_late_is_kept_and_named_as_surplus(lab):
    text = "Accepted twice."
    lab, run, late, before = stopped_after_the_post(lab, text)

    assert lab.finish(run, "one_response", **LEASE) == 0, lab.log(run)
    assert lab.attempts(text) == ["abandoned", "completed"]
    late.send_signal(signal.SIGCONT)
    late.wait(60.0)

    first, second = lab.attempts(text, "outcome, response_id")
    ids = [entry["response_id"] for entry in lab.creates(text)[before:]]
    assert (first, second) == (("surplus", ids[0]), ("completed", ids[1]))
    assert lab.cancelled_ids() == [ids[0]]
    assert lab.posts(text) == before + 2
    # Both processes deliver the one that counts.
    assert set(lab.notes("delivered")) == {ids[1]}
    assert lab.state(run) == "Completed"


def test_an_id_that_comes_before_the_second_is_accepted_is_adopted(lab):
    text = "Accepted twice, in turn."
    lab, run, late, before = stopped_after_the_post(lab, text)
    # The second POST is held for longer than the first process needs to wake up.
    lab.control.add_fault(
        "delay", seconds=1.2, match={"method": "POST", "path_regex": "/responses$"}
    )

    second = lab.start(run, "one_response", **LEASE)
    lab.wait_for(lambda: lab.posts(text) >= before + 2)
    late.send_signal(signal.SIGCONT)
    assert second.wait(60.0) == 0, lab.log(run)
    late.wait(60.0)

    ids = [entry["response_id"] for entry in lab.creates(text)[before:]]
    assert lab.attempts(text, "outcome, response_id") == [
        ("completed", ids[0]),
        ("surplus", ids[1]),
    ]
    assert lab.cancelled_ids() == [ids[1]]
    assert set(lab.notes("delivered")) == {ids[0]}


def test_an_id_that_comes_before_the_second_post_makes_it_unnecessary(lab):
    text = "Accepted once."
    lab, run, late, before = stopped_after_the_post(lab, text)

    second = lab.start(run, "one_response", **LEASE)
    lab.wait_for(lambda: lab.attempts(text, "state") == ["settled", "planned"])
    late.send_signal(signal.SIGCONT)
    assert second.wait(60.0) == 0, lab.log(run)
    late.wait(60.0)

    assert lab.posts(text) == before + 1
    assert lab.attempts(text, "outcome, state") == [("completed", "settled"), (None, "planned")]
    assert lab.cancels() == 0


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


LEASE_SECONDS = "PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS"
