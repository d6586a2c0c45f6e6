"""Fold the events of a streamed response into what is known of it so far.

Pure: an event in, a state and the changes of its text out. Every character is told once, at an
offset, whatever is replayed, lost or sent twice; where a server starts over, or turns out to have
written something else than its deltas said, `Restarted` says that an output begins again. Offsets
count characters (code points), not bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from prefect_responses.decisions.growing_text import GrowingText
from prefect_responses.decisions.output_texts import (
    Part,
    PieceKind,
    has_output,
    if_text,
    texts_of_content,
    texts_of_item,
    texts_of_response,
)
from prefect_responses.wire.stream_events import EventType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prefect_responses.wire.envelopes import ErrorEnvelope
    from prefect_responses.wire.stream_events import StreamEvent


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text came; it continues its part at *offset*.

    Args:
        kind: what it belongs to.
        output_index: the index of its output item.
        content_index: the index within that item; 0 where the item has no parts.
        offset: characters of the same part that came before.
        text: the new characters, at least one.
        cursor: where to resume so that this piece is not sent again; None if the server does not
            number its events.
    """

    kind: PieceKind
    output_index: int
    content_index: int
    offset: int
    text: str = field(repr=False)
    cursor: int | None


@dataclass(frozen=True, slots=True)
class Restarted:
    """All text of one output is void, and begins again at offset 0."""

    output_index: int
    cursor: int | None


