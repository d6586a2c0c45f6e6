"""The shapes in which flows call us again: one POST a body, whatever wraps the call."""

from __future__ import annotations

import signal

import pytest
from prefect.states import Cancelled


def started_and_ended(lab, name, **parameters):
    run = lab.plan(name, **parameters)
    assert lab.finish(run, name) == 0, lab.log(run)
    return run


def crashed_and_ended(lab, name, crash="", **parameters):
    run = lab.plan(name, **parameters)
    assert lab.finish(run, name, crash=crash) == -signal.SIGKILL
    assert lab.finish(run, name) == 0, lab.log(run)
    return run


def test_retries_around_the_call(lab):
    texts = {name: f"Asked in {name}." for name in ("enclosed", "fails_once")}
    runs = {name: lab.plan(name, text=text) for name, text in texts.items()}

    codes = lab.finish_all({run: {"name": name} for name, run in runs.items()})

    assert set(codes.values()) == {0}
    assert {lab.state(run) for run in runs.values()} == {"Completed"}
    assert {name: lab.posts(text) for name, text in texts.items()} == dict.fromkeys(texts, 1)
    # Each was asked twice and delivered the same response.
    assert len(lab.notes("delivered")) == 4
    assert len(set(lab.notes("delivered"))) == 2


def test_a_task_retry_adopts_what_its_first_try_submitted(lab):
    names = ("impatient_task", "impatient_async_task")
    texts = {name: f"Asked in {name}." for name in names}
    # The first try runs into its timeout while the POST is under way.
    lab.control.add_fault("delay", seconds=0.6, match={"method": "POST"}, times=2)
    runs = {name: lab.plan(name, text=text, patience=0.4) for name, text in texts.items()}

    codes = lab.finish_all({run: {"name": name} for name, run in runs.items()})

    assert set(codes.values()) == {0}, [lab.log(run) for run in runs.values()]
    assert {name: lab.posts(text) for name, text in texts.items()} == dict.fromkeys(texts, 1)
    assert [lab.attempts(text) for text in texts.values()] == [["completed"], ["completed"]]


def test_a_task_retry_adopts_in_threads_too(lab):
    texts = ["Asked thrice in threads."] * 3 + ["Asked once in a thread."]
    lab.control.add_fault("delay", seconds=0.6, match={"method": "POST"}, times=4)

    started_and_ended(lab, "impatient_in_threads", texts=texts, patience=0.4)

    assert (lab.posts(texts[0]), lab.posts(texts[3])) == (3, 1)
    assert lab.attempts(texts[0], "ordinal, outcome") == [(n, "completed") for n in range(3)]
    [delivered] = lab.notes("delivered")
    assert len(set(delivered)) == 4


def test_a_subflow_under_a_retried_parent(lab):
    ends = ("failed", "completed")
    texts = {end: f"Asked in a subflow that {end}." for end in ends}
    runs = {end: lab.plan("parent", text=text, end=end) for end, text in texts.items()}

    codes = lab.finish_all({run: {"name": "parent"} for run in runs.values()})

    assert set(codes.values()) == {0}, [lab.log(run) for run in runs.values()]
    assert {end: lab.posts(text) for end, text in texts.items()} == dict.fromkeys(ends, 1)


def test_a_subflow_that_was_terminated_with_its_parent(lab):
    run = lab.plan("parent", text="Asked once.", end="terminated")

    assert lab.finish(run, "parent") != 0
    assert lab.retry(run, "parent") == 0, lab.log(run)

    assert lab.state(run) == "Completed"
    assert lab.posts("Asked once.") == 1


def test_identical_mapped_calls_of_which_some_are_cached(lab):
    control, text = lab.control, "One of four."
    control.set_latency("uniform:1,100")
    control.stop_clock()
    run = lab.plan("mapped_in_turn", text=text, count=4)

    process = lab.start(run, "mapped_in_turn")
    lab.wait_for(lambda: lab.accepts(text) == 4)
    while sum(one["status"] == "completed" for one in control.responses()) < 2:
        control.advance(1.0)
    ended = sum(one["status"] == "completed" for one in control.responses())
    lab.wait_for(lambda: len(lab.notes("kept")) == ended)
    process.send_signal(signal.SIGKILL)
    process.wait(60.0)
    assert ended < 4
    control.advance(100.0)
    assert lab.finish(run, "mapped_in_turn") == 0, lab.log(run)

    assert lab.posts(text) == 4
    [samples] = lab.notes("samples")
    assert sorted(samples) == sorted(one["id"] for one in control.responses())
    assert len(lab.notes("asked")) == 4, "what was kept was not asked again"


def test_numbered_samples(lab):
    crashed_and_ended(lab, "numbered_samples", text="One of three.")

    first, second = lab.notes("samples")
    assert first == second
    assert len(set(first)) == 3
    assert lab.posts("One of three.") == 3


@pytest.mark.parametrize("ledger_database", ["sqlite", "postgresql"], indirect=True)
def test_many_identical_calls_of_one_loop_killed_in_the_middle(lab):
    text, count = "One of fifty.", 50
    crashed_and_ended(lab, "gathered", crash="after_id:kill:20", text=text, count=count)

    [samples] = lab.notes("samples")
    outcomes = lab.attempts(text, "outcome, ordinal")
    doubted = [ordinal for outcome, ordinal in outcomes if outcome == "abandoned"]
    # What was on the wire when it died may have been accepted, and each such attempt is named.
    assert len(doubted) <= 16
    assert count <= lab.accepts(text) <= count + len(doubted)
    assert sorted(ordinal for outcome, ordinal in outcomes if outcome == "completed") == [
        *range(count)
    ]
    assert len(set(samples)) == count


