"""What can be made to go wrong with a stream, as a client sees it on the wire."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from stream_reading import (
    BACKGROUND,
    STREAMED,
    blocks_of,
    create,
    events_of,
    opened,
    resume,
    text_of,
    types_of,
    wait_for,
)

if TYPE_CHECKING:
    from prefect_responses.emulator.remote_control import RemoteControl
    from prefect_responses.emulator.server import EmulatorThread

SMALL = {**BACKGROUND, "input": "Grüße, 世界 🌍.", "stream_options": {"include_obfuscation": False}}


def read(http: httpx.Client, method: str, url: str, **options: Any) -> tuple[bytes, bool]:
    """Read a stream as far as possible; tell whether its body ended in order."""
    received = b""
    with http.stream(method, url, **options) as answer:
        try:
            for chunk in answer.iter_raw():
                received += chunk
        except httpx.TransportError:
            return received, False
    return received, True


def post(http: httpx.Client, body: dict[str, Any]) -> tuple[bytes, bool]:
    return read(http, "POST", "/responses", json=body)


def goes_on(http: httpx.Client, control: RemoteControl, received: bytes) -> str:
    """Resume after what was received, and join the text."""
    events = events_of(received)
    response_id = control.responses()[-1]["id"]
    last = events[-1]["sequence_number"] if events else None
    return text_of(events + events_of(resume(http, response_id, last).content))


def test_a_stream_cut_at_any_byte_can_be_resumed(
    emulator: EmulatorThread, http: httpx.Client
) -> None:
    small = {**SMALL, "input": "Grüße 🌍"}
    url = f"/responses/{create(http, **small)[0]['response']['id']}"
    asked = {"stream": "true", "include_obfuscation": "false", "starting_after": 2}
    whole = http.get(url, params=asked).content
    rests: dict[int, bytes] = {}
    for begin in range(0, len(whole) + 1, 300):  # each third byte meets every kind of seam
        places = range(begin, min(begin + 300, len(whole) + 1), 3)
        cut_at_each(emulator, places)
        for place in places:
            received, in_order = read(http, "GET", url, params=asked | {"cut": "here"})
            last = max((e["sequence_number"] for e in events_of(received)), default=2)
            if last not in rests:
                rests[last] = http.get(url, params=asked | {"starting_after": last}).content

            assert (received, in_order) == (whole[:place], False)
            assert whole_blocks(received) + rests[last] == whole
            assert text_of(events_of(received) + events_of(rests[last])) == small["input"]


def whole_blocks(body: bytes) -> bytes:
    return b"".join(block + b"\n\n" for block in blocks_of(body))


def cut_at_each(emulator: EmulatorThread, places: range) -> None:
    rules = [
        {
            "fault": {"kind": "cut_stream", "after_bytes": place, "ending": "eof"},
            "match": {"query_regex": "cut=here"},
        }
        for place in places
    ]
    httpx.post(f"{emulator.control_url}/faults", json={"rules": rules, "replace": True})


@pytest.mark.parametrize("ending", ["reset", "eof", "clean"])
def test_a_create_cut_at_a_byte_can_be_resumed(
    http: httpx.Client, control: RemoteControl, ending: str
) -> None:
    control.stop_clock(now=1_700_000_000.0)
    whole = len(http.post("/responses", json=SMALL).content)
    for place in range(0, whole, 101):
        control.add_fault("cut_stream", after_bytes=place, ending=ending)
        received, in_order = post(http, SMALL)

        assert (len(received), in_order) == (place, ending == "clean")
        assert goes_on(http, control, received) == SMALL["input"]
    assert control.journal(method="POST")[-1]["stream"]["ended"] == "cut"


@pytest.mark.parametrize("after_events", [0, 1, 5, 11])
@pytest.mark.parametrize("ending", ["reset", "eof", "clean"])
def test_a_stream_cut_after_events(
    http: httpx.Client, control: RemoteControl, ending: str, after_events: int
) -> None:
    control.add_fault("cut_stream", after_events=after_events, ending=ending)
    received, in_order = post(http, SMALL)
    note = control.journal()[0]["stream"]

    assert (len(events_of(received)), in_order) == (after_events, ending == "clean")
    assert (note["events"], note["bytes"], note["ended"]) == (after_events, len(received), "cut")
    assert goes_on(http, control, received) == SMALL["input"]


def test_a_synchronous_stream_that_is_cut_in_flight_is_cancelled(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.set_latency("constant:60")
    control.add_fault("cut_stream", after_events=1)
    post(http, STREAMED)

    wait_for(lambda: control.responses()[0]["status"] == "cancelled")


def test_all_open_streams_can_be_cut(http: httpx.Client, control: RemoteControl) -> None:
    control.set_latency("constant:60")
    with opened(http) as events:
        next(events), next(events)
        assert control.cut_streams() == 1
        with pytest.raises(httpx.ReadError):
            next(events)
    wait_for(lambda: control.cut_streams() == 0)
    assert control.responses()[0]["status"] == "queued"


def test_a_stalled_stream_comes_to_life_again(http: httpx.Client, control: RemoteControl) -> None:
    control.stop_clock()
    control.add_fault("stall_stream", after_events=4, seconds=60)
    with opened(http) as events:
        assert [next(events)["sequence_number"] for _ in range(4)] == [0, 1, 2, 3]
        control.advance(60)
        assert types_of(list(events))[-1] == "completed"


def test_a_slow_stream_splits_characters(http: httpx.Client, control: RemoteControl) -> None:
    response_id = create(http, **SMALL)[0]["response"]["id"]
    whole = resume(http, response_id, 2).content
    control.add_fault("slow_stream", chunk_bytes=3, seconds=0.0001)
    params = {"stream": "true", "starting_after": 2}
    chunks = []
    with http.stream("GET", f"/responses/{response_id}", params=params) as answer:
        chunks.extend(answer.iter_raw())

    assert b"".join(chunks) == whole
    assert any(chunk[0] & 0xC0 == 0x80 for chunk in chunks)  # begins inside a character


def test_faults_of_streams_strike_nothing_else(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("cut_stream", after_events=0)
    control.add_fault("stream_error")
    response_id = http.post("/responses", json=BACKGROUND | {"stream": False}).json()["id"]
    http.get(f"/responses/{response_id}")

    assert [rule["hits"] for rule in control.faults()] == [0, 0]


def test_a_cut_says_where(control: RemoteControl) -> None:
    for places in ({}, {"after_events": 1, "after_bytes": 1}):
        with pytest.raises(Exception, match="Say after how many"):
            control.add_fault("cut_stream", **places)


@pytest.mark.parametrize(
    ("form", "where"), [("flat", lambda e: e), ("nested", lambda e: e["error"])]
)
@pytest.mark.parametrize(
    ("then", "last", "status"),
    [
        ("failed", "failed", "failed"),
        ("ends", "error", "failed"),
        ("completes", "completed", "completed"),
    ],
)
def test_an_error_in_the_stream(  # noqa: PLR0913, PLR0917 - a table of cases
    http: httpx.Client,
    control: RemoteControl,
    form: str,
    where: Any,
    then: str,
    last: str,
    status: str,
) -> None:
    control.add_fault(
        "stream_error", form=form, code="insufficient_quota", after_deltas=2, then=then
    )
    events = create(http)
    error = next(event for event in events if event["type"] == "error")
    stored = http.get(f"/responses/{events[0]['response']['id']}").json()

    assert where(error)["code"] == "insufficient_quota"
    assert "exceeded your current quota" in where(error)["message"]
    assert types_of(events)[-1] == last
    assert stored["status"] == status
    if status == "failed":
        assert text_of(events) == "One two"
        assert stored["error"]["code"] == "insufficient_quota"


def test_a_restart_inside_the_stream(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("restart_stream", after_deltas=3)
    events = create(http)
    names = types_of(events)

    assert names.count("in_progress") == 2
    assert [e["output_index"] for e in events if e["type"].endswith("item.added")] == [0, 0]
    assert text_of(events) == "This text wasOne two three."
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "One two three."


def test_a_dropped_create_of_a_stream_was_accepted(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.set_latency("constant:60")
    control.add_fault("accept_then_drop")
    began = time.monotonic()
    with pytest.raises(httpx.ReadError):
        create(http)

    assert time.monotonic() - began < 5
    assert control.responses()[0]["status"] == "queued"


@pytest.mark.parametrize(("kind", "status"), [("accept_then_status", 500), ("unreadable", 200)])
def test_a_create_of_a_stream_that_nobody_sees(
    http: httpx.Client, control: RemoteControl, kind: str, status: int
) -> None:
    control.set_latency("constant:60")
    control.add_fault(kind, times=2)
    answers = [http.post("/responses", json=body) for body in (BACKGROUND, STREAMED)]

    assert [answer.status_code for answer in answers] == [status, status]
    assert [r["status"] for r in control.responses()] == ["queued", "cancelled"]


def test_a_stall_before_the_head_of_a_stream(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("accept_then_stall", seconds=0.2)
    began = time.monotonic()

    assert text_of(create(http)) == "One two three."
    assert time.monotonic() - began >= 0.2


# --- servers of others ----------------------------------------------------------------------------


def vendor(http: httpx.Client, control: RemoteControl, **switches: Any) -> bytes:
    control.add_fault("vendor", times=None, **switches)
    return http.post("/responses", json=SMALL).content


def test_a_marker_comes_last(http: httpx.Client, control: RemoteControl) -> None:
    body = vendor(http, control, done_marker=True)

    assert body.endswith(b"}\n\ndata: [DONE]\n\n")


def test_comments_stand_between(http: httpx.Client, control: RemoteControl) -> None:
    body = vendor(http, control, comments=True)

    assert body.startswith(b": keep-alive\n\nevent: response.created\ndata: {")


@pytest.mark.parametrize(("name", "ending"), [("crlf", b"\r\n"), ("cr", b"\r")])
def test_lines_end_otherwise(
    http: httpx.Client, control: RemoteControl, name: str, ending: bytes
) -> None:
    body = vendor(http, control, line_ending=name)

    assert b"\n" not in body.replace(ending, b"")
    assert text_of(events_of(body.replace(ending, b"\n"))) == SMALL["input"]


def test_event_lines_are_missing(http: httpx.Client, control: RemoteControl) -> None:
    body = vendor(http, control, event_lines=False)

    assert body.startswith(b'data: {"type":"response.created"')
    assert b"event:" not in body


def test_numbers_are_missing(http: httpx.Client, control: RemoteControl) -> None:
    events = events_of(vendor(http, control, sequence_numbers=False))

    assert not any("sequence_number" in event for event in events)


def test_numbers_have_gaps_and_can_be_resumed_from(
    http: httpx.Client, control: RemoteControl
) -> None:
    events = events_of(vendor(http, control, sequence_step=3))
    response_id = events[0]["response"]["id"]

    assert [event["sequence_number"] for event in events] == list(range(0, 3 * len(events), 3))
    for cursor in (0, 6, 7, 8, 9):
        rest = events_of(resume(http, response_id, cursor).content)
        assert [e["sequence_number"] for e in rest] == [
            e["sequence_number"] for e in events if e["sequence_number"] > cursor
        ]


def test_json_is_answered_in_place_of_a_stream(http: httpx.Client, control: RemoteControl) -> None:
    answer = json.loads(vendor(http, control, json_instead_of_stream=True))

    assert answer["status"] == "queued"


def test_a_resume_is_answered_with_json(http: httpx.Client, control: RemoteControl) -> None:
    response_id = events_of(vendor(http, control, resume_ignored=True))[0]["response"]["id"]

    assert resume(http, response_id, 3).json()["status"] == "completed"


def test_events_hold_minimal_bodies(http: httpx.Client, control: RemoteControl) -> None:
    events = events_of(vendor(http, control, minimal_bodies=True))

    assert events[0]["response"].keys() == {"id", "status"}
    assert events[-1]["response"].keys() == {"id", "status", "output"}


def test_background_streams_are_refused(http: httpx.Client, control: RemoteControl) -> None:
    refused = json.loads(vendor(http, control, background_stream="reject"))

    assert refused["error"]["param"] == "stream"
    assert control.state()["accepted"] == 0
    assert http.post("/responses", json=STREAMED).status_code == 200


def test_the_last_event_disagrees_with_its_status(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.add_fault("incomplete")
    last = events_of(vendor(http, control, terminal_event="response.completed"))[-1]

    assert (last["type"], last["response"]["status"]) == ("response.completed", "incomplete")


def test_the_status_stays_queued_while_tokens_flow(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.stop_clock()
    control.set_latency("constant:10")
    control.add_fault("vendor", times=None, queued_while_streaming=True)
    with opened(http) as events:
        response_id = next(events)["response"]["id"]
        control.advance(5)
        started = [next(events) for _ in range(5)]
        assert started[1]["response"]["status"] == "queued"
        assert http.get(f"/responses/{response_id}").json()["status"] == "queued"
        control.advance(5)
    assert http.get(f"/responses/{response_id}").json()["status"] == "completed"


def test_the_stream_stays_open_after_its_end(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("vendor", times=None, stays_open=True)
    with opened(http, timeout=0.2) as events:
        assert [e["type"] for e in (next(events) for _ in range(12))][-1] == "response.completed"
        with pytest.raises(httpx.ReadTimeout):
            next(events)


def test_a_resume_past_the_end_hangs(http: httpx.Client, control: RemoteControl) -> None:
    response_id = create(http)[0]["response"]["id"]
    control.add_fault("vendor", times=None, resume_past_end_hangs=True)
    params = {"stream": "true", "starting_after": 99}
    with (
        opened(http, "GET", f"/responses/{response_id}", params=params, timeout=0.2) as events,
        pytest.raises(httpx.ReadTimeout),
    ):
        next(events)
