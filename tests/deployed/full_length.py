"""The automations as users have them, on heartbeats that Prefect really sends: five minutes.

Not part of the gate, whose test of them shortens the waits and sends heartbeats by hand.
"""

from __future__ import annotations

import signal
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from worker_lab import end, kill

from prefect_responses.cli.__main__ import main

BEATING = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
#: Seconds: three heartbeats, two delays, two boots, and a little.
LONG = 300.0


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["automations", *arguments])
    assert left.value.code == 0


@pytest.fixture
def automated(lab):
    run("create", "--tag", lab.pool, "--heartbeat-seconds", "30", "--max-runs", "3")
    yield
    run("delete")


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("automated")
def test_a_dead_run_comes_back_and_others_are_left_alone(lab):
    def order(story, text, queue="default"):
        return lab.order(story, tags=[lab.pool], queue=queue, env=BEATING, text=text)

    lab.start_worker("default")
    crashing = order("always_crashing", "Crashes every time.")
    lab.wait_until_asked(crashing, "Crashes every time.")
    lab.answer_all()
    first = lab.start_worker("doomed")
    dead = order("one_answer", "Dies once.", queue="doomed")
    healthy, asleep = order("one_answer", "Lives."), order("suspended_once", "Sleeps.")
    pid = lab.wait_until_asked(dead, "Dies once.")
    lab.wait_until_asked(healthy, "Lives.")
    lab.wait_for_state(asleep, "Suspended")
    end(first, signal.SIGKILL)
    kill(pid)

    lab.start_worker("doomed")
    lab.wait_for_state(dead, "Crashed", seconds=LONG)
    assert "heartbeat" in lab.message(dead)
    lab.wait_for(lambda: lab.run_counts(dead) == [1, 2], LONG)
    lab.wait_for(lambda: lab.run_counts(crashing) == [1, 2, 3], LONG)

    assert (lab.state(healthy), lab.state(asleep)) == ("Running", "Suspended")
    with get_client(sync_client=True) as client:
        client.resume_flow_run(UUID(asleep))
    lab.wait_until_asked(asleep, "Sleeps.")
    lab.answer_all()
    for one, counts in ((dead, [1, 2]), (healthy, [1]), (asleep, [1])):
        lab.wait_for_state(one, "Completed")
        assert lab.run_counts(one) == counts
    assert lab.state(crashing) == "Failed"
    assert "last of its 3 runs" in lab.message(crashing)
    assert set(lab.posted().values()) == {1}
    assert lab.cancels() == 0