Change: TypeAlias = Piece | Restarted


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over.

    Args:
        response: the terminal response, or None if the stream ended without one.
        error: what an `error` event told, or None.
    """

    response: dict[str, Any] | None = field(repr=False)
    error: ErrorEnvelope | None = None

    @property
    def needs_ask(self) -> bool:
        """Tell whether only a retrieve can say what became of the response."""
        return self.response is None


@dataclass(frozen=True, slots=True)
class Fold:
    """Hold what is known of a streamed response so far.

    Args:
        cursor: the highest number of an event seen, to be sent as `starting_after`.
        parts: the text so far.
        response_id: the ID, which resumed streams do not repeat.
        outputs: the indexes of output items that were announced.
        is_in_progress: whether `response.in_progress` came.
        is_numbered: whether all text so far came with numbers.
        error: what an `error` event told; the terminal response may still follow.
        response: the terminal response.
    """

    cursor: int | None = None
    parts: Mapping[Part, GrowingText] = field(default_factory=dict, hash=False)
    response_id: str | None = None
    outputs: frozenset[int] = frozenset()
    is_in_progress: bool = False
    is_numbered: bool = True
    error: ErrorEnvelope | None = None
    response: dict[str, Any] | None = field(default=None, repr=False, hash=False)

    @property
    def can_resume(self) -> bool:
        """Tell whether a stream that starts after the cursor goes on exactly here."""
        return self.is_numbered and self.cursor is not None

    @property
    def length(self) -> int:
        """Return the characters of all texts so far."""
        return sum(len(text) for text in self.parts.values())

    @property
    def reach(self) -> int:
        """Return a number that grows with each event that brings something new.

        It is the cursor, or the length of the texts where a server does not number its events and
        sends them all again on each connection.
        """
        return self.length if self.cursor is None else self.cursor

    @property
    def text(self) -> str:
        """Return all text of the answer so far, in the order of the output."""
        return self.joined(PieceKind.TEXT)

    def joined(self, kind: PieceKind) -> str:
        """Return all text of one *kind* so far, in the order of the output."""
        return "".join(str(self.parts[part]) for part in sorted(self.parts) if part.kind is kind)


Folded: TypeAlias = tuple[Fold, tuple[Change, ...]]

#: Where a delta belongs, and what its index is called.
_DELTAS: Mapping[str, tuple[PieceKind, str]] = {
    EventType.OUTPUT_TEXT_DELTA: (PieceKind.TEXT, "content_index"),
    EventType.REFUSAL_DELTA: (PieceKind.REFUSAL, "content_index"),
    EventType.REASONING_SUMMARY_TEXT_DELTA: (PieceKind.REASONING, "summary_index"),
    EventType.REASONING_TEXT_DELTA: (PieceKind.REASONING_TEXT, "content_index"),
    EventType.FUNCTION_CALL_ARGUMENTS_DELTA: (PieceKind.ARGUMENTS, ""),
    EventType.MCP_CALL_ARGUMENTS_DELTA: (PieceKind.ARGUMENTS, ""),
    EventType.CUSTOM_TOOL_CALL_INPUT_DELTA: (PieceKind.ARGUMENTS, ""),
}
#: The same for events that carry a whole text, with the field that it is in.
_WHOLES: Mapping[str, tuple[PieceKind, str, str]] = {
    EventType.OUTPUT_TEXT_DONE: (PieceKind.TEXT, "content_index", "text"),
    EventType.REFUSAL_DONE: (PieceKind.REFUSAL, "content_index", "refusal"),
    EventType.REASONING_SUMMARY_TEXT_DONE: (PieceKind.REASONING, "summary_index", "text"),
    EventType.REASONING_TEXT_DONE: (PieceKind.REASONING_TEXT, "content_index", "text"),
    EventType.FUNCTION_CALL_ARGUMENTS_DONE: (PieceKind.ARGUMENTS, "", "arguments"),
    EventType.MCP_CALL_ARGUMENTS_DONE: (PieceKind.ARGUMENTS, "", "arguments"),
    EventType.CUSTOM_TOOL_CALL_INPUT_DONE: (PieceKind.ARGUMENTS, "", "input"),
}
#: Kinds that a terminal response always has in full; reasoning is often left out of it.
_ALWAYS_REPEATED = frozenset({PieceKind.TEXT, PieceKind.REFUSAL, PieceKind.ARGUMENTS})


def fold(state: Fold, event: StreamEvent) -> Folded:
    """Return what is known after *event*, and how the text changed.

    Events that were seen before change nothing, nor does anything after the terminal response.
    """
    if state.response is not None:
        return state, ()
    place = _DELTAS.get(event.type)  # nearly all events are deltas, so they are told apart first
    if place is not None:
        return (state, ()) if _was_seen(state, event) else _grow(state, event, *place)
    if event.is_terminal:  # also in a replay: it says how the response is now
        return _settle(state, event)
    if _was_seen(state, event):
        return state, ()
    return _fold_rarer(_note(state, event), event)


def reconnected(state: Fold) -> Folded:
    """Return what is still known when another connection begins.

    One that cannot start after the cursor sends all events again: what they told is void, so that
    it is told once, at the offsets that it has. Call it before the first event of each connection.
    """
    if state.can_resume or state.response is not None:
        return state, ()
    known = _known_outputs(state)
    fresh = Fold(response_id=state.response_id, error=state.error)
    return fresh, tuple(Restarted(index, None) for index in sorted(known))


def end(state: Fold) -> Ended:
    """Say what a stream that ended in *state* came to."""
    return Ended(state.response, state.error)


def _was_seen(state: Fold, event: StreamEvent) -> bool:
    number, cursor = event.sequence, state.cursor
    return number is not None and cursor is not None and number <= cursor


def _fold_rarer(state: Fold, event: StreamEvent) -> Folded:
    match event.event_type:
        case EventType.IN_PROGRESS:
            return _begin(state)
        case EventType.OUTPUT_ITEM_ADDED:
            return _announce(state, _index(event, "output_index"))
        case EventType.OUTPUT_ITEM_DONE:
            index = _index(event, "output_index")
            return _repair(state, index, texts_of_item(event.data.get("item"), index))
        case EventType.CONTENT_PART_DONE:
            return _repair_part(state, event, "content_index")
        case EventType.REASONING_SUMMARY_PART_DONE:
            return _repair_part(state, event, "summary_index")
        case _:
            whole = _WHOLES.get(event.type)
            return (state, ()) if whole is None else _repair_whole(state, event, *whole)


def _note(state: Fold, event: StreamEvent) -> Fold:
    """Keep what any event may tell: its number, the ID, an error."""
    response_id = state.response_id or _id_of(event.response)
    return replace(
        state,
        cursor=_cursor(state, event),
        response_id=response_id,
        error=event.error or state.error,
    )


def _cursor(state: Fold, event: StreamEvent) -> int | None:
    number, cursor = event.sequence, state.cursor
    if number is None or cursor is None:
        return cursor if number is None else number
    return max(number, cursor)


def _id_of(response: Mapping[str, Any] | None) -> str | None:
    found = response.get("id") if response else None
    return found if isinstance(found, str) and found else None


def _index(event: StreamEvent, name: str) -> int:
    found = event.data.get(name, 0)
    return found if type(found) is int and found > 0 else 0


# --- text that grows ------------------------------------------------------------------------------


def _grow(state: Fold, event: StreamEvent, kind: PieceKind, index_name: str) -> Folded:
    delta, cursor = event.data.get("delta"), _cursor(state, event)
    if not isinstance(delta, str) or not delta:
        return replace(state, cursor=cursor), ()
    part = Part(kind, _index(event, "output_index"), _index(event, index_name))
    seen = state.parts.get(part)
    piece = Piece(*part, offset=len(seen) if seen else 0, text=delta, cursor=cursor)
    grown = {**state.parts, part: seen + delta if seen else GrowingText(delta)}
    numbered = state.is_numbered and event.sequence is not None
    return replace(state, cursor=cursor, parts=grown, is_numbered=numbered), (piece,)


# --- text that starts over ------------------------------------------------------------------------


def _begin(state: Fold) -> Folded:
    if not state.is_in_progress:
        return replace(state, is_in_progress=True), ()
    return _void(state, _known_outputs(state))


def _announce(state: Fold, index: int) -> Folded:
    state, changes = _void(state, _known_outputs(state) & {index})
    return replace(state, outputs=state.outputs | {index}), changes


def _known_outputs(state: Fold) -> frozenset[int]:
    return state.outputs | {part.output_index for part in state.parts}


def _void(state: Fold, outputs: frozenset[int]) -> Folded:
    kept = {part: text for part, text in state.parts.items() if part.output_index not in outputs}
    changes = tuple(Restarted(index, state.cursor) for index in sorted(outputs))
    return replace(state, parts=kept, outputs=state.outputs - outputs), changes


# --- text that is told whole ----------------------------------------------------------------------


def _repair_whole(
    state: Fold, event: StreamEvent, kind: PieceKind, index_name: str, text_name: str
) -> Folded:
    output_index = _index(event, "output_index")
    part = Part(kind, output_index, _index(event, index_name))
    return _repair(state, output_index, if_text(part, event.data.get(text_name)))


def _repair_part(state: Fold, event: StreamEvent, index_name: str) -> Folded:
    output_index, content_index = _index(event, "output_index"), _index(event, index_name)
    told = texts_of_content(event.data.get("part"), output_index, content_index)
    return _repair(state, output_index, told)


def _repair(state: Fold, output_index: int, told: Iterable[tuple[Part, str]]) -> Folded:
    """Let the texts that are *told* replace those of the same parts.

    An empty one says nothing: servers are seen to leave out of the end what they sent before.
    """
    whole = {part: text for part, text in told if text}
    return _rewrite(state, output_index, {**_texts_of_output(state, output_index), **whole})


def _rewrite(state: Fold, output_index: int, texts: Mapping[Part, str]) -> Folded:
    """Make *texts* all that one output has, telling no more than what is new."""
    before = _texts_of_output(state, output_index)
    if before == texts:
        return state, ()
    goes_on = all(texts.get(part, "").startswith(text) for part, text in before.items())
    told = before if goes_on else {}
    restart = () if goes_on else (Restarted(output_index, state.cursor),)
    kept = {part: text for part, text in state.parts.items() if part.output_index != output_index}
    kept |= {part: GrowingText(text) for part, text in texts.items()}
    tails = (
        Piece(*part, offset=len(told.get(part, "")), text=text, cursor=state.cursor)
        for part, whole in sorted(texts.items())
        if (text := whole[len(told.get(part, "")) :])
    )
    return replace(state, parts=kept), (*restart, *tails)


def _texts_of_output(state: Fold, output_index: int) -> dict[Part, str]:
    return {
        part: str(text) for part, text in state.parts.items() if part.output_index == output_index
    }


def _settle(state: Fold, event: StreamEvent) -> Folded:
    """Take the terminal response, and its text where it says something else than the deltas."""
    state = replace(_note(state, event), response=event.response)
    right = _corrected(state, dict(texts_of_response(event.response)))
    changes: list[Change] = []
    for output_index in sorted({part.output_index for part in (*state.parts, *right)}):
        texts = {part: text for part, text in right.items() if part.output_index == output_index}
        state, more = _rewrite(state, output_index, texts)
        changes += more
    return state, tuple(changes)


def _corrected(state: Fold, told: Mapping[Part, str]) -> dict[Part, str]:
    right: dict[Part, str] = {}
    for kind in PieceKind:
        seen = {part: str(text) for part, text in state.parts.items() if part.kind is kind}
        final = {part: text for part, text in told.items() if part.kind is kind and text}
        # A response that leaves out an item moves the indexes of those after it: the same text
        # elsewhere is no contradiction.
        is_same = _in_order(seen) == _in_order(final)
        is_told = bool(final) or (kind in _ALWAYS_REPEATED and has_output(state.response))
        right |= final if is_told and not is_same else seen
    return right


def _in_order(texts: Mapping[Part, str]) -> str:
    return "".join(texts[part] for part in sorted(texts))
