"""The promise itself: killed between the POST and the commit of its ID, and run again."""

from __future__ import annotations

import signal


def test_a_response_whose_id_was_lost_is_named_and_submitted_once_more(lab):
    run = lab.plan("one_response")

    killed = lab.finish(run, "one_response", crash="after_post:kill")
    assert killed == -signal.SIGKILL
    assert sum(lab.posted().values()) == 1

    assert lab.finish(run, "one_response") == 0, lab.log(run)
    assert lab.state(run) == "Completed"
    # In doubt under `resubmit`: the one window in which a second POST is the chosen policy.
    assert list(lab.accepted().values()) == [2]
    assert lab.cancels() == 0


def test_a_response_whose_id_was_stored_is_adopted(lab):
    run = lab.plan("one_response")

    assert lab.finish(run, "one_response", crash="after_id:kill") == -signal.SIGKILL
    assert lab.finish(run, "one_response") == 0, lab.log(run)

    assert lab.state(run) == "Completed"
    assert list(lab.posted().values()) == [1]
    assert lab.cancels() == 0
