"""Every character is told once, and in the end the text is the server's."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.decisions.fold_snapshots import from_snapshot, snapshot
from prefect_responses.decisions.growing_text import GrowingText
from prefect_responses.decisions.output_texts import Part, PieceKind, texts_of_response
from prefect_responses.decisions.stream_fold import (
    Change,
    Ended,
    Fold,
    Piece,
    Restarted,
    end,
    fold,
    reconnected,
)
from prefect_responses.wire.envelopes import ErrorEnvelope
from prefect_responses.wire.stream_events import StreamEvent, read_event

TEXT, REFUSAL, REASONING, REASONING_TEXT, ARGUMENTS = PieceKind


def numbered(*documents: dict) -> list[StreamEvent]:
    return [read_event({"sequence_number": n, **each}) for n, each in enumerate(documents)]


def run(events: list[StreamEvent], state: Fold | None = None) -> tuple[Fold, list[Change]]:
    state, changes = state or Fold(), []
    for event in events:
        state, more = fold(state, event)
        changes += more
    return state, changes


class Reader:
    """What somebody knows who sees nothing but the changes."""

    def __init__(self) -> None:
        self.texts: dict[Part, str] = {}

    def see(self, changes: list[Change]) -> Reader:
        for change in changes:
            match change:
                case Restarted(index):
                    for part in [part for part in self.texts if part.output_index == index]:
                        del self.texts[part]
                case Piece(kind, output_index, content_index, offset, text):
                    part = Part(kind, output_index, content_index)
                    assert text
                    assert offset == len(self.texts.get(part, ""))
                    self.texts[part] = self.texts.get(part, "") + text
        return self


def texts(state: Fold) -> dict[Part, str]:
    return {part: str(text) for part, text in state.parts.items()}


def kind_of(word: str, **fields: object) -> dict:
    return {"type": f"response.{word}", **fields}


def delta(text: object, output_index: int = 0, content_index: int = 0, **more: object) -> dict:
    return kind_of(
        "output_text.delta",
        delta=text,
        output_index=output_index,
        content_index=content_index,
        **more,
    )


def done(text: object, output_index: int = 0, content_index: int = 0) -> dict:
    return kind_of(
        "output_text.done", text=text, output_index=output_index, content_index=content_index
    )


def added(output_index: int = 0) -> dict:
    return kind_of("output_item.added", output_index=output_index, item={"type": "message"})


def message(*contents: str) -> dict:
    parts = [{"type": "output_text", "text": text} for text in contents]
    return {"type": "message", "content": parts}


def response(*items: object, status: str = "completed") -> dict:
    return {"id": "resp_1", "object": "response", "status": status, "output": list(items)}


def completed(*items: object, **more: object) -> dict:
    return kind_of("completed", response=response(*items), **more)


IN_PROGRESS = kind_of("in_progress", response={"id": "resp_1", "status": "in_progress"})
CREATED = kind_of("created", response={"id": "resp_1", "status": "queued"})

FINAL = response(
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm. Ah."}],
        "content": [{"type": "reasoning_text", "text": "2+2"}],
    },
    message("Hello, wörld 🌍!", "Bye."),
    {"type": "function_call", "arguments": '{"a": 1}'},
    {"type": "custom_tool_call", "input": "free text"},
    {"type": "mcp_call", "arguments": "{}"},
    {"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]},
    {"type": "web_search_call", "id": "ws_1"},
)
#: A response with all kinds of text, as its server streams it.
WHOLE = numbered(
    CREATED,
    kind_of("queued", response={"id": "resp_1", "status": "queued"}),
    IN_PROGRESS,
    kind_of("output_item.added", output_index=0, item={"type": "reasoning"}),
    kind_of("reasoning_summary_part.added", output_index=0, summary_index=0),
    kind_of("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Hm. "),
    kind_of("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Ah."),
    kind_of("reasoning_summary_text.done", output_index=0, summary_index=0, text="Hm. Ah."),
    kind_of(
        "reasoning_summary_part.done",
        output_index=0,
        summary_index=0,
        part={"type": "summary_text", "text": "Hm. Ah."},
    ),
    kind_of("reasoning_text.delta", output_index=0, content_index=0, delta="2+"),
    kind_of("reasoning_text.delta", output_index=0, content_index=0, delta="2"),
    kind_of("reasoning_text.done", output_index=0, content_index=0, text="2+2"),
    kind_of("output_item.done", output_index=0, item=FINAL["output"][0]),
    added(1),
    kind_of("content_part.added", output_index=1, content_index=0, part={"type": "output_text"}),
    delta("Hello, ", 1),
    {"type": "keepalive"},
    delta("wörld ", 1),
    delta("", 1),
    delta("🌍!", 1),
    done("Hello, wörld 🌍!", 1),
    kind_of(
        "content_part.done",
        output_index=1,
        content_index=0,
        part={"type": "output_text", "text": "Hello, wörld 🌍!"},
    ),
    delta("Bye", 1, 1),
    delta(".", 1, 1),
    done("Bye.", 1, 1),
    kind_of("output_item.done", output_index=1, item=FINAL["output"][1]),
    kind_of("output_item.added", output_index=2, item={"type": "function_call", "arguments": ""}),
    kind_of("function_call_arguments.delta", output_index=2, delta='{"a":'),
    kind_of("output_item.added", output_index=3, item={"type": "custom_tool_call"}),
    kind_of("custom_tool_call_input.delta", output_index=3, delta="free "),
    kind_of("function_call_arguments.delta", output_index=2, delta=" 1}"),
    kind_of("function_call_arguments.done", output_index=2, arguments='{"a": 1}'),
    kind_of("custom_tool_call_input.delta", output_index=3, delta="text"),
    kind_of("custom_tool_call_input.done", output_index=3, input="free text"),
    kind_of("output_item.done", output_index=2, item=FINAL["output"][2]),
    kind_of("output_item.done", output_index=3, item=FINAL["output"][3]),
    kind_of("mcp_call_arguments.delta", output_index=4, delta="{}"),
    kind_of("mcp_call_arguments.done", output_index=4, arguments="{}"),
    kind_of("output_item.done", output_index=4, item=FINAL["output"][4]),
    added(5),
    kind_of("refusal.delta", output_index=5, content_index=0, delta="I will "),
    kind_of("refusal.delta", output_index=5, content_index=0, delta="not."),
    kind_of("refusal.done", output_index=5, content_index=0, refusal="I will not."),
    kind_of("output_item.done", output_index=5, item=FINAL["output"][5]),
    kind_of("web_search_call.searching", output_index=6),
    {"type": "codex.rate_limits"},
    kind_of("completed", response=FINAL),
)
RIGHT = dict(texts_of_response(FINAL))


# --- a stream as it should be ---------------------------------------------------------------------


def test_a_whole_stream():
    state, changes = run(WHOLE)

    assert texts(state) == RIGHT
    assert Reader().see(changes).texts == RIGHT
    assert not [change for change in changes if isinstance(change, Restarted)]
    assert state.text == "Hello, wörld 🌍!Bye."
    assert state.joined(REASONING) == "Hm. Ah."
    assert (state.cursor, state.response_id) == (len(WHOLE) - 1, "resp_1")
    assert end(state) == Ended(FINAL)
    assert not end(state).needs_ask


def test_pieces_say_where_they_belong():
    _, changes = run(
        numbered(added(1), delta("Grüße", 1, 2), {"type": "keepalive"}, delta("!", 1, 2))
    )

    assert changes == [
        Piece(TEXT, 1, 2, offset=0, text="Grüße", cursor=1),
        Piece(TEXT, 1, 2, offset=5, text="!", cursor=3),
    ]
    assert "Grüße" not in repr(changes)


@pytest.mark.parametrize(
    "document",
    [{"type": "keepalive"}, {"type": "odd"}, {}, delta(""), delta(None), delta(3), added()],
)
def test_the_cursor_counts_everything_that_has_a_number(document):
    state, changes = run(numbered(CREATED, {"sequence_number": 41, **document}))
    assert (state.cursor, changes) == (41, [])


def test_an_earlier_state_stays_as_it_was():
    states = [run(numbered(delta("a"), delta("b"))[:n])[0] for n in range(3)]
    first = fold(states[1], numbered({}, {}, delta("x"))[2])[0]
    second = fold(states[1], numbered({}, {}, delta("y"))[2])[0]
    assert [state.text for state in (*states, first, second)] == ["", "a", "ab", "ax", "ay"]


def test_indexes_that_are_none_are_the_first():
    state, _ = run(
        numbered(delta("a", None, "x"), delta("b", -1, 1.5), delta("c", output_index=True))
    )
    assert texts(state) == {Part(TEXT, 0, 0): "abc"}


# --- replays --------------------------------------------------------------------------------------


@given(st.data())
def test_a_resume_from_anywhere_tells_each_character_once(data):
    broke = data.draw(st.integers(0, len(WHOLE)))
    state, before = run(WHOLE[:broke])
    state = from_snapshot(orjson.loads(orjson.dumps(snapshot(state))))
    after = data.draw(st.integers(0, broke))
    state, rest = run(WHOLE[after:], state)

    whole, changes = run(WHOLE)
    assert state == whole
    assert before + rest == changes


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_many_resumes(starts):
    state, seen = Fold(), Reader()
    for start in sorted(starts):
        state, changes = run(WHOLE[: start + 1], state)
        seen.see(changes)
    state, changes = run(WHOLE, state)
    assert (state, seen.see(changes).texts) == (run(WHOLE)[0], RIGHT)


def test_a_terminal_event_counts_even_below_the_cursor():
    state, _ = run(numbered(CREATED, delta("Hel", sequence_number=90)))
    state, changes = run(numbered(CREATED, completed(message("Hello"))), state)
    assert (state.text, state.cursor) == ("Hello", 90)
    assert changes == [Piece(TEXT, 0, 0, offset=3, text="lo", cursor=90)]


def test_nothing_follows_the_terminal_event():
    over, _ = run(numbered(completed(message("Hello"))))
    assert run(numbered({}, delta("!"), completed(message("Bye"))), over) == (over, [])


def test_what_has_no_numbers_cannot_be_resumed():
    plain = [read_event(each) for each in (CREATED, added(), delta("a"), delta("b"), done("ab"))]
    state, changes = run(plain)
    assert (state.text, state.cursor, state.can_resume) == ("ab", None, False)
    assert [change.cursor for change in changes] == [None, None]
    state, _ = run([*numbered(CREATED), *plain])
    assert (state.cursor, state.can_resume) == (0, False)


def test_what_has_numbers_can_be_resumed_once_there_is_one():
    assert not Fold().can_resume
    state, _ = run([*numbered(CREATED, delta("a")), read_event({"type": "keepalive"})])
    assert state.can_resume


@given(st.lists(st.integers(0, len(WHOLE)), max_size=4), st.booleans())
def test_what_every_connection_repeats_is_told_once(ends, has_stray_number):
    repeated = [replace(each, sequence=None) for each in WHOLE]
    if has_stray_number:  # one number among none is nothing to resume from
        repeated[3] = WHOLE[3]
    # The worst of servers announces nothing.
    repeated = [each for each in repeated if "item.added" not in each.type]
    repeated = [each for each in repeated if "in_progress" not in each.type]
    state, seen = Fold(), Reader()
    for end_ in [*ends, len(repeated)]:
        state, restarts = reconnected(state)
        assert not state.parts
        state, changes = run(repeated[:end_], state)
        seen.see([*restarts, *changes])
        if state.response is not None:
            break
        assert seen.texts == texts(state)
    assert seen.texts == RIGHT


@pytest.mark.parametrize("events", [WHOLE[:20], WHOLE], ids=["numbered", "over"])
def test_another_connection_voids_nothing_where_it_goes_on(events):
    state, _ = run(events)
    assert reconnected(state) == (state, ())


def test_another_connection_voids_all_that_an_earlier_process_kept_without_numbers():
    state, _ = run([read_event(each) for each in (CREATED, delta("a"), delta("b", 2))])
    kept = from_snapshot(orjson.loads(orjson.dumps(snapshot(state))))
    assert reconnected(kept) == (
        Fold(response_id="resp_1"),
        (Restarted(0, None), Restarted(2, None)),
    )


# --- a server that starts over --------------------------------------------------------------------


def test_an_output_announced_again_starts_again():
    state, changes = run(
        numbered(added(0), delta("Hel"), added(1), delta("x", 1), added(0), delta("Bye"))
    )
    assert changes[2:] == [Restarted(0, 4), Piece(TEXT, 0, 0, offset=0, text="Bye", cursor=5)]
    assert texts(state) == {Part(TEXT, 0, 0): "Bye", Part(TEXT, 1, 0): "x"}


def test_an_output_whose_announcement_was_lost_is_known_by_its_text():
    _, changes = run(numbered(delta("Hel"), added(0)))
    assert changes[1:] == [Restarted(0, 1)]


def test_work_begun_again_starts_all_outputs_again():
    begun = [IN_PROGRESS, added(0), delta("Hel"), added(1), delta("x", 1)]
    state, changes = run(numbered(CREATED, *begun, *begun, done("Hello")))
    assert [change for change in changes if isinstance(change, Restarted)] == [
        Restarted(0, 6),
        Restarted(1, 6),
    ]
    assert Reader().see(changes).texts == texts(state)
    assert texts(state) == {Part(TEXT, 0, 0): "Hello", Part(TEXT, 1, 0): "x"}


# --- what is told whole ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "part", "whole"),
    [
        (done("Hello", 2, 1), Part(TEXT, 2, 1), "Hello"),
        (
            kind_of("refusal.done", output_index=2, content_index=1, refusal="No."),
            Part(REFUSAL, 2, 1),
            "No.",
        ),
        (
            kind_of("reasoning_summary_text.done", output_index=2, summary_index=1, text="Hm."),
            Part(REASONING, 2, 1),
            "Hm.",
        ),
        (
            kind_of("reasoning_text.done", output_index=2, content_index=1, text="Hm."),
            Part(REASONING_TEXT, 2, 1),
            "Hm.",
        ),
        (
            kind_of("function_call_arguments.done", output_index=2, arguments="{}"),
            Part(ARGUMENTS, 2, 0),
            "{}",
        ),
        (
            kind_of("mcp_call_arguments.done", output_index=2, arguments="{}"),
            Part(ARGUMENTS, 2, 0),
            "{}",
        ),
        (
            kind_of("custom_tool_call_input.done", output_index=2, input="x"),
            Part(ARGUMENTS, 2, 0),
            "x",
        ),
        (
            kind_of(
                "content_part.done",
                output_index=2,
                content_index=1,
                part={"type": "output_text", "text": "Hello"},
            ),
            Part(TEXT, 2, 1),
            "Hello",
        ),
        (
            kind_of(
                "reasoning_summary_part.done",
                output_index=2,
                summary_index=1,
                part={"type": "summary_text", "text": "Hm."},
            ),
            Part(REASONING, 2, 1),
            "Hm.",
        ),
        (
            kind_of("output_item.done", output_index=2, item=message("", "Hello")),
            Part(TEXT, 2, 1),
            "Hello",
        ),
    ],
)
def test_what_was_lost_is_told_by_what_is_done(document, part, whole):
    state, changes = run(numbered(document))
    assert texts(state) == {part: whole}
    assert changes == [Piece(*part, offset=0, text=whole, cursor=0)]


def test_only_the_missing_end_is_told():
    _, changes = run(numbered(delta("Hel"), done("Hello")))
    assert changes[1:] == [Piece(TEXT, 0, 0, offset=3, text="lo", cursor=1)]


def test_what_is_contradicted_starts_again_with_all_of_its_output():
    state, changes = run(numbered(delta("Hell"), delta("Bye", 0, 1), delta("x", 1), done("Hullo")))
    assert changes[3:] == [
        Restarted(0, 3),
        Piece(TEXT, 0, 0, offset=0, text="Hullo", cursor=3),
        Piece(TEXT, 0, 1, offset=0, text="Bye", cursor=3),
    ]
    assert Reader().see(changes).texts == texts(state)


@pytest.mark.parametrize(
    "document",
    [
        done(""),
        done(None),
        done(7),
        kind_of("content_part.done", part=None),
        kind_of("content_part.done", part={"type": ["output_text"], "text": "x"}),
        kind_of("content_part.done", part={"type": "picture", "text": "x"}),
        kind_of("output_item.done", item=None),
        kind_of("output_item.done", item={"type": "message", "content": "x"}),
        kind_of("output_item.done", item={"type": "message", "content": [None, {}]}),
        kind_of("output_item.done", item={"type": ["message"]}),
        kind_of("output_item.done", item={"type": "function_call"}),
        kind_of("output_item.done", item={"type": "mcp_approval_request", "arguments": "{}"}),
        kind_of("completed", response=None),
    ],
)
def test_what_says_nothing_voids_nothing(document):
    state, changes = run(numbered(delta("Hello"), document))
    assert texts(state) == {Part(TEXT, 0, 0): "Hello"}
    assert len(changes) == 1


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deltas", "items", "expected"),
    [
        pytest.param([delta("Hel")], [message("Hello")], {(TEXT, 0, 0): "Hello"}, id="lost end"),
        pytest.param([delta("lo")], [message("Hello")], {(TEXT, 0, 0): "Hello"}, id="lost start"),
        pytest.param([], [message("Hello")], {(TEXT, 0, 0): "Hello"}, id="all lost"),
        pytest.param([delta("Hello")], [], {(TEXT, 0, 0): "Hello"}, id="no output is told"),
        pytest.param([delta("Hello")], [message()], {}, id="it was void"),
        pytest.param([delta("x"), delta("y", 1)], [message("x")], {(TEXT, 0, 0): "x"}, id="gone"),
        pytest.param(
            [kind_of("reasoning_text.delta", delta="Hm."), delta("Hello", 1)],
            [message("Hello")],
            {(REASONING_TEXT, 0, 0): "Hm.", (TEXT, 1, 0): "Hello"},
            id="the reasoning is left out, and moves the rest",
        ),
        pytest.param(
            [kind_of("reasoning_text.delta", delta="Hm.")],
            [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Ah."}]}],
            {(REASONING_TEXT, 0, 0): "Ah."},
            id="the reasoning is told otherwise",
        ),
    ],
)
def test_the_terminal_response_is_right(deltas, items, expected):
    state, changes = run(numbered(CREATED, *deltas, completed(*items)))
    assert texts(state) == expected
    assert Reader().see(changes).texts == expected
    assert end(state) == Ended(response(*items))


@pytest.mark.parametrize("output", [None, "x", {}, 3])
def test_output_that_is_no_list_voids_nothing(output):
    over = kind_of("failed", response={"id": "resp_1", "status": "failed", "output": output})
    state, _ = run(numbered(delta("Hello"), over))
    assert state.text == "Hello"


def test_an_end_without_a_terminal_event_must_be_asked():
    state, _ = run(WHOLE[:-1])
    assert end(state) == Ended(None)
    assert end(state).needs_ask


def test_an_error_is_remembered():
    error = {"type": "error", "code": "insufficient_quota", "message": "No money."}
    failed = kind_of("failed", response=response(status="failed"))
    state, _ = run(numbered(CREATED, error, {"type": "keepalive"}))
    assert end(state).error.code == "insufficient_quota"
    assert end(state).needs_ask
    state, _ = run(numbered(CREATED, error, failed))
    assert end(state).error.code == "insufficient_quota"
    assert not end(state).needs_ask


@pytest.mark.parametrize("given_id", [None, "", 7])
def test_the_id_is_kept_from_the_first_event_that_has_one(given_id):
    first = kind_of("created", response={"id": given_id})
    state, _ = run(numbered(first, {"type": "keepalive"}))
    assert state.response_id is None
    state, _ = run(numbered(first, IN_PROGRESS, kind_of("queued", response={"id": "resp_2"})))
    assert state.response_id == "resp_1"


# --- whatever comes -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@st.composite
def garbled(draw: st.DrawFn) -> list[StreamEvent]:
    """Lose, repeat, move and garble events of a stream, but not its last one."""
    documents = [dict(event.data) for event in WHOLE[:-1]]
    for _ in range(draw(st.integers(0, 12))):
        at = draw(st.integers(0, len(documents) - 1))
        match draw(st.sampled_from(["lose", "repeat", "move", "garble", "unnumber"])):
            case "lose":
                documents.pop(at)
            case "repeat":
                documents.insert(at, documents[at])
            case "move":
                documents.insert(draw(st.integers(0, len(documents) - 1)), documents.pop(at))
            case "garble":
                field = draw(st.sampled_from(sorted(documents[at])))
                documents[at] = {**documents[at], field: draw(JSON)}
            case "unnumber":
                documents[at] = {**documents[at], "sequence_number": None}
    return [read_event(document) for document in documents]


@given(garbled())
def test_the_text_is_the_servers_whatever_came_before(events):
    state, before = run(events)
    assert Reader().see(before).texts == texts(state)
    assert from_snapshot(orjson.loads(orjson.dumps(snapshot(state)))) == state
    if state.response is None:
        state, rest = run(WHOLE[-1:], state)
        assert Reader().see(before + rest).texts == texts(state)
        for kind in PieceKind:
            assert state.joined(kind) == "".join(RIGHT[p] for p in sorted(RIGHT) if p.kind is kind)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(WHOLE[15].data)), JSON), max_size=5))
def test_anything_is_folded(documents):
    state, changes = run([read_event(document) for document in documents])
    assert Reader().see(changes).texts == texts(state)


# --- snapshots ------------------------------------------------------------------------------------


def test_a_snapshot_is_pinned():
    error = {"type": "error", "message": "Oh.", "code": "c"}
    state, _ = run(numbered(CREATED, IN_PROGRESS, added(0), delta("Hel"), delta("x", 1), error))

    assert snapshot(state) == {
        "version": 1,
        "cursor": 5,
        "response_id": "resp_1",
        "outputs": [0],
        "is_in_progress": True,
        "is_numbered": True,
        "parts": [[["text", 0, 0], "Hel"], [["text", 1, 0], "x"]],
        "error": {
            "message": "Oh.",
            "type": None,
            "code": "c",
            "param": None,
            "enveloped": True,
            "structured": True,
        },
        "response": None,
    }


@pytest.mark.parametrize("seen", range(len(WHOLE) + 1))
def test_a_snapshot_of_any_moment_goes_round(seen):
    state, _ = run(WHOLE[:seen])
    again = from_snapshot(orjson.loads(orjson.dumps(snapshot(state))))
    assert again == state
    assert isinstance(again.error, ErrorEnvelope | None)


GOOD = snapshot(run(WHOLE[:20])[0])


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {**GOOD, "version": 2},
        {**GOOD, "cursor": "x"},
        {**GOOD, "parts": [[["song", 0, 0], "x"]]},
        {**GOOD, "parts": [[["text", 0], "x"]]},
        {**GOOD, "error": 3},
    ],
)
def test_what_is_no_snapshot_is_read_as_the_beginning(document):
    assert from_snapshot(document) == Fold()


# --- text that grows ------------------------------------------------------------------------------


def test_growing_text():
    text = GrowingText("ab") + "c"
    assert (str(text), len(text), repr(text)) == ("abc", 3, "GrowingText(3 characters)")
    assert text == GrowingText("abc")
    assert hash(text) == hash(GrowingText("abc"))
    assert text != "abc"
