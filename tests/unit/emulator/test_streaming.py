"""Streams as a client sees them: live, replayed, resumed, refused and left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import stream_grammar
from hypothesis import HealthCheck, given, settings
from stream_reading import (
    BACKGROUND,
    STREAMED,
    blocks_of,
    create,
    event_of,
    events_of,
    opened,
    resume,
    text_of,
    types_of,
    wait_for,
)
from stream_stories import OUTPUTS

from prefect_responses.emulator.server import EmulatorThread

if TYPE_CHECKING:
    from prefect_responses.emulator.remote_control import RemoteControl


@pytest.fixture
def stopped(control: RemoteControl) -> RemoteControl:
    control.stop_clock()
    control.set_latency("constant:10")
    return control


def test_a_synchronous_stream(http: httpx.Client) -> None:
    answer = http.post("/responses", json=STREAMED)
    events = events_of(answer.content)

    stream_grammar.check(events)
    assert (types_of(events)[:2], events[0]["response"]["status"]) == (
        ["created", "in_progress"],
        "in_progress",
    )
    assert text_of(events) == "One two three."
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"].startswith("req_")
    stored = http.get(f"/responses/{events[0]['response']['id']}").json()
    assert stored == events[-1]["response"]


def test_a_background_stream_is_queued_first(http: httpx.Client) -> None:
    events = create(http)

    stream_grammar.check(events)
    assert types_of(events)[:3] == ["created", "queued", "in_progress"]
    assert [e["response"]["status"] for e in events[:3]] == ["queued", "queued", "in_progress"]


def test_events_come_when_their_time_has_come(http: httpx.Client, stopped: RemoteControl) -> None:
    with opened(http) as events:
        assert [next(events)["type"] for _ in range(2)] == ["response.created", "response.queued"]
        stopped.advance(2)
        assert next(events)["type"] == "response.in_progress"
        stopped.advance(2)
        first = [next(events)["type"] for _ in range(3)]
        assert first[-1] == "response.output_text.delta"
        assert stopped.state()["open_streams"] == 1
        stopped.advance(6)
        assert types_of(list(events))[-1] == "completed"
    wait_for(lambda: stopped.state()["open_streams"] == 0)


def test_a_real_clock_sends_as_it_goes(http: httpx.Client, control: RemoteControl) -> None:
    control.change_settings(token_rate=100)
    began = time.monotonic()
    events = create(http, input="word " * 20)

    assert time.monotonic() - began >= 0.2
    assert text_of(events) == "word " * 20


@pytest.mark.parametrize("option", [None, False, True])
def test_obfuscation_can_be_left_out(http: httpx.Client, option: Any) -> None:
    options = {} if option is None else {"stream_options": {"include_obfuscation": option}}
    events = create(http, **options)
    deltas = [event for event in events if event["type"].endswith(".delta")]

    assert all(("obfuscation" in event) is (option is not False) for event in deltas)
    lengths = {len(e["delta"]) + len(e.get("obfuscation", "")) for e in deltas}
    assert (lengths == {16}) is (option is not False)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(OUTPUTS)
def test_a_replay_from_any_cursor_is_the_rest_of_the_original(
    http: httpx.Client, control: RemoteControl, output: list[dict[str, Any]]
) -> None:
    control.add_replies({"output": output})
    original = blocks_of(http.post("/responses", json=BACKGROUND | {"model": "script"}).content)
    stream_grammar.check([event_of(block) for block in original])
    response_id = event_of(original[0])["response"]["id"]

    assert blocks_of(resume(http, response_id).content) == original
    for cursor in range(len(original) + 1):
        assert blocks_of(resume(http, response_id, cursor).content) == original[cursor + 1 :]


def test_a_replay_goes_on_live(http: httpx.Client, stopped: RemoteControl) -> None:
    with opened(http) as events:
        response_id = next(events)["response"]["id"]
    stopped.advance(4)
    query = {"stream": "true", "starting_after": 1, "include_obfuscation": "false"}
    with opened(http, "GET", f"/responses/{response_id}", params=query) as events:
        assert [next(events)["sequence_number"] for _ in range(4)] == [2, 3, 4, 5]
        stopped.advance(6)
        rest = list(events)

    assert types_of(rest)[-1] == "completed"
    assert "obfuscation" not in rest[0]


def test_leaving_a_background_stream_stops_nothing(
    http: httpx.Client, stopped: RemoteControl
) -> None:
    with opened(http) as events:
        response_id = next(events)["response"]["id"]
    wait_for(lambda: stopped.state()["open_streams"] == 0)
    stopped.advance(10)

    assert http.get(f"/responses/{response_id}").json()["status"] == "completed"
    note = stopped.journal()[0]["stream"]
    assert (note["events"], note["last_number"], note["ended"]) == (2, 1, "client_gone")


def test_leaving_a_synchronous_stream_ends_it(http: httpx.Client, stopped: RemoteControl) -> None:
    with opened(http, json=STREAMED) as events:
        response_id = next(events)["response"]["id"]
        assert http.get(f"/responses/{response_id}").status_code == 404
        assert resume(http, response_id).status_code == 404
    wait_for(lambda: stopped.state()["in_flight"] == 0)
    stopped.advance(10)

    assert stopped.responses()[0]["status"] == "cancelled"
    assert http.get(f"/responses/{response_id}").status_code == 404


def test_the_journal_notes_what_was_sent(http: httpx.Client, control: RemoteControl) -> None:
    created = http.post("/responses", json=BACKGROUND)
    events = events_of(created.content)
    resume(http, events[0]["response"]["id"], 3)
    notes = [entry["stream"] for entry in control.journal()]

    assert notes[0] == {
        "starting_after": None,
        "events": len(events),
        "bytes": len(created.content),
        "last_number": len(events) - 1,
        "ended": "complete",
    }
    assert (notes[1]["starting_after"], notes[1]["events"]) == (3, len(events) - 4)


_NOT_STREAM = "This response cannot be streamed because it was not created with stream=true."
_NOT_BACKGROUND = (
    "This response cannot be streamed because it was not created with background=true."
)
_TOO_OLD = "This response can no longer be streamed because it is more than 5 minutes old"


@pytest.mark.parametrize(
    ("changes", "age", "status", "message"),
    [
        ({}, 0, 200, None),
        ({}, 300, 200, None),
        ({}, 301, 400, _TOO_OLD),
        ({"store": False}, 300, 200, None),
        ({"store": False}, 301, 400, _TOO_OLD),
        ({"store": False}, 600, 404, "not found"),
        ({}, 30 * 24 * 3600, 404, "not found"),
        ({"stream": False}, 0, 400, _NOT_STREAM),
        ({"stream": False, "background": False}, 0, 400, _NOT_BACKGROUND),
        ({"background": False}, 0, 400, _NOT_BACKGROUND),
        ({"background": False}, 301, 400, _NOT_BACKGROUND),
    ],
)
def test_what_can_be_resumed(  # noqa: PLR0913, PLR0917 - a table of cases
    http: httpx.Client,
    control: RemoteControl,
    changes: dict[str, Any],
    age: float,
    status: int,
    message: str | None,
) -> None:
    control.stop_clock()
    http.post("/responses", json=BACKGROUND | changes)
    control.advance(age)
    answer = resume(http, control.responses()[0]["id"])

    assert answer.status_code == status
    if message is not None:
        assert message in answer.json()["error"]["message"]
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_resume_past_the_end_is_an_empty_stream(http: httpx.Client) -> None:
    response_id = create(http)[0]["response"]["id"]
    answer = resume(http, response_id, 99)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_cursor_that_is_no_number_is_refused(http: httpx.Client) -> None:
    response_id = create(http)[0]["response"]["id"]
    params = {"stream": "true", "starting_after": "x"}
    refused = http.get(f"/responses/{response_id}", params=params)

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "starting_after")


def test_the_replay_window_can_be_set(http: httpx.Client, control: RemoteControl) -> None:
    control.stop_clock()
    control.change_settings(stream_replay_ttl_s=60)
    response_id = create(http)[0]["response"]["id"]
    control.advance(61)

    assert "more than 1 minutes old" in resume(http, response_id).text


def test_the_control_plane_shows_the_whole_log(http: httpx.Client, stopped: RemoteControl) -> None:
    with opened(http) as events:
        response_id = next(events)["response"]["id"]
    log = stopped.events(response_id)

    stream_grammar.check([logged["payload"] for logged in log])
    assert log[-1]["time"] - log[0]["time"] == 10
    assert stopped.responses()[0]["stream"] is True


def test_an_unknown_log_is_not_found(emulator: EmulatorThread) -> None:
    assert httpx.get(f"{emulator.control_url}/responses/resp_0/events").status_code == 404


def test_a_summary_of_the_reasoning_is_streamed_where_asked_for(http: httpx.Client) -> None:
    events = create(http, reasoning={"summary": "auto"})

    stream_grammar.check(events)
    assert "reasoning_summary_text.delta" in types_of(events)
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["reasoning", "message"]
    assert text_of(events) == "One two three."


@pytest.mark.parametrize(
    ("fault", "terminal", "status"),
    [
        ("fail", "failed", "failed"),
        ("incomplete", "incomplete", "incomplete"),
        ("refusal", "completed", "completed"),
    ],
)
def test_other_endings(
    http: httpx.Client, control: RemoteControl, fault: str, terminal: str, status: str
) -> None:
    control.add_fault(fault)
    events = create(http)

    stream_grammar.check(events)
    assert types_of(events)[-1] == terminal
    assert events[-1]["response"]["status"] == status


@pytest.mark.parametrize("body", [BACKGROUND, STREAMED])
def test_open_streams_do_not_hold_the_server(body: dict[str, Any]) -> None:
    with EmulatorThread(latency="constant:600") as emulator:
        headers = {"authorization": "Bearer sk-emulated"}
        client = httpx.Client(base_url=emulator.url, headers=headers)
        with client, opened(client, json=body) as events:
            next(events)
            began = time.monotonic()
            emulator.stop()
            assert time.monotonic() - began < 3
            with pytest.raises(httpx.RemoteProtocolError):
                list(events)


def test_a_script_can_play_a_recording(http: httpx.Client, control: RemoteControl) -> None:
    recorded = create(http)
    control.add_replies({"events": recorded})
    played = create(http, model="script")
    response_id = played[0]["response"]["id"]

    assert response_id != recorded[0]["response"]["id"]
    assert types_of(played) == types_of(recorded)
    assert text_of(played) == text_of(recorded)
    assert events_of(resume(http, response_id, 4).content) == played[5:]
    stored = http.get(f"/responses/{response_id}").json()
    assert stored["output"] == recorded[-1]["response"]["output"]


def test_a_long_stream_is_read_whole(http: httpx.Client) -> None:
    text = " ".join(["word"] * 5_000)
    events = create(http, input=text)

    assert text_of(events) == text
    assert len(events) == 5_000 + 9
