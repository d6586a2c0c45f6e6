"""How following goes on after a connection, what a streamed create came to, and when to commit."""

from __future__ import annotations

import pytest

from prefect_responses.decisions.create_streams import read_create_events
from prefect_responses.decisions.policies import Backoff, FollowPolicy
from prefect_responses.decisions.progress_pace import ProgressPace
from prefect_responses.decisions.stream_ends import (
    Connection,
    PollForGood,
    Reconnect,
    after_connection,
)
from prefect_responses.decisions.stream_fold import Fold, fold
from prefect_responses.decisions.verdicts import CreateAccepted, CreateAmbiguous
from prefect_responses.statuses import ResponseStatus
from prefect_responses.wire.answers import Answer, AnswerHead
from prefect_responses.wire.stream_events import read_event

POLICY = FollowPolicy(tries=3, backoff=Backoff(first=1.0, factor=2.0, most=60.0))


@pytest.mark.parametrize(
    ("connection", "then"),
    [
        (Connection(is_new=True), Reconnect(1.0, ask=True)),
        (Connection(is_new=True, is_broken=True), Reconnect(1.0, ask=False)),
        (Connection(fruitless=1), Reconnect(1.0)),
        (Connection(is_broken=True, fruitless=2), Reconnect(2.0)),
        (Connection(fruitless=3), PollForGood()),
        (Connection(Answer(400), fruitless=1), PollForGood()),
        (Connection(Answer(404), fruitless=1), PollForGood()),
        (Connection(Answer(200, b"{}"), fruitless=1), PollForGood()),
        (Connection(Answer(401), fruitless=1), PollForGood()),
        (Connection(Answer(503), fruitless=1), Reconnect(1.0)),
        (Connection(Answer(429, retry_after=130.0), fruitless=1), Reconnect(130.0)),
        (Connection(Answer(408), fruitless=2), Reconnect(2.0)),
        (Connection(Answer(None), fruitless=2), Reconnect(2.0)),
        (Connection(Answer(503), fruitless=3), PollForGood()),
    ],
)
def test_how_following_goes_on(connection, then):
    assert after_connection(connection, POLICY) == then


def event(kind, **data):
    return read_event({"type": kind, **data})


CREATED = event("response.created", response={"id": "resp_1", "status": "queued"})
HEAD = AnswerHead(server_request_id="req_1")


def test_the_first_event_that_names_the_response_accepts_it():
    verdict = read_create_events([event("keepalive"), CREATED], HEAD)

    assert isinstance(verdict, CreateAccepted)
    assert (verdict.response.id, verdict.body, verdict.server_request_id) == (
        "resp_1",
        b"",
        "req_1",
    )


def test_a_response_that_had_ended_comes_with_its_body():
    done = event("response.completed", response={"id": "resp_1", "status": "completed"})

    verdict = read_create_events([done], HEAD)

    assert isinstance(verdict, CreateAccepted)
    assert verdict.response.status is ResponseStatus.COMPLETED
    assert b"resp_1" in verdict.body


@pytest.mark.parametrize(
    ("events", "note", "said"),
    [
        ([], "", "it ended"),
        ([], "the connection broke", "the connection broke"),
        ([event("response.created", response={"status": "queued"})], "", "it ended"),
        ([event("error", message="Too much.")], "it broke", "it broke: Too much."),
        ([event("error", message="First."), event("error", message="Second.")], "", "First."),
    ],
)
def test_a_stream_that_names_no_response_is_in_doubt(events, note, said):
    verdict = read_create_events(events, HEAD, note)

    assert isinstance(verdict, CreateAmbiguous)
    assert said in str(verdict.error)
    assert verdict.error.status == 200
    assert verdict.error.server_request_id == "req_1"


def test_a_long_text_is_committed_less_often():
    pace = ProgressPace(seconds=0.25, events=100, characters=1000)

    assert (pace.wait(0), pace.most_events(0)) == (0.25, 100)
    assert (pace.wait(1000), pace.most_events(1000)) == (0.5, 200)


def test_the_reach_of_a_fold_grows_with_what_is_new():
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0}
    unnumbered, _ = fold(Fold(), read_event({**delta, "delta": "abc"}))
    numbered, _ = fold(Fold(), read_event({**delta, "delta": "abc", "sequence_number": 7}))

    assert (Fold().reach, unnumbered.reach, numbered.reach) == (0, 3, 7)
    assert numbered.length == 3
