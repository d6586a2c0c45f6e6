"""What a dead row is asked when it is replayed: the same again, a repair, or with more room.

Nothing here needs a server that remembers: a repair sends the model its own answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from prefect_responses.charges import said_tokens
from prefect_responses.decisions.estimates import output_cap
from prefect_responses.decisions.row_outcomes import DEAD, RowOutcome
from prefect_responses.decisions.row_selection import REPLAY_REASON
from prefect_responses.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class ReplayTurn(StrEnum):
    """Say what a replay sends."""

    #: The request as it was.
    AGAIN = "again"
    #: The request, the model's answer, and what was wrong with it.
    REPAIR = "repair"
    #: The request with twice the room for its answer.
    LARGER_CAP = "larger_cap"


#: The turn by which each class of dead rows is replayed.
REPLAY_TURNS: Mapping[RowOutcome, ReplayTurn] = {
    RowOutcome.REFUSAL: ReplayTurn.AGAIN,
    RowOutcome.TRUNCATED: ReplayTurn.LARGER_CAP,
    RowOutcome.INVALID_JSON: ReplayTurn.REPAIR,
    RowOutcome.SCHEMA: ReplayTurn.REPAIR,
    RowOutcome.CONTENT_FILTER: ReplayTurn.AGAIN,
    RowOutcome.EMPTY: ReplayTurn.AGAIN,
    RowOutcome.FAILED: ReplayTurn.AGAIN,
    RowOutcome.CANCELLED: ReplayTurn.AGAIN,
    RowOutcome.EXPIRED: ReplayTurn.AGAIN,
    RowOutcome.REFUSED: ReplayTurn.AGAIN,
    RowOutcome.ABANDONED: ReplayTurn.AGAIN,
}

#: By how much the room for an answer grows.
GROWTH = 2
#: The least cap that the API takes (API reference, create a response).
LEAST_CAP = 16

#: Messages of another phase (`commentary`) are said on the way to the answer.
_ANSWER_PHASES = (None, "final_answer")


def replay_classes(names: Iterable[str]) -> frozenset[RowOutcome]:
    """Return the classes of dead rows of these names.

    Raises:
        RequestInvalid: one of them is none that can be replayed; the message lists those that can.
    """
    given = frozenset(names)
    if unknown := sorted(given - DEAD):
        raise RequestInvalid(
            f"Rows cannot be replayed as {', '.join(map(repr, unknown))}. "
            f"Dead rows are {', '.join(sorted(DEAD))}."
        )
    return frozenset(RowOutcome(name) for name in given)


def replay_reason(row_class: RowOutcome) -> str:
    """Return the reason of a rejection that marks a row for a replay as *row_class*."""
    return f"{REPLAY_REASON}{row_class}"


def replayed_class(rejected: str | None) -> RowOutcome | None:
    """Return the class as which a row was marked for a replay, by the reason of its rejection."""
    if rejected is None or not rejected.startswith(REPLAY_REASON):
        return None
    return RowOutcome(rejected.removeprefix(REPLAY_REASON))


def replay_request(
    turn: ReplayTurn, request: Mapping[str, Any], response: Mapping[str, Any], error: str
) -> dict[str, Any]:
    """Return the request by which a dead row is asked again.

    Args:
        turn: see `REPLAY_TURNS`.
        request: the request that the row died of, as it was stored.
        response: the API's JSON object that answered it; empty if there is none.
        error: what was wrong with the answer, in a sentence.
    """
    match turn:
        case ReplayTurn.AGAIN:
            return dict(request)
        case ReplayTurn.REPAIR:
            return _repair(request, response, error)
        case ReplayTurn.LARGER_CAP:
            return _with_more_room(request, response)
        case _:
            assert_never(turn)


def _repair(request: Mapping[str, Any], response: Mapping[str, Any], error: str) -> dict[str, Any]:
    """Let the model see its answer and what was wrong with it; the format asked for stays."""
    answer = _last_message(response)
    if answer is None:
        return dict(request)
    return {**request, "input": [*_items(request.get("input")), answer, _complaint(error)]}


def _items(given: Any) -> list[Any]:
    if isinstance(given, list):
        return given
    return [{"role": "user", "content": given}] if given else []


def _complaint(error: str) -> dict[str, Any]:
    return {
        "role": "user",
        "content": (
            f"Your answer cannot be used: {error}\n"
            "Answer once more, with the whole corrected JSON object and nothing else."
        ),
    }


def _last_message(response: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer as an item to send: as text, and without its ID.

    An ID would have to be known to the server, and would have to come with the reasoning before
    it (API reference, message item). Its phase stays: models answer worse without.
    """
    for item in reversed(list(_objects(response.get("output")))):
        text = "".join(_texts(item))
        is_answer = item.get("type") == "message" and item.get("phase") in _ANSWER_PHASES
        if is_answer and text.strip():
            phase = {"phase": item["phase"]} if item.get("phase") else {}
            return {"role": "assistant", "content": text, **phase}
    return None


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    for part in _objects(message.get("content")):
        text = part.get("text")
        if part.get("type") == "output_text" and isinstance(text, str):
            yield text


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in (value if isinstance(value, list) else []) if isinstance(each, dict))


def _with_more_room(request: Mapping[str, Any], response: Mapping[str, Any]) -> dict[str, Any]:
    known = [cap for cap in (output_cap(request), _written(response)) if cap]
    if not known:
        return dict(request)
    return {**request, "max_output_tokens": max(LEAST_CAP, GROWTH * max(known))}


def _written(response: Mapping[str, Any]) -> int:
    usage = response.get("usage")
    tokens = usage.get("output_tokens") if isinstance(usage, dict) else None
    return said_tokens(tokens) or 0