def test_the_calls_of_a_process_pool(lab):
    run = lab.plan("pooled", text="Asked thrice.", other="Asked once.")

    lab.finish(run, "pooled")
    assert "Transient" in lab.message(run), lab.log(run)
    assert lab.retry(run, "pooled") == 0, lab.log(run)

    assert lab.posts("Asked thrice.") == 3
    assert lab.posts("Asked once.") == 1
    first, second = lab.notes("pooled")
    assert sorted(first) == sorted(second)
    assert len(set(first)) == 4


def test_two_steps_with_a_kept_handle(lab):
    text = "Asked in two steps."
    lab.control.set_latency("constant:0.8")
    crashed_and_ended(lab, "two_steps", crash="while_polling:kill", text=text)

    assert lab.posts(text) == 1
    assert lab.notes("handles") == lab.notes("delivered") * 2


def test_an_error_between_create_and_await(lab):
    text = "Asked, and left."
    run = lab.plan("created_then_interrupted", text=text)

    lab.finish(run, "created_then_interrupted")
    assert "Transient" in lab.message(run), lab.log(run)
    assert lab.retry(run, "created_then_interrupted") == 0, lab.log(run)

    assert lab.posts(text) == 1
    assert lab.notes("handles") == lab.notes("delivered") * 2


def test_retry_after_the_response_failed_makes_one_new_attempt(lab):
    text = "Fails at first."
    lab.control.add_replies({"error": {"code": "server_error"}}, {"text": "There."})
    run = lab.plan("scripted", text=text)

    lab.finish(run, "scripted")
    assert "ResponseFailed" in lab.message(run), lab.log(run)
    assert lab.posts(text) == 1
    assert lab.retry(run, "scripted") == 0, lab.log(run)

    assert lab.posts(text) == 2
    assert lab.attempts(text) == ["failed", "completed"]


def test_retry_after_the_response_of_a_kept_handle_failed(lab):
    text = "Fails under a handle."
    lab.control.add_replies({"error": {"code": "server_error"}}, {"text": "There."})
    run = lab.plan("two_scripted_steps", text=text)

    lab.finish(run, "two_scripted_steps")
    assert "ResponseFailed" in lab.message(run), lab.log(run)
    assert lab.retry(run, "two_scripted_steps") == 0, lab.log(run)

    first, second = lab.notes("handles")
    assert first == second
    assert lab.notes("delivered") == ["There."]
    assert lab.attempts(text) == ["failed", "completed"]


def test_retry_after_the_flow_run_was_cancelled(lab):
    texts = {"left": "Left running.", "cancelled": "Cancelled upstream."}
    lab.control.set_latency("constant:60")
    runs = {what: lab.plan("one_response", text=text) for what, text in texts.items()}

    processes = [lab.start(run, "one_response") for run in runs.values()]
    lab.wait_for(
        lambda: all(lab.attempts(text, "state") == ["submitted"] for text in texts.values())
    )
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait(60.0)
    for run in runs.values():
        lab.set_state(run, Cancelled())
    lab.cancel_upstream(lab.creates(texts["cancelled"])[0]["response_id"])
    lab.control.advance(60.0)
    lab.control.set_latency("constant:0.3")
    codes = {what: lab.retry(run, "one_response") for what, run in runs.items()}

    assert codes == {"left": 0, "cancelled": 0}, [lab.log(run) for run in runs.values()]
    assert lab.attempts(texts["left"]) == ["completed"]
    assert lab.posts(texts["left"]) == 1
    assert lab.attempts(texts["cancelled"]) == ["cancelled", "completed"]
    assert lab.posts(texts["cancelled"]) == 2
    assert lab.cancels() == 1, "the one of this test"


def test_a_rejected_answer_is_replaced_once(lab):
    text = "Rejected once."
    run = crashed_and_ended(lab, "rejecting", text=text)
    assert lab.posts(text) == 2
    assert lab.attempts(text, "number, rejected IS NULL") == [(1, 0), (2, 1)]
    assert lab.state(run) == "Completed"


def test_an_answer_rejected_in_a_loop_is_replaced_once(lab):
    text = "Rejected in a loop."
    crashed_and_ended(lab, "rejecting_in_a_loop", text=text)
    assert lab.posts(text) == 2
    first, second, again = lab.notes("delivered")
    assert first != second
    assert again == second


def test_a_changed_request_under_the_same_key(lab):
    modes = ("error", "adopt", "resubmit")
    texts = {mode: [f"{mode}: before.", f"{mode}: after."] for mode in modes}
    for mode in modes:
        (lab.folder / "keyed.once").unlink(missing_ok=True)
        run = lab.plan("keyed", texts=texts[mode], on_change=mode)
        assert lab.finish(run, "keyed") == -signal.SIGKILL, lab.log(run)
        code = lab.finish(run, "keyed")
        if mode == "error":
            assert "RequestChanged" in lab.message(run)
            assert "$.input" in lab.message(run)
        elif mode == "resubmit":
            assert code == 0, lab.log(run)

    posts = {mode: [lab.posts(text) for text in texts[mode]] for mode in modes}
    assert posts == {"error": [1, 0], "adopt": [1, 0], "resubmit": [1, 1]}
    assert lab.cancels() == 0
