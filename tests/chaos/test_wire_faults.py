"""What the wire and the API do to a POST, and what is paid for then."""

from __future__ import annotations

import signal

import pytest

CREATE = {"method": "POST", "path_regex": "/responses$"}

#: Fault, its details, and then: POSTs, accepted ones, outcomes in the ledger.
FAULTS = {
    "accept_then_drop": ({}, 2, 2, ["abandoned", "completed"]),
    "drop_before": ({}, 2, 1, ["abandoned", "completed"]),
    "accept_then_stall": ({"seconds": 6.0}, 2, 2, ["abandoned", "completed"]),
    "status": ({"status": 502, "body": "html"}, 2, 1, ["abandoned", "completed"]),
    "accept_then_status": ({"status": 500}, 2, 2, ["abandoned", "completed"]),
    "unreadable": ({"body": "text"}, 2, 2, ["abandoned", "completed"]),
}


def struck(lab, kind, text, **details):
    lab.control.add_fault(kind, match={**CREATE, "body_contains": text}, **details)


def test_an_ambiguous_answer_under_the_default_policy(lab):
    texts = {kind: f"Struck by {kind}." for kind in FAULTS}
    for kind, text in texts.items():
        struck(lab, kind, text, **FAULTS[kind][0])
    runs = {kind: lab.plan("one_response", text=text) for kind, text in texts.items()}

    codes = lab.finish_all({run: {"name": "one_response"} for run in runs.values()})

    assert set(codes.values()) == {0}
    seen = {
        kind: (FAULTS[kind][0], lab.posts(text), lab.accepts(text), lab.attempts(text))
        for kind, text in texts.items()
    }
    assert seen == FAULTS
    assert lab.cancels() == 0


def test_an_ambiguous_answer_is_not_repeated_where_the_policy_says_so(lab):
    kinds = ("accept_then_drop", "status")
    texts = {kind: f"Struck by {kind}." for kind in kinds}
    for kind, text in texts.items():
        struck(lab, kind, text, **FAULTS[kind][0])
    runs = {
        kind: lab.plan("one_response", text=text, in_doubt="fail") for kind, text in texts.items()
    }

    lab.finish_all({run: {"name": "one_response"} for run in runs.values()})
    for run in runs.values():
        assert "SubmissionInDoubt" in lab.message(run)
        lab.retry(run, "one_response")

    assert {kind: lab.posts(text) for kind, text in texts.items()} == dict.fromkeys(kinds, 1)
    assert [lab.attempts(text, "state") for text in texts.values()] == [["in_doubt"]] * 2


def test_a_doubt_that_does_not_end_is_left_to_a_person(lab):
    text = "Never answered."
    struck(lab, "accept_then_drop", text, times=None)
    run = lab.plan("one_response", text=text)

    lab.finish(run, "one_response")

    assert "SubmissionInDoubt" in lab.message(run), lab.log(run)
    assert lab.posts(text) == 3, "the first, and at most two more"
    assert lab.attempts(text, "state") == ["settled", "settled", "in_doubt"]


def test_killed_while_it_waits_to_be_let_in(lab):
    text = "Too many at once."
    struck(lab, "status", text, status=429, code="rate_limit_exceeded", retry_after=2)
    run = lab.plan("one_response", text=text)

    process = lab.start(run, "one_response")
    lab.wait_for(lambda: lab.attempts(text, "not_before IS NOT NULL") == [1])
    process.send_signal(signal.SIGKILL)
    process.wait(60.0)
    assert lab.finish(run, "one_response") == 0, lab.log(run)

    assert (lab.posts(text), lab.accepts(text)) == (2, 1)
    assert lab.attempts(text) == ["completed"], "a refusal consumes no attempt"
    first, second = lab.creates(text)
    assert second["time"] - first["time"] >= 2


def test_a_refused_key_parks_and_a_good_one_goes_on(lab):
    text = "Asked with a bad key."
    lab.control.change_settings(rejected_keys=["sk-old"])
    run = lab.plan("patient", text=text)

    lab.finish(run, "patient", OPENAI_API_KEY="sk-old")
    assert "CredentialsRefused" in lab.message(run), lab.log(run)
    assert (lab.posts(text), lab.accepts(text)) == (1, 0), "three task retries sent nothing"
    assert lab.attempts(text, "number, state") == [(1, "planned")]
    assert lab.retry(run, "patient") == 0, lab.log(run)

    assert (lab.posts(text), lab.accepts(text)) == (2, 1)
    assert lab.attempts(text, "number, outcome") == [(1, "completed")]


@pytest.mark.parametrize("status", [400])
def test_what_can_never_succeed_is_asked_once(lab, status):
    text = "Wrong for ever."
    struck(lab, "status", text, status=status, times=None)
    run = lab.plan("patient", text=text)

    lab.finish(run, "patient")

    assert "RequestRefused" in lab.message(run), lab.log(run)
    assert lab.posts(text) == 1


def test_two_ledgers_for_one_flow_run(lab):
    text = "Asked of another ledger."
    run = lab.plan("one_response", text=text)
    assert lab.finish(run, "one_response", crash="after_id:kill") == -signal.SIGKILL

    other = f"sqlite:///{lab.folder / 'other.db'}"
    lab.finish(run, "one_response", ledger_url=other)
    assert "LedgerChanged" in lab.message(run), lab.log(run)
    assert lab.posts(text) == 1
    assert lab.retry(run, "one_response") == 0, lab.log(run)

    assert lab.posts(text) == 1
