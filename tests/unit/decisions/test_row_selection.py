"""What a pass does with a row, as a table of all that a row can be."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from prefect_responses.decisions.row_outcomes import (
    DEAD,
    REPLAY_RULES,
    REPLAYABLE,
    ReplayRule,
    RowOutcome,
    outcome_unread,
)
from prefect_responses.decisions.row_selection import (
    DRIVEN,
    FORCE_REASON,
    PAID,
    REPLAY_REASON,
    RowChoice,
    Select,
    Selection,
    choose,
    row_class,
)
from prefect_responses.statuses import AttemptState, Outcome

EARLIER, OURS = (1000, 1), (2000, 2)
MAX_ATTEMPTS = dict.fromkeys(DEAD, 3)


@dataclass(frozen=True)
class Row:
    """A row as the ledger has it: answered by an earlier pass unless it is said otherwise."""

    digest: str = "d1"
    state: AttemptState = AttemptState.SETTLED
    outcome: Outcome | None = Outcome.COMPLETED
    rejected: str | None = None
    row_class: str | None = None
    replay: str | None = None
    run: tuple[int, ...] = EARLIER
    attempts: int = field(default=1)
    answered: tuple[str, ...] = ()


def unsettled(state: AttemptState, **facts) -> Row:
    return Row(state=state, outcome=None, attempts=0, **facts)


def dead(outcome: Outcome, row_class: str | None = None, **facts) -> Row:
    return Row(outcome=outcome, row_class=row_class, **facts)


NEW, CHANGED, ADOPT = RowChoice.NEW, RowChoice.CHANGED, RowChoice.ADOPT
DOUBT, REUSE, RETRY = RowChoice.DOUBT, RowChoice.REUSE, RowChoice.RETRY
LEAVE, REPLAY, FORCE = RowChoice.LEAVE, RowChoice.REPLAY, RowChoice.FORCE
RESUME, NOT_SELECTED = RowChoice.RESUME, RowChoice.NOT_SELECTED

FAILED, SCHEMA = Outcome.FAILED, dead(Outcome.COMPLETED, "schema")

#: How a row stands, and what becomes of it when due, failed or all rows are asked.
ROWS = {
    "never asked": (None, NEW, NOT_SELECTED, NEW),
    "answered": (Row(), REUSE, NOT_SELECTED, FORCE),
    "answered and read": (Row(row_class="ok"), REUSE, NOT_SELECTED, FORCE),
    "answered by this pass": (Row(run=OURS), REUSE, NOT_SELECTED, REUSE),
    "answered, changed since": (Row(digest="d0"), CHANGED, NOT_SELECTED, CHANGED),
    "answered, changed and back": (
        Row(digest="d0", answered=("d1",)),
        *(RowChoice.KNOWN, NOT_SELECTED, RowChoice.KNOWN),
    ),
    "failed, changed since": (dead(FAILED, digest="d0"), CHANGED, CHANGED, CHANGED),
    "never sent": (unsettled(AttemptState.PLANNED), RESUME, NOT_SELECTED, RESUME),
    "written down by this pass": (
        unsettled(AttemptState.PLANNED, run=OURS),
        RESUME,
        RESUME,
        RESUME,
    ),
    "failed, and written down again": (
        Row(state=AttemptState.PLANNED, outcome=None),
        *(RESUME, RESUME, RESUME),
    ),
    "failed, written down again, and changed": (
        Row(state=AttemptState.PLANNED, outcome=None, digest="d0"),
        *(CHANGED, CHANGED, CHANGED),
    ),
    "a replay that was never sent": (
        unsettled(AttemptState.PLANNED, replay="again"),
        *(RESUME, RESUME, RESUME),
    ),
    "being sent": (unsettled(AttemptState.SUBMITTING), DOUBT, DOUBT, DOUBT),
    "in doubt": (unsettled(AttemptState.IN_DOUBT), DOUBT, DOUBT, DOUBT),
    "in flight": (unsettled(AttemptState.SUBMITTED), ADOPT, ADOPT, ADOPT),
    "in flight, changed": (
        unsettled(AttemptState.SUBMITTED, digest="d0"),
        *(CHANGED, NOT_SELECTED, CHANGED),
    ),
    "failed": (dead(FAILED), RETRY, RETRY, FORCE),
    "failed in this pass": (dead(FAILED, run=OURS), LEAVE, LEAVE, LEAVE),
    "failed in a later pass": (dead(FAILED, run=(3000, 3)), LEAVE, LEAVE, FORCE),
    "failed, nobody knows in which pass": (dead(FAILED, run=()), LEAVE, LEAVE, FORCE),
    "failed often enough": (dead(FAILED, attempts=3), LEAVE, LEAVE, FORCE),
    "refused": (dead(Outcome.REFUSED), RETRY, RETRY, FORCE),
    "expired": (dead(Outcome.EXPIRED), RETRY, RETRY, FORCE),
    "cancelled": (dead(Outcome.CANCELLED), RETRY, RETRY, FORCE),
    "abandoned": (dead(Outcome.ABANDONED, attempts=0), RETRY, RETRY, FORCE),
    "surplus": (dead(Outcome.SURPLUS, attempts=0), LEAVE, LEAVE, FORCE),
    "of another shape": (SCHEMA, LEAVE, LEAVE, FORCE),
    "cut short": (dead(Outcome.INCOMPLETE), LEAVE, LEAVE, FORCE),
    "rejected by its user": (Row(rejected="wrong"), RETRY, RETRY, RETRY),
    "rejected by a forced pass": (Row(rejected=FORCE_REASON), FORCE, FORCE, FORCE),
    "marked for a replay": (Row(rejected=f"{REPLAY_REASON}schema"), REPLAY, REPLAY, REPLAY),
    "failed, marked for a replay": (
        dead(FAILED, attempts=9, rejected=f"{REPLAY_REASON}failed"),
        *(REPLAY, REPLAY, REPLAY),
    ),
}


@pytest.mark.parametrize(("row", "due", "failed", "force"), ROWS.values(), ids=ROWS)
def test_what_becomes_of_a_row(row, due, failed, force):
    chosen = [choose(row, "d1", Selection(each), OURS, MAX_ATTEMPTS) for each in Select]

    assert chosen == [due, failed, force]


REPLAYS = {
    "of its class": (SCHEMA, {"schema"}, REPLAY),
    "of another class": (SCHEMA, {"refusal"}, LEAVE),
    "that failed, although it is often enough": (dead(FAILED, attempts=9), {"failed"}, REPLAY),
    "replayed by this pass": (dead(Outcome.COMPLETED, "schema", run=OURS), {"schema"}, LEAVE),
    "with an answer": (Row(), {"schema"}, REUSE),
}


@pytest.mark.parametrize(("row", "classes", "expected"), REPLAYS.values(), ids=REPLAYS)
def test_a_replay_of_classes(row, classes, expected):
    selection = Selection(replay=frozenset(RowOutcome(name) for name in classes))

    assert choose(row, "d1", selection, OURS, MAX_ATTEMPTS) is expected


ADOPTED = {
    "an answer": (Row(digest="d0"), REUSE),
    "in flight": (unsettled(AttemptState.SUBMITTED, digest="d0"), ADOPT),
    "failed": (dead(FAILED, digest="d0"), RETRY),
}


@pytest.mark.parametrize(("row", "expected"), ADOPTED.values(), ids=ADOPTED)
def test_a_change_that_is_adopted_is_none(row, expected):
    selection = Selection(adopts_changes=True)

    assert choose(row, "d1", selection, OURS, MAX_ATTEMPTS) is expected


def test_attempts_are_counted_by_class():
    rules = {**MAX_ATTEMPTS, RowOutcome.FAILED: 1, RowOutcome.EXPIRED: 2}
    rows = [dead(FAILED), dead(Outcome.EXPIRED), dead(Outcome.REFUSED)]

    assert [choose(row, "d1", Selection(), OURS, rules) for row in rows] == [LEAVE, RETRY, RETRY]


def test_what_is_paid_for_is_driven():
    assert PAID < DRIVEN
    assert {ADOPT, DOUBT, RowChoice.KNOWN} == DRIVEN - PAID


# --- classes --------------------------------------------------------------------------------------


def test_a_stored_class_says_more_than_an_outcome():
    assert row_class(SCHEMA) is RowOutcome.SCHEMA
    assert row_class(Row()) is RowOutcome.OK


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_class(outcome):
    found = outcome_unread(AttemptState.SETTLED, outcome)

    assert (found is RowOutcome.OK) is (outcome is Outcome.COMPLETED)
    assert found is RowOutcome.OK or found in DEAD


@pytest.mark.parametrize("state", [state for state in AttemptState if state.value != "settled"])
def test_what_has_no_outcome_is_not_dead(state):
    assert outcome_unread(state, None) not in {*DEAD, RowOutcome.OK}


def test_what_is_not_sent_for_want_of_money_or_of_a_person_goes_on_with_the_next_run():
    assert REPLAY_RULES[RowOutcome.BUDGET] is REPLAY_RULES[RowOutcome.PARKED] is ReplayRule.RESUMES
    assert REPLAYABLE < DEAD
