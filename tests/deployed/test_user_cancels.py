"""A user cancels a flow run: what it has in flight ends upstream, and what has ended is kept."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from prefect.states import Cancelling
from worker_lab import kill

TOGETHER = "Three at once."
PLACES = tuple(f"{TOGETHER} In {where}." for where in ("the flow", "a thread", "a subflow"))
LATE = "Just in time."
ENDED_BY_THE_USER = ("settled", "cancelled", "flow_run_cancelled")


def is_told_to_end(pid: int) -> bool:
    """Tell whether SIGTERM waits for a process that is stopped."""
    status = Path(f"/proc/{pid}/status").read_text()
    [pending] = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd")]
    return bool(int(pending, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_user_cancels(lab):
    run = lab.order("three_in_flight", text=TOGETHER)
    late = lab.order("one_durable_answer", text=LATE)
    lab.start_worker()
    late_pid = lab.wait_until_asked(late, LATE)
    lab.wait_for(lambda: [lab.attempts(text, "state") for text in PLACES] == [["submitted"]] * 3)

    # The thread does not hear of it, so in the end the process is killed.
    lab.set_state(run, Cancelling())
    lab.wait_for(lambda: lab.notes("interrupted"))
    assert lab.cancels() == 0, "it is the hook that cancels, not the process"
    kill(lab.pid_of(run))
    lab.wait_for_state(run, "Cancelled")

    said = "state, outcome, cancel_reason"
    assert [lab.attempts(text, said) for text in PLACES] == [[ENDED_BY_THE_USER]] * 3
    first = [lab.creates(text)[0]["response_id"] for text in PLACES]
    assert sorted(lab.cancelled_ids()) == sorted(first)
    lab.wait_for(lambda: "3 in flight: 3 cancelled." in lab.log(run))
    assert lab.attempts(LATE, "state") == ["submitted"], "it is another flow run's"

    # Retry pays again for what was cancelled, once; meanwhile another response completes while
    # its flow run is cancelled, in a process that cannot see it any more.
    lab.retry_by_hand(run)
    lab.wait_for(
        lambda: [lab.attempts(text, "state") for text in PLACES] == [["settled", "submitted"]] * 3
    )
    os.kill(late_pid, signal.SIGSTOP)
    lab.set_state(late, Cancelling())
    lab.wait_for(lambda: is_told_to_end(late_pid))
    lab.answer_all()
    kill(late_pid)

    lab.wait_for_state(late, "Cancelled")
    lab.wait_for_state(run, "Completed")
    assert lab.attempts(LATE) == ["completed"]
    assert lab.delivered(late) == []
    assert lab.delivered(run) == [[lab.creates(text)[1]["response_id"] for text in PLACES]]
    assert [lab.posts(text) for text in PLACES] == [2] * 3
