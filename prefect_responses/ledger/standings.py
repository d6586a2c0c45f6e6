"""How the rows of a job stand, read lightly: nothing but what the choice of rows needs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.ordinals import speaking_attempt
from prefect_responses.ledger.rows import error_code_of, outcome_of, run_of, state_of
from prefect_responses.statuses import ANSWERED, AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class RowStanding:
    """The attempt that speaks for a name at ordinal 0.

    Args:
        name: the name.
        attempt_id: ID of the attempt.
        digest: digest of what was asked for.
        state: where it stands.
        outcome: how it ended, if it did.
        rejected: why its answer was turned down, or None.
        row_class: what came of the row, if that was said.
        replay: why it was sent with a request of its own, or None.
        run: see `Origin`.
        response_id: ID of its response, or None.
        error_code: the API's code of its last error, or else our own name of it.
        attempts: how many attempts of this name at this digest ended, those that were abandoned or
            surplus not among them.
        answered: digests of other requests of this name that have an answer too.
    """

    name: str
    attempt_id: str
    digest: str
    state: AttemptState
    outcome: Outcome | None = None
    rejected: str | None = None
    row_class: str | None = None
    replay: str | None = None
    run: tuple[int, ...] = ()
    response_id: str | None = None
    error_code: str | None = None
    attempts: int = 0
    answered: tuple[str, ...] = ()

    @property
    def is_answered(self) -> bool:
        """Tell whether an answer is stored that was not rejected."""
        return self.outcome in ANSWERED and self.rejected is None

    @property
    def is_settled(self) -> bool:
        """Tell whether an outcome is recorded."""
        return self.state is AttemptState.SETTLED


@dataclass(frozen=True, slots=True)
class ScopeSummary:
    """What a ledger holds of one scope.

    Args:
        scope: see `Origin`.
        attempts: how many attempts.
        unsettled: how many of them have no outcome.
        last_at: when one was last planned, sent, accepted or settled; seconds since the epoch.
        bytes: size of the requests and responses that are stored.
    """

    scope: str
    attempts: int
    unsettled: int
    last_at: float
    bytes: int


@dataclass(frozen=True, slots=True)
class _Sibling:
    """What the choice of who speaks needs to know."""

    id: str
    digest: str
    state: AttemptState
    outcome: Outcome | None
    rejected: str | None
    row: Sequence[Any]

    @property
    def is_answered(self) -> bool:
        return self.outcome in ANSWERED and self.rejected is None


def standings_of(rows: Iterable[Sequence[Any]]) -> dict[str, RowStanding]:
    """Build the standings from rows of `lookups.standings_of_names`, by name and number."""
    found: dict[str, RowStanding] = {}
    for name, same in groupby(rows, _NAME):
        siblings = tuple(same)
        speaker = siblings[0] if len(siblings) == 1 else _speaker(siblings)
        attempts = sum(_counts(row, speaker[2]) for row in siblings)
        answered = tuple(row[2] for row in siblings if _answers_another(row, speaker[2]))
        found[name] = _standing(speaker, attempts, answered)
    return found


_NAME = itemgetter(0)


def _speaker(rows: Sequence[Sequence[Any]]) -> Sequence[Any]:
    siblings = [
        _Sibling(row[1], row[2], state_of(row[3]), outcome_of(row[4]), row[5], row) for row in rows
    ]
    return speaking_attempt(siblings).row


def _counts(row: Sequence[Any], digest: str) -> bool:
    return row[2] == digest and row[4] is not None and row[4] not in _UNCOUNTED


def _answers_another(row: Sequence[Any], digest: str) -> bool:
    return row[2] != digest and row[4] in _ANSWERED and row[5] is None


_ANSWERED = frozenset(outcome.value for outcome in ANSWERED)
_UNCOUNTED = frozenset({Outcome.ABANDONED.value, Outcome.SURPLUS.value})


def _standing(row: Sequence[Any], attempts: int, answered: tuple[str, ...]) -> RowStanding:
    name, id_, digest, state, outcome, rejected, row_class, replay, run, response_id, error = row
    return RowStanding(
        name,
        id_,
        digest,
        state_of(state),
        outcome_of(outcome),
        rejected,
        row_class,
        replay,
        run_of(run),
        response_id,
        error_code_of(error),
        attempts,
        answered,
    )
