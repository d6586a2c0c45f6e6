"""Rows to records and back: the one place where enums become text."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.attempt import Attempt, Endpoint, Link
from prefect_responses.charges import AccountLimit, Charge, Price
from prefect_responses.decisions.ordinals import ClaimView
from prefect_responses.statuses import (
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
    ResponseStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from enum import StrEnum

_STATES = {state.value: state for state in AttemptState}
_OUTCOMES: dict[str | None, Outcome | None] = {None: None} | {o.value: o for o in Outcome}
_STATUSES: dict[str | None, ResponseStatus | None] = {None: None} | {
    status.value: status for status in ResponseStatus
}
_REASONS: dict[str | None, CancelReason | None] = {None: None} | {r.value: r for r in CancelReason}
_ANSWERS: dict[str | None, CancelAnswer | None] = {None: None} | {a.value: a for a in CancelAnswer}
_FLAGS: dict[int | None, bool | None] = {None: None, 0: False, 1: True}


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Build the record of a row that has all columns of `attempts` in order."""
    values = (
        *row[:6],
        Endpoint(*row[6:9]),
        row[9],
        _STATES[row[10]],
        row[11],
        _OUTCOMES[row[12]],
        row[13],
        _STATUSES[row[14]],
        *row[15:19],
        run_of(row[19]),
        *row[20:32],
        json_of(row[32]),
        json_of(row[33]),
        row[34],
        _FLAGS[row[35]],
        _REASONS[row[36]],
        row[37],
        _ANSWERS[row[38]],
        *row[39:45],
        charge_of(row[45]),
        *row[46:],
    )
    return _made_of(values)


def values_of(attempt: Attempt) -> dict[str, Any]:
    """Return what to store for a new attempt, by column; a column without a value is left out."""
    named = zip(Attempt.__slots__, _ALL(attempt), strict=True)
    facts = {name: value for name, value in named if value is not None and name != "endpoint"}
    endpoint = attempt.endpoint
    return stored(facts) | {
        "base_url": endpoint.base_url,
        "organization": endpoint.organization,
        "project": endpoint.project,
    }


def evolve(attempt: Attempt, facts: Mapping[str, Any]) -> Attempt:
    """Return *attempt* with *facts* replaced; a fifth of what `dataclasses.replace` costs."""
    values = list(_ALL(attempt))
    for name, value in facts.items():
        values[_PLACES[name]] = value
    return _made_of(values)


def _made_of(values: Iterable[Any]) -> Attempt:
    # A record is made at every verb. `Attempt(*values)` costs twice this: a frozen dataclass sets
    # its fields one by one in Python.
    attempt = object.__new__(Attempt)
    any(map(MemberDescriptorType.__set__, _MEMBERS, repeat(attempt), values))
    return attempt


_MEMBERS: tuple[Any, ...] = tuple(getattr(Attempt, name) for name in Attempt.__slots__)
_ALL = attrgetter(*Attempt.__slots__)
_PLACES = {name: place for place, name in enumerate(Attempt.__slots__)}


def stored(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return *facts* of an attempt as they are stored."""
    values = dict(facts)
    for name, store in _STORED.items():
        if name in values:
            values[name] = store(values[name])
    return values


def _word(word: StrEnum | None) -> str | None:
    return None if word is None else word.value


def _flag(flag: bool | None) -> int | None:  # noqa: FBT001 - what is stored is a flag
    return None if flag is None else int(flag)


def _json(document: dict[str, Any] | None) -> str | None:
    return None if document is None else orjson.dumps(document).decode()


def _run(run: tuple[int, ...]) -> str:
    return orjson.dumps(run).decode()


def charge_text(charge: Charge | None) -> str | None:
    """Return a charge as it is stored."""
    return None if charge is None else orjson.dumps(charge).decode()


_STORED: dict[str, Callable[[Any], str | int | None]] = {
    "state": _word,
    "outcome": _word,
    "remote_status": _word,
    "run": _run,
    "usage": _json,
    "error": _json,
    "streamed": _flag,
    "cancel_reason": _word,
    "cancel_answer": _word,
    "charge": charge_text,
}


def run_of(text: str) -> tuple[int, ...]:
    """Read the run counts back."""
    return () if text == "[]" else tuple(orjson.loads(text))


def json_of(text: str | None) -> dict[str, Any] | None:
    """Read a JSON object back."""
    if text is None:
        return None
    document: dict[str, Any] = orjson.loads(text)
    return document


def charge_of(text: str | None) -> Charge | None:
    """Read a charge back."""
    return None if text is None else read_charge(text)


@lru_cache(maxsize=4096)
def read_charge(text: str) -> Charge:
    """Read a charge back; the same attempt is read at each of its moves."""
    stored = orjson.loads(text)
    price = stored["price"]
    return Charge(
        tuple(AccountLimit(**limit) for limit in stored["accounts"]),
        stored["usd"],
        stored["tokens"],
        None if price is None else Price(**price),
    )


def state_of(word: str) -> AttemptState:
    """Read a state back."""
    return _STATES[word]


def outcome_of(word: str | None) -> Outcome | None:
    """Read an outcome back."""
    return _OUTCOMES[word]


def error_code_of(text: str | None) -> str | None:
    """Return the API's code of a stored error, or else our own name of it."""
    error = json_of(text) or {}
    code = error.get("code") or error.get("error")
    return None if code is None else str(code)


def chain_text(chain: tuple[Link, ...]) -> str:
    """Return a chain as it is stored."""
    return orjson.dumps([[link.run_id, link.number] for link in chain]).decode()


def claim_of(ordinal: int, chain: str, dropped_at: float | None) -> ClaimView:
    """Build what the choice of an ordinal needs to know of a stored claim."""
    links = tuple(Link(run_id, number) for run_id, number in orjson.loads(chain))
    return ClaimView(ordinal, links, dropped=dropped_at is not None)


def words(states: Collection[AttemptState] | None) -> list[str] | None:
    """Return states as they are stored."""
    return None if states is None else [state.value for state in states]


def state_counts(counts: Iterable[Sequence[Any]]) -> dict[AttemptState, int]:
    """Read how many attempts are in each state from rows of state, outcome and count."""
    sums: Counter[AttemptState] = Counter()
    for state, _, count in counts:
        sums[_STATES[state]] += count
    return dict(sums)


def outcome_counts(counts: Iterable[Sequence[Any]]) -> dict[Outcome, int]:
    """Read how many attempts ended in each way from rows of state, outcome and count."""
    return {outcome: count for _, word, count in counts if (outcome := _OUTCOMES[word]) is not None}
