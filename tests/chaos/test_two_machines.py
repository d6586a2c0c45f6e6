"""Machines that share nothing but a database: one takes over what another one had in flight."""

from __future__ import annotations

import signal

import pytest
from databases import read

pytestmark = pytest.mark.parametrize("ledger_database", ["postgresql"], indirect=True)


def machine(lab, name):
    """Return the environment of a process on a machine of its own."""
    home = lab.folder / name
    home.mkdir(exist_ok=True)
    return {"HOME": str(home), "TMPDIR": str(home), "LAB_HOST": name}


def test_what_one_machine_left_in_flight_is_finished_by_another(lab):
    crashes = {"killed": "while_polling:kill", "frozen": "while_polling:stop"}
    lab.control.set_latency("constant:1.5")
    runs = {way: lab.plan("one_response", text=f"Left by one {way}.") for way in crashes}

    first = {
        way: lab.start(run, "one_response", crash=crashes[way], **machine(lab, "first"))
        for way, run in runs.items()
    }
    assert first["killed"].wait(60.0) == -signal.SIGKILL
    lab.wait_for(lambda: len(lab.control.journal(method="GET")) >= len(runs))
    second = {
        way: lab.start(run, "one_response", **machine(lab, "second")) for way, run in runs.items()
    }
    assert [process.wait(60.0) for process in second.values()] == [0, 0], lab.all_logs()
    first["frozen"].send_signal(signal.SIGCONT)
    first["frozen"].wait(60.0)

    for way, run in runs.items():
        assert lab.state(run) == "Completed"
        assert lab.posts(f"Left by one {way}.") == 1
        assert lab.attempts(f"Left by one {way}.") == ["completed"]
    assert lab.cancels() == 0
    # The frozen one delivers what the other one settled.
    assert len(lab.notes("delivered")) == 3
    assert len(set(lab.notes("delivered"))) == 2
    hosts = read(lab.ledger_url, "SELECT host FROM owners ORDER BY host")
    assert hosts == [("first",), ("first",), ("second",), ("second",)]


#: Seconds: more than three leases.
AHEAD = {"LAB_CLOCK_AHEAD": "3600"}
#: A POST may be held for as long as another process needs to come.
LONG = {
    "PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS": "20",
    "PREFECT_INTEGRATIONS_RESPONSES_SUBMIT_TIMEOUT_SECONDS": "9",
}


def test_who_lives_is_told_by_the_clock_of_the_database(lab):
    text = "Killed where the clock is an hour fast."
    run = lab.plan("one_response", text=text)

    killed = lab.finish(
        run, "one_response", crash="after_intent:kill", **machine(lab, "fast"), **AHEAD
    )
    assert killed == -signal.SIGKILL
    assert lab.finish(run, "one_response", **machine(lab, "right")) == 0, lab.log(run)

    assert lab.posts(text) == 1
    assert lab.attempts(text) == ["abandoned", "completed"]


def test_a_fast_clock_takes_nobody_for_dead(lab):
    text = "Being sent while another machine looks."
    lab.control.add_fault("delay", seconds=4.0, match={"method": "POST"})
    run = lab.plan("one_response", text=text)

    sending = lab.start(run, "one_response", **machine(lab, "right"), **LONG)
    lab.wait_for(lambda: lab.posts(text) == 1)
    lab.start(run, "one_response", **machine(lab, "fast"), **LONG, **AHEAD)
    lab.wait_for(lambda: lab.owners() == 2)

    assert sending.wait(60.0) == 0, lab.log(run)
    assert lab.posts(text) == 1
    assert lab.attempts(text) == ["completed"]
