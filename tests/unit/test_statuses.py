from __future__ import annotations

from itertools import product

import pytest

from prefect_responses.errors import IllegalMove
from prefect_responses.statuses import (
    ANSWERED,
    LATE_MOVES,
    MOVES,
    OUTCOME_OF_STATUS,
    SETTLEMENTS,
    TERMINAL_STATUSES,
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
    ResponseStatus,
    check_move,
    may_settle,
)

PLANNED, SUBMITTING, SUBMITTED = (
    AttemptState.PLANNED,
    AttemptState.SUBMITTING,
    AttemptState.SUBMITTED,
)
IN_DOUBT, SETTLED = AttemptState.IN_DOUBT, AttemptState.SETTLED

#: The whole table, written once more: a move that is added here is added on purpose.
LEGAL = {
    (PLANNED, SUBMITTING),
    (PLANNED, SETTLED),
    (SUBMITTING, PLANNED),
    (SUBMITTING, SUBMITTED),
    (SUBMITTING, IN_DOUBT),
    (SUBMITTING, SETTLED),
    (IN_DOUBT, SUBMITTED),
    (IN_DOUBT, SETTLED),
    (SUBMITTED, SETTLED),
    (SETTLED, SUBMITTED),
    (SETTLED, SETTLED),
}

C, F, I, X, E, R, A, S = (  # noqa: E741 - as in the table
    Outcome.COMPLETED,
    Outcome.FAILED,
    Outcome.INCOMPLETE,
    Outcome.CANCELLED,
    Outcome.EXPIRED,
    Outcome.REFUSED,
    Outcome.ABANDONED,
    Outcome.SURPLUS,
)
LEGAL_SETTLEMENTS = {
    (PLANNED, None): {A},
    (SUBMITTING, None): {R, S},
    (IN_DOUBT, None): {A, S, R},
    (SUBMITTED, None): {C, F, I, X, E, S},
    (SETTLED, A): {S},
    (SETTLED, X): {C, I},
}


@pytest.mark.parametrize(("state", "to"), list(product(AttemptState, AttemptState)))
def test_each_move_between_states(state, to):
    if (state, to) in LEGAL:
        check_move(state, to)
        return
    with pytest.raises(IllegalMove, match=f"{state} cannot become {to}"):
        check_move(state, to)


@pytest.mark.parametrize(
    ("state", "outcome", "to"),
    [
        *((s, None, to) for s in AttemptState for to in Outcome),
        *((SETTLED, o, to) for o in Outcome for to in Outcome),
    ],
)
def test_each_settlement(state, outcome, to):
    assert may_settle(state, outcome, to) == (to in LEGAL_SETTLEMENTS.get((state, outcome), ()))


def test_no_table_forgets_a_state():
    assert set(MOVES) == set(AttemptState)
    assert set(SETTLEMENTS) == set(AttemptState)


def test_what_can_be_settled_can_move_to_settled():
    for state, outcomes in SETTLEMENTS.items():
        assert bool(outcomes) == (SETTLED in MOVES[state])


def test_every_outcome_can_be_reached():
    assert set().union(*SETTLEMENTS.values()) == set(Outcome)


def test_late_moves():
    assert {A: {SUBMITTED, S}, X: {C, I}} == LATE_MOVES
    late = {to for targets in LATE_MOVES.values() for to in targets}
    assert {to for to in late if isinstance(to, Outcome)} == SETTLEMENTS[SETTLED]
    assert {to for to in late if isinstance(to, AttemptState)} | {SETTLED} == MOVES[SETTLED]


def test_a_settled_attempt_with_an_answer_never_moves():
    assert not [to for answered in ANSWERED for to in Outcome if may_settle(SETTLED, answered, to)]


@pytest.mark.parametrize("status", list(ResponseStatus))
def test_terminal_statuses_are_those_with_an_outcome(status):
    assert status.is_terminal == (status in OUTCOME_OF_STATUS)
    assert status.is_terminal == (status in TERMINAL_STATUSES)


def test_each_terminal_status_can_be_settled_as_its_outcome():
    for outcome in OUTCOME_OF_STATUS.values():
        assert may_settle(SUBMITTED, None, outcome)


@pytest.mark.parametrize("word", ["", "thinking", "COMPLETED", None, 7, "unknown"])
def test_a_word_that_no_reference_names_is_carried_and_not_terminal(word):
    status = ResponseStatus(word)

    assert status is ResponseStatus.UNKNOWN
    assert not status.is_terminal


@pytest.mark.parametrize("enum", [AttemptState, Outcome, CancelReason, CancelAnswer])
def test_our_own_words_are_not_guessed(enum):
    with pytest.raises(ValueError, match="thinking"):
        enum("thinking")


def test_words_that_are_stored():
    assert [s.value for s in AttemptState] == [
        "planned",
        "submitting",
        "submitted",
        "in_doubt",
        "settled",
    ]
    assert [o.value for o in Outcome] == [
        "completed",
        "failed",
        "incomplete",
        "cancelled",
        "expired",
        "refused",
        "abandoned",
        "surplus",
    ]
    assert [r.value for r in CancelReason] == [
        "deadline",
        "flow_run_cancelled",
        "surplus",
        "superseded",
        "orphaned",
        "asked",
    ]
    assert [a.value for a in CancelAnswer] == ["taken", "refused", "gone"]
