"""Automations on a real server: what died comes back, and what only waits is left alone.

One test: their names are fixed, so that a server has them once, and its server is its own.
"""

from __future__ import annotations

import asyncio
import signal

import pytest
from by_hand import HEARTBEAT, ByHand, named_by_its_flow, paused, suspended
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import AwaitingRetry, Completed, Crashed, Pending, Running
from quiet_server import quiet_server
from worker_lab import end, kill, lab_at

from prefect_responses.cli.__main__ import main
from prefect_responses.host.automations import Change, install
from prefect_responses.host.recovery import GIVE_UP, NAMES, RERUN, Recovery

pytestmark = pytest.mark.timeout(300)
#: Seconds, little more than the least that Prefect takes.
WITHIN, DELAY = 15.0, 10.0
#: States of a flow run that lives without a process.
WAITING = (suspended, paused, named_by_its_flow)
#: Three runs that crash before they begin.
CANNOT_BEGIN = (AwaitingRetry, Pending, Crashed) * 3
#: With two runs at most, so that one more crash is the last.
RUNS = 2


def run(capsys, *arguments):
    """Run a command; return what it printed."""
    with pytest.raises(SystemExit) as left:
        main(["automations", *arguments])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def lab(tmp_path):
    with (
        quiet_server(tmp_path) as url,
        temporary_settings({PREFECT_API_URL: url}),
        lab_at(url, tmp_path) as lab,
    ):
        yield lab


# Prefect's clients leave their sockets to its server unclosed.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_died_comes_back_and_what_waits_is_left_alone(lab, capsys):
    theirs = Automation.model_validate(
        {
            "name": f"prefect-responses: not ours, of {lab.pool}",
            "trigger": {"type": "event", "expect": {lab.pool}},
            "actions": [{"type": "do-nothing"}],
        }
    ).create()
    try:
        they_are_made_once_and_changed_in_place(lab, capsys)
        with get_client(sync_client=True) as client:
            they_work(lab, ByHand(lab, client))
        they_are_listed_with_what_they_did(lab, capsys)
    finally:
        deleted = run(capsys, "delete")
        assert theirs.delete()
    assert [name for name in NAMES if f"deleted: {name}" in deleted] == [*NAMES]
    assert "none of ours" in run(capsys, "delete")


def they_are_made_once_and_changed_in_place(lab, capsys):
    wanted = ("create", "--tag", lab.pool, "--tag", "other", "--heartbeat-seconds", "60")
    first, again = run(capsys, *wanted), run(capsys, *wanted)

    assert first.count("created: ") == len(NAMES)
    assert "no heartbeat came for 180 seconds" in first
    assert "PREFECT_FLOWS_HEARTBEAT_FREQUENCY=60" in first
    assert again.count("unchanged: ") == len(NAMES)

    made = Automation.read(name=RERUN)
    made.disable()
    short = Recovery((lab.pool,), WITHIN, RUNS, DELAY)
    assert set(asyncio.run(install(short)).values()) == {Change.UPDATED}
    assert "; paused" in run(capsys, "list")
    kept = Automation.read(name=RERUN)
    assert (kept.id, kept.enabled) == (made.id, False)
    kept.enable()


def they_work(lab, by_hand):
    dead, orphaned = "Asked before worker and child died.", "Asked before the child died."
    runs = {dead: lab.order("one_answer", tags=[lab.pool], text=dead)}
    first = lab.start_worker("default")
    lab.wait_for(lambda: lab.state(runs[dead]) != "Scheduled")
    # Started again while the first one is busy; only this one looks at the other queue.
    runs[orphaned] = lab.order("one_answer", tags=[lab.pool], queue="second", text=orphaned)
    lab.start_worker("default", "second")

    untagged = by_hand.run(Running, HEARTBEAT, tagged=False)
    # Their last heartbeat comes late, as it does when a run suspends as soon as it begins.
    waiting = [by_hand.run(Running, state, HEARTBEAT) for state in WAITING]
    waits = {one: lab.state(one) for one in waiting}
    left_alone = [
        by_hand.run(Running, Crashed, tagged=False),
        by_hand.run(Running, Crashed, deployed=False),
        by_hand.run(Pending, Crashed),
    ]
    # What begins to wait later fires later, so that it tells what will not happen any more.
    silent = by_hand.run(Running, HEARTBEAT)
    crashing = by_hand.run(Running, Crashed)
    unable = by_hand.run(Running, Crashed, *CANNOT_BEGIN)
    # Its process lived, and went on in what happens to be its last run.
    alive = by_hand.run(Running, Crashed, Running, Completed)

    pid = lab.wait_until_asked(runs[dead], dead)
    end(first, signal.SIGKILL)
    kill(pid)
    kill(lab.wait_until_asked(runs[orphaned], orphaned))
    lab.answer_all()

    lab.wait_for_state(crashing, "AwaitingRetry")
    for state in (Running, Crashed):
        by_hand.put(crashing, state)
    lab.wait_for_state(crashing, "Failed")
    assert "last of its 2 runs" in lab.message(crashing)
    later = by_hand.run(Running, Crashed)
    lab.wait_for_state(unable, "Failed")
    assert "crashed 4 times within 9 minutes" in lab.message(unable)

    lab.wait_for(lambda: "Crashed" in lab.history(silent))
    assert lab.history(silent)[:4] == ["Scheduled", "Running", "ProcessLost", "Crashed"]
    assert {one: lab.state(one) for one in waiting} == waits
    assert lab.state(untagged) == "Running"
    lab.wait_for_state(later, "AwaitingRetry")
    assert {lab.state(one) for one in left_alone} == {"Crashed"}
    assert {lab.state(one) for one in (crashing, unable)} == {"Failed"}
    assert lab.state(alive) == "Completed"

    for text, one in runs.items():
        lab.wait_for_state(one, "Completed")
        assert lab.posts(text) == 1
        assert lab.run_counts(one) == [1, 2]
        assert {"Crashed", "AwaitingRetry"} < {*lab.history(one)}
    assert lab.cancels() == 0


def they_are_listed_with_what_they_did(lab, capsys):
    listed = run(capsys, "list")
    lines = {name: line for line in listed.splitlines() for name in NAMES if name in line}

    assert set(lines) == {*NAMES}
    assert all(lab.pool in line for line in lines.values())
    assert "4 times within 9 minutes" in lines[GIVE_UP]
    assert " 1 time, last at" in lines[GIVE_UP]
    assert [name for name, line in lines.items() if "never" in line] == []
