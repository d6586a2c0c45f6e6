"""However a stream is cut and whatever is in it, its events are read, and nothing raises."""

from __future__ import annotations

import typing
from itertools import pairwise

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent

from prefect_responses.statuses import ResponseStatus
from prefect_responses.wire.stream_events import EventReader, EventType, StreamEvent, read_event

DELTA = {"type": "response.output_text.delta", "delta": "Grüße, 世界 🌍", "sequence_number": 3}
LINE = b"data: " + orjson.dumps(DELTA)
#: Comments, line breaks of all three kinds, several data lines, no name, an event never ended.
STREAM = b"".join(
    [
        b"\xef\xbb\xbf: hello\r\n\r\n",
        b'event: response.created\r\ndata: {"type":"response.created","sequence_number":0}\r\n\r\n',
        b'event: keepalive\rdata: {"type":"keepalive","sequence_number":1}\r\r',
        b'data: {"type":"response.metadata",\ndata:"sequence_number":2}\nid: 7\nretry: 5\n\n',
        LINE + b"\n\n",
        b": keep-alive\n\n\n",
        b"event: ping\n\n",
        b'data: {"type": "response.out\r\n\r\n',
        b'event: error\ndata: {"error":{"message":"Oh.","code":500}}\n\n',
        b'data: {"type":"response.completed"}\n',
    ]
)
TYPES = [
    "response.created",
    "keepalive",
    "response.metadata",
    "response.output_text.delta",
    "",
    "error",
]


def read(*chunks: bytes, **options: object) -> list[StreamEvent]:
    reader = EventReader(**options)
    return [event for chunk in chunks for event in reader.feed(chunk)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


# --- bytes ----------------------------------------------------------------------------------------


def test_a_stream_of_everything():
    events = read(STREAM)

    assert [event.type for event in events] == TYPES
    assert [event.sequence for event in events] == [0, 1, 2, 3, None, None]
    assert [event.known for event in events] == [True, True, False, True, False, True]
    assert events[3].data == DELTA
    assert events[4].event_type is EventType.BROKEN
    assert (events[5].error.message, events[5].error.code) == ("Oh.", "500")


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_cuts_change_nothing(places):
    assert read(*cut(STREAM, places)) == read(STREAM)


def test_one_byte_at_a_time():
    assert read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == read(STREAM)


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_bytes_are_read_the_same_however_they_are_cut(noise, places):
    assume(b"[DONE]" not in noise)  # it ends the stream
    data = noise + b"\n\n" + LINE + b"\r\n\r\n" + noise
    assert read(*cut(data, places)) == read(data)
    assert DELTA in [event.data for event in read(data)]


@given(
    st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b"data:", b"data: 1", b'data: {"a":1}', b":", b"x", b"event: e"]
        ),
        max_size=20,
    ),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_any_lines_are_read_the_same_however_they_are_cut(lines, places):
    data = b"".join(lines)
    assert read(*cut(data, places)) == read(data)


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r"])
def test_an_event_does_not_wait_for_what_comes_after_it(ending):
    assert [event.data for event in read(LINE + ending)] == [DELTA]


@pytest.mark.parametrize("data", [LINE, LINE + b"\n", LINE + b"\r\n", LINE[:20]])
def test_an_event_that_is_never_ended_is_dropped(data):
    reader = EventReader()
    assert reader.feed(data) == []
    reader.close()
    assert reader.feed(b"\n\n" + LINE + b"\n\n") == []


def test_nothing_comes_after_done():
    reader = EventReader()
    events = reader.feed(LINE + b"\n\ndata: [DONE]\n\n" + LINE + b"\n\n")
    assert len(events) == 1
    assert reader.is_closed
    assert reader.feed(LINE + b"\n\n") == []


def test_secrets_are_taken_out_before_anything_is_read():
    (event,) = read(LINE + b"\n\n", clean=lambda data: data.replace("世界".encode(), b"world"))
    assert event.data["delta"] == "Grüße, world 🌍"


# --- too long -------------------------------------------------------------------------------------

LONG = orjson.dumps({"type": "x", "text": "y" * 500})


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        b"event: x\ndata: " + LONG + b"\n\n",
        b"event: x\n" + b"data: 1\n" * 100 + b"\n",
        b"event: x\ndata: 1\ndata: " + LONG + b"\n\n",
        b"event: x\ndata: " + LONG + b"\r\r",
        b"event: x\n:" + LONG + b"\r\n\r\n",
    ],
    ids=["one line", "many lines", "a short line and a long one", "returns", "a comment"],
)
def test_an_event_that_is_too_long_is_broken_and_the_next_is_read(data, size):
    stream = data + LINE + b"\n\n"
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    events = read(*chunks, largest_event=300)
    assert events[0] == StreamEvent("x", EventType.BROKEN)
    assert events[-1].data == DELTA
    assert len(events) == 2


def test_the_beginning_of_a_long_event_does_not_break_the_one_before_it():
    events = read(LINE + b"\n\ndata: " + LONG, b"\n\n", largest_event=300)
    assert [event.data for event in events] == [DELTA, {}]


