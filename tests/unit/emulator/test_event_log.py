"""The log of a response: its order, its times, and what happens amid it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import stream_grammar
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_stories import ACCEPTED_AT, OUTPUTS, log_of, names_of, said, streamed

from prefect_responses.emulator.faults import AfterError, RestartStream, StreamError
from prefect_responses.emulator.lifecycle import TERMINAL, Status
from prefect_responses.emulator.models.answers import recorded_answer
from prefect_responses.emulator.streaming.event_log import TERMINAL_EVENTS
from prefect_responses.emulator.streaming.stream_plans import AfterCancel, error_amid, lost_take

_ENDINGS = st.sampled_from([Status.COMPLETED, Status.INCOMPLETE, Status.FAILED])
_SECONDS = st.floats(0, 30)
_RATES = st.none() | st.floats(0.5, 1000)


@settings(max_examples=150)
@given(OUTPUTS, _ENDINGS, _RATES, st.none() | st.floats(0.5, 5), _SECONDS)
def test_any_output_is_told_in_order(
    output: list[dict[str, Any]],
    ending: Status,
    token_rate: float | None,
    keepalive_s: float | None,
    works: float,
) -> None:
    response = streamed(output, ending, works=works, token_rate=token_rate, keepalive_s=keepalive_s)
    log = log_of(response)

    stream_grammar.check([logged.payload for logged in log])
    assert all(a.time <= b.time for a, b in pairwise(log))
    assert log[-1].time == response.timeline.ends_at
    if keepalive_s is not None:
        assert all(b.time - a.time <= keepalive_s * 1.0001 for a, b in pairwise(log))


@settings(max_examples=60)
@given(OUTPUTS, st.lists(_SECONDS, min_size=2, max_size=6), _SECONDS, st.data())
def test_a_log_is_only_ever_appended_to(
    output: list[dict[str, Any]], moments: list[float], cancel_after: float, data: st.DataObject
) -> None:
    response = streamed(
        output, keepalive_s=1.5, after_cancel=data.draw(st.sampled_from(AfterCancel))
    )
    completes_after = data.draw(st.none() | _SECONDS)
    seen: list[Any] = []
    for moment in sorted([*moments, cancel_after]):
        now = ACCEPTED_AT + moment
        if moment == cancel_after and response.status_at(now) not in TERMINAL:
            response.timeline = response.timeline.cancelled(now, completes_after)
        visible = log_of(response, now)
        assert visible[: len(seen)] == seen
        seen = visible


def test_deltas_are_spread_over_the_time_of_the_latency() -> None:
    log = log_of(streamed(said("one two three"), waits=2, works=8))
    times = [e.time - ACCEPTED_AT for e in log if e.payload["type"].endswith("text.delta")]

    assert times == [4, 6, 8]
    assert log[-1].time - ACCEPTED_AT == 10


def test_a_rate_begins_after_the_latency() -> None:
    response = streamed(said("one two three"), waits=2, works=8, token_rate=2)
    times = [e.time - ACCEPTED_AT for e in log_of(response) if e.payload["type"].endswith("delta")]

    assert times == [10, 10.5, 11]
    assert response.timeline.ends_at - ACCEPTED_AT == 11.5


def test_silence_is_broken_by_numbered_keepalives() -> None:
    log = log_of(streamed(said("one"), waits=2, works=20, keepalive_s=4))
    quiet = [(e.number, e.time - ACCEPTED_AT) for e in log if e.payload["type"] == "keepalive"]

    assert quiet == [(3, 6), (4, 10), (11, 16), (12, 20)]


_OPENING = ["created", "queued", "in_progress"]
_BEGUN = ["output_item.added", "content_part.added", "output_text.delta"]
_ENDED = ["output_text.done", "content_part.done", "output_item.done"]


@pytest.mark.parametrize(
    ("then", "names"),
    [
        (AfterError.FAILED, [*_BEGUN, "error", "failed"]),
        (AfterError.ENDS, [*_BEGUN, "error"]),
        (AfterError.COMPLETES, [*_BEGUN, "error", "output_text.delta", *_ENDED, "completed"]),
    ],
)
def test_an_error_amid(then: AfterError, names: list[str]) -> None:
    fault = StreamError(kind="stream_error", after_deltas=2, then=then)
    ending = Status.COMPLETED if then is AfterError.COMPLETES else Status.FAILED
    response = streamed(said("one two three"), ending, error=error_amid(fault, "No.", "t"))

    assert names_of(log_of(response)) == _OPENING + names


def test_an_error_ends_a_response_as_soon_as_it_is_reported() -> None:
    fault = StreamError(kind="stream_error", after_deltas=2)
    error = error_amid(fault, "No.", "t")
    response = streamed(said("word " * 90), Status.FAILED, error=error, token_rate=2)

    assert response.timeline.ends_at - ACCEPTED_AT == 11


def test_a_restart_says_the_output_again() -> None:
    fault = RestartStream(kind="restart_stream", after_deltas=2, first_text="Lost for ever.")
    log = log_of(streamed(said("one two"), lost=lost_take(fault, "msg_lost")))
    added = [e.payload for e in log if e.payload["type"].endswith("item.added")]

    assert names_of(log) == [*_OPENING, *_BEGUN, "in_progress", *_BEGUN, *_ENDED, "completed"]
    assert [(e["output_index"], e["item"]["id"]) for e in added] == [(0, "msg_lost"), (0, "item_0")]
    deltas = [e.payload["delta"] for e in log if e.payload["type"].endswith("text.delta")]
    assert deltas == ["Lost", " for", "one", " two"]


@pytest.mark.parametrize(
    ("after_cancel", "ending"),
    [
        (AfterCancel.FAILS, ["output_text.delta", "failed"]),
        (AfterCancel.ENDS, ["output_text.delta"]),
        (AfterCancel.CONTINUES, ["output_text.delta", *_ENDED, "completed"]),
    ],
)
def test_what_a_cancelled_log_ends_with(after_cancel: AfterCancel, ending: list[str]) -> None:
    response = streamed(said("one two three"), after_cancel=after_cancel)
    response.timeline = response.timeline.cancelled(ACCEPTED_AT + 6)
    log = log_of(response)

    assert names_of(log)[-len(ending) :] == ending
    if after_cancel is AfterCancel.FAILS:
        assert log[-1].payload["response"]["status"] == "cancelled"
        assert log[-1].time == ACCEPTED_AT + 6


def test_a_cancelled_log_goes_on_where_the_response_completes_anyway() -> None:
    response = streamed(said("one two three"))
    response.timeline = response.timeline.cancelled(ACCEPTED_AT + 6, completes_after=3)

    assert names_of(log_of(response, ACCEPTED_AT + 8))[-1] == "failed"
    assert names_of(log_of(response, ACCEPTED_AT + 9))[-2:] == ["failed", "completed"]


def test_a_recording_is_played_as_it_is() -> None:
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_old", "status": "queued"}},
        {"type": "codex.rate_limits", "sequence_number": 17, "left": 3},
        {"type": "response.completed", "response": {"id": "x", "status": "completed"}},
    ]
    answer = recorded_answer(events)
    log = log_of(streamed([], recorded=answer.recorded, token_rate=2))

    assert [(e.number, e.time - ACCEPTED_AT) for e in log] == [(0, 10), (17, 10.5), (18, 11)]
    assert log[0].payload["response"] == {"id": "resp_1", "status": "queued"}
    assert log[1].payload == events[1]
    assert answer.ending is Status.COMPLETED


def test_a_recording_can_be_cancelled() -> None:
    events: list[dict[str, Any]] = [{"type": "a", "sequence_number": 5}, {"type": "b"}]
    response = streamed([], recorded=tuple(events), token_rate=1)
    response.timeline = response.timeline.cancelled(ACCEPTED_AT + 10)
    log = log_of(response)

    assert [(e.number, e.payload["type"]) for e in log] == [(5, "a"), (6, "response.failed")]


def test_items_and_parts_of_unknown_kinds_are_told_whole() -> None:
    part = {"type": "output_audio", "data": "AAAA"}
    message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
    log = log_of(streamed([message, {"type": "reasoning"}, {"type": "program", "code": "x"}]))

    parts = ["output_item.added", "content_part.added", "content_part.done", "output_item.done"]
    assert names_of(log)[3:-1] == parts + ["output_item.added", "output_item.done"] * 2


def test_a_recording_without_an_end_keeps_what_was_done() -> None:
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    answer = recorded_answer([{"type": "response.output_item.done", "item": item}])

    assert (answer.items, answer.ending) == ((item,), Status.COMPLETED)


def test_a_response_that_is_not_streamed_has_no_log() -> None:
    response = streamed([])
    response.stream = None

    assert log_of(response) == []


def test_every_terminal_status_has_its_event() -> None:
    assert TERMINAL_EVENTS.keys() == TERMINAL
