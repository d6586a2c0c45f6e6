"""Write a fold down, so that another process goes on from its cursor and its text."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from prefect_responses.decisions.growing_text import GrowingText
from prefect_responses.decisions.output_texts import Part
from prefect_responses.decisions.stream_fold import Fold
from prefect_responses.wire.envelopes import ErrorEnvelope

if TYPE_CHECKING:
    from collections.abc import Callable

_VERSION = 1


class _Snapshot(BaseModel):
    """A fold as it is stored. A change of meaning takes another version."""

    version: Literal[1]
    cursor: int | None
    response_id: str | None
    outputs: frozenset[int]
    is_in_progress: bool
    is_numbered: bool
    parts: list[tuple[Part, str]]
    error: ErrorEnvelope | None
    response: dict[str, Any] | None


def snapshot(state: Fold, clean: Callable[[str], str] = str) -> dict[str, Any]:
    """Return *state* as JSON can hold it, for another process to go on from.

    Args:
        state: what is known.
        clean: applied to each text as a whole; it must keep its length, which offsets count.
    """
    return {
        "version": _VERSION,
        "cursor": state.cursor,
        "response_id": state.response_id,
        "outputs": sorted(state.outputs),
        "is_in_progress": state.is_in_progress,
        "is_numbered": state.is_numbered,
        "parts": [[list(part), clean(str(text))] for part, text in state.parts.items()],
        "error": asdict(state.error) if state.error else None,
        "response": state.response,
    }


def from_snapshot(document: object) -> Fold:
    """Return the state that `snapshot` stored.

    One that cannot be read, or of another version, is as none: the empty state, with no cursor, so
    that the stream is read from its beginning. Never raises.
    """
    try:
        stored = _Snapshot.model_validate(document)
    except ValidationError:
        return Fold()
    return Fold(
        cursor=stored.cursor,
        response_id=stored.response_id,
        outputs=stored.outputs,
        is_in_progress=stored.is_in_progress,
        is_numbered=stored.is_numbered,
        parts={part: GrowingText(text) for part, text in stored.parts if text},
        error=stored.error,
        response=stored.response,
    )