def test_a_long_line_without_an_end_is_not_kept():
    reader = EventReader(largest_event=1000)
    for _ in range(1000):
        assert reader.feed(b"data" * 100) == []
    assert sum(map(len, reader._decoder._line)) <= 1000


# --- events ---------------------------------------------------------------------------------------


def published_types() -> set[str]:
    (union, *_) = typing.get_args(ResponseStreamEvent)
    fields = [event.model_fields["type"] for event in typing.get_args(union)]
    return {typing.get_args(each.annotation)[0] for each in fields}


def test_every_published_type_is_known():
    ours = {each.value for each in EventType} - {EventType.BROKEN, EventType.UNKNOWN, "keepalive"}
    assert ours == published_types()


@pytest.mark.parametrize("word", ["(broken)", "(unknown)", "response.done", "codex.rate_limits"])
def test_other_types_are_carried(word):
    event = read_event({"type": word, "sequence_number": 4})
    assert (event.type, event.event_type, event.sequence) == (word, EventType.UNKNOWN, 4)
    assert not event.known


@pytest.mark.parametrize(
    "data", [b"[]", b"1", b"null", b"{", b"{'a':1}", b'{"a":"\xff"}', b"x" * 9]
)
def test_what_is_no_object_is_broken(data):
    (event,) = read(b"event: response.created\ndata: " + data + b"\n\n")
    assert event == StreamEvent("response.created", EventType.BROKEN)
    assert (event.response, event.status, event.error, event.is_terminal) == (
        None,
        None,
        None,
        False,
    )


def test_a_type_may_stand_in_the_event_line_alone():
    (event,) = read(b'event: response.queued\ndata: {"response":{}}\n\n')
    assert event.event_type is EventType.QUEUED


@pytest.mark.parametrize("number", [None, "3", 1.5, True, -1, 2**63, [], {}])
def test_what_is_no_number_numbers_nothing(number):
    assert read_event({"type": "keepalive", "sequence_number": number}).sequence is None


def event(kind: str, response: object) -> StreamEvent:
    return read_event({"type": kind, "response": response})


@pytest.mark.parametrize(
    ("kind", "response", "status", "terminal"),
    [
        ("response.completed", {"status": "completed"}, ResponseStatus.COMPLETED, True),
        ("response.completed", {"status": "incomplete"}, ResponseStatus.INCOMPLETE, True),
        ("response.failed", {"status": "cancelled"}, ResponseStatus.CANCELLED, True),
        ("response.completed", {"status": "in_progress"}, ResponseStatus.IN_PROGRESS, False),
        ("response.completed", {"status": "odd"}, ResponseStatus.UNKNOWN, False),
        ("response.completed", {"id": "resp_1"}, ResponseStatus.COMPLETED, True),
        ("response.failed", {"status": None}, ResponseStatus.FAILED, True),
        ("response.incomplete", {"status": 3}, ResponseStatus.INCOMPLETE, True),
        ("response.created", {"id": "resp_1"}, None, False),
        ("response.created", {"status": "completed"}, ResponseStatus.COMPLETED, True),
        ("response.done", {"status": "completed"}, ResponseStatus.COMPLETED, True),
        ("response.done", {"status": "in_progress"}, ResponseStatus.IN_PROGRESS, False),
        ("response.done", {}, None, False),
        ("response.cancelled", {"status": "cancelled"}, ResponseStatus.CANCELLED, True),
        ("response.completed", None, None, False),
        ("response.completed", "completed", None, False),
    ],
)
def test_the_response_says_whether_it_is_over(kind, response, status, terminal):
    read = event(kind, response)
    assert (read.status, read.is_terminal) == (status, terminal)


@pytest.mark.parametrize(
    ("document", "message", "code", "kind"),
    [
        ({"type": "error", "message": "Oh.", "code": "c", "param": None}, "Oh.", "c", None),
        (
            {"type": "error", "error": {"type": "t", "code": "c", "message": "Oh."}},
            "Oh.",
            "c",
            "t",
        ),
        ({"type": "error", "error": "Oh."}, "Oh.", None, None),
        ({"error": {"message": "Oh.", "code": 500}}, "Oh.", "500", None),
        ({"error": "Oh."}, "Oh.", None, None),
        ({"type": "vendor.trouble", "error": {"message": "Oh."}}, "Oh.", None, None),
        ({"type": "error"}, "", None, None),
        ({"type": "error", "error": None, "message": ["Oh."]}, '["Oh."]', None, None),
    ],
)
def test_errors_flat_and_nested(document, message, code, kind):
    error = read_event(document).error
    assert (error.message, error.code, error.type) == (message, code, kind)


@pytest.mark.parametrize(
    "document",
    [
        {"type": "response.mcp_call.failed", "error": {"message": "Oh."}},
        {"type": "vendor.fine", "error": None},
        {"type": "vendor.fine", "error": {}},
        {},
    ],
)
def test_what_is_no_error_of_the_stream(document):
    assert read_event(document).error is None


def test_no_content_is_in_a_repr():
    (event,) = read(LINE + b"\n\n")
    assert "world" not in repr(event)
    assert "Grüße" not in repr(event)
