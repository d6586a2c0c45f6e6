"""Interrupted from within: timeouts, Ctrl+C, a ledger that is locked; and asked again."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from prefect_responses.engine.connections import LedgerAddress, open_ledger
from prefect_responses.engine.runtime import Runtime

CREATE = {"method": "POST", "path_regex": "/responses$"}


def test_a_call_that_timed_out_is_found_again_in_the_same_run(lab):
    text = "Asked twice in one run."
    lab.control.add_fault("delay", seconds=0.6, match=CREATE)
    run = lab.plan("called_again_after_a_timeout", text=text, seconds=0.3)

    assert lab.finish(run, "called_again_after_a_timeout") == 0, lab.log(run)

    assert lab.posts(text) == 1
    assert lab.notes("delivered") == [lab.creates(text)[0]["response_id"]]


def test_ctrl_c_while_waiting(lab):
    text = "Interrupted at the keyboard."
    lab.control.set_latency("constant:1.5")
    run = lab.plan("interrupted_by_ctrl_c", text=text)

    process = lab.start(run, "interrupted_by_ctrl_c")
    lab.wait_for(lambda: lab.attempts(text, "state") == ["submitted"])
    process.send_signal(signal.SIGINT)

    process.wait(60.0)
    if lab.state(run) != "Completed":
        assert lab.retry(run, "interrupted_by_ctrl_c") == 0, lab.log(run)
    assert lab.posts(text) == 1
    assert lab.attempts(text) == ["completed"]


def test_a_call_that_failed_on_its_way_is_found_again_in_the_same_run(lab):
    # What the call was at when the ledger, or the client, failed it once, and what is heard.
    heard = {
        "Take": ["LedgerLocked"],
        "Claim": ["LedgerLocked"],
        "POST": ["Transient"],
        "RecordAccepted": [],
        "Settle": ["LedgerLocked"],
        "Deliver": ["LedgerLocked"],
    }
    labs = {verb: lab.beside(verb) for verb in heard}
    runs = {
        verb: beside.plan("caught_and_asked_again", text="Asked again.", verb=verb)
        for verb, beside in labs.items()
    }

    with ThreadPoolExecutor(4) as threads:
        ends = [
            threads.submit(beside.finish, runs[verb], "caught_and_asked_again")
            for verb, beside in labs.items()
        ]

    assert [end.result() for end in ends] == [0] * len(heard)
    assert {verb: beside.notes("caught") for verb, beside in labs.items()} == heard
    outcomes = {verb: beside.attempts("Asked again.") for verb, beside in labs.items()}
    # Nobody knows how far the broken client came.
    assert outcomes.pop("POST") == ["abandoned", "completed"]
    assert set(map(tuple, outcomes.values())) == {("completed",)}
    assert lab.posts("Asked again.") == len(heard)


def test_a_fork_does_not_keep_its_parent_alive(tmp_path):
    script = """
import asyncio, os, signal, sys
from prefect_responses.engine.connections import LedgerAddress, open_ledger
from prefect_responses.engine.runtime import current_runtime

runtime = current_runtime()
ledger = runtime.run(open_ledger(runtime, LedgerAddress(sys.argv[1])))
print(ledger.owner_id, flush=True)
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    url = f"sqlite:///{tmp_path / 'responses.db'}"
    with subprocess.Popen(
        [sys.executable, "-c", script, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        owner = parent.stdout.readline().decode().strip()
        parent.wait(30.0)
        runtime = Runtime()
        try:
            ledger = runtime.run(open_ledger(runtime, LedgerAddress(url)))
            assert not runtime.run(ledger.owner_is_alive(owner))
        finally:
            runtime.close()
