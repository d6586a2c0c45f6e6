"""Which rows of a job one pass asks, and why: one pure function over what the ledger says of a row.

A pass pays for a row once. What it sent bears its run, so that a process which goes on with the
pass after a crash neither forces a row twice nor pays again for one that failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, assert_never

from prefect_responses.decisions.next_action import is_later_run
from prefect_responses.decisions.row_outcomes import (
    DEAD,
    REPLAY_RULES,
    ReplayRule,
    RowOutcome,
    outcome_unread,
)
from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Why an answer was rejected that a replay by class replaces; the class follows.
REPLAY_REASON = "replay:"
#: Why an answer was rejected that a forced pass replaces.
FORCE_REASON = "force"


class Select(StrEnum):
    """Say which rows a pass is about."""

    #: Rows that are new, changed, unfinished, or dead and due to be asked again.
    DUE = "due"
    #: Rows that ended without a usable answer, and no others.
    FAILED = "failed"
    #: Every row, finished or not.
    FORCE = "force"


class RowChoice(StrEnum):
    """Say what a pass does with one row."""

    #: Nothing was ever asked for it: ask.
    NEW = "new"
    #: It was written down and never sent: send it.
    RESUME = "resume"
    #: What is asked of it has changed since: ask anew.
    CHANGED = "changed"
    #: What is asked of it has changed back to what was answered before: take that answer.
    KNOWN = "known"
    #: An earlier run submitted it: wait for its end.
    ADOPT = "adopt"
    #: A POST was begun, and whether the API took it must be found out.
    DOUBT = "doubt"
    #: It has its answer.
    REUSE = "reuse"
    #: It ended without an answer: ask again.
    RETRY = "retry"
    #: It ended without a usable answer, and stays so.
    LEAVE = "leave"
    #: Its unusable answer is replaced, as its class wants it.
    REPLAY = "replay"
    #: It is asked again, whatever it has.
    FORCE = "force"
    #: This pass is not about it.
    NOT_SELECTED = "not_selected"


#: What a pass has to drive: the others cost nothing.
DRIVEN = frozenset(RowChoice) - {RowChoice.REUSE, RowChoice.LEAVE, RowChoice.NOT_SELECTED}
#: What a pass may pay for.
PAID = DRIVEN - {RowChoice.ADOPT, RowChoice.DOUBT, RowChoice.KNOWN}


class Standing(Protocol):
    """How a row stands in the ledger: what is known of the attempt that speaks for it."""

    @property
    def digest(self) -> str:
        """Return what was asked."""

    @property
    def state(self) -> AttemptState:
        """Return how far the attempt is."""

    @property
    def outcome(self) -> Outcome | None:
        """Return how it ended, if it did."""

    @property
    def rejected(self) -> str | None:
        """Return why its answer is not wanted, if it is not."""

    @property
    def row_class(self) -> str | None:
        """Return the row's outcome as it was stored, if it was."""

    @property
    def replay(self) -> str | None:
        """Return how it is asked otherwise than the row is, if it is a replay."""

    @property
    def run(self) -> tuple[int, ...]:
        """Return the run that planned it."""

    @property
    def attempts(self) -> int:
        """Return how many attempts at the same request have ended."""

    @property
    def answered(self) -> tuple[str, ...]:
        """Return the digests of other requests of the row that have an answer too."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Say which rows a pass is about.

    Args:
        select: see `Select`.
        replay: classes of dead rows that are asked again as their class wants it.
        adopts_changes: take what a row has for an answer, although its request changed since.
    """

    select: Select = Select.DUE
    replay: frozenset[RowOutcome] = frozenset()
    adopts_changes: bool = False


def choose(
    standing: Standing | None,
    digest: str,
    selection: Selection,
    run: tuple[int, ...],
    max_attempts: Mapping[RowOutcome, int],
) -> RowChoice:
    """Choose what a pass does with a row.

    Args:
        standing: how the row stands, or None if nothing was ever asked for it.
        digest: what would be asked now.
        selection: which rows the pass is about.
        run: the pass's run; attempts that it planned bear it.
        max_attempts: attempts at one request that may end without an answer, by class.
    """
    if standing is None:
        return _unless_failed(RowChoice.NEW, selection)
    if standing.digest != digest and not selection.adopts_changes:
        choice = RowChoice.KNOWN if digest in standing.answered else RowChoice.CHANGED
        return choice if _has_failed(standing) else _unless_failed(choice, selection)
    match standing.state:
        case AttemptState.PLANNED:
            begun = standing.run == run or _has_failed(standing)
            return RowChoice.RESUME if begun else _unless_failed(RowChoice.RESUME, selection)
        case AttemptState.SUBMITTED:
            return RowChoice.ADOPT
        case AttemptState.SUBMITTING | AttemptState.IN_DOUBT:
            return RowChoice.DOUBT
        case AttemptState.SETTLED:
            return _after_the_end(standing, selection, run, max_attempts)
        case _:
            assert_never(standing.state)


def row_class(standing: Standing) -> RowOutcome:
    """Return the row's outcome as it was stored, or as far as it shows without its body."""
    if standing.row_class is not None:
        return RowOutcome(standing.row_class)
    return outcome_unread(standing.state, standing.outcome)


def _has_failed(standing: Standing) -> bool:
    """Tell whether a row ended without a usable answer; what follows may be written down."""
    if standing.state is AttemptState.PLANNED:
        return standing.attempts > 0 or standing.replay is not None
    return row_class(standing) in DEAD


def _unless_failed(choice: RowChoice, selection: Selection) -> RowChoice:
    return RowChoice.NOT_SELECTED if selection.select is Select.FAILED else choice


def _after_the_end(
    standing: Standing,
    selection: Selection,
    run: tuple[int, ...],
    max_attempts: Mapping[RowOutcome, int],
) -> RowChoice:
    if standing.rejected is not None:
        return _of_rejected(standing.rejected)
    outcome = row_class(standing)
    is_own = standing.run == run
    if outcome in selection.replay and not is_own:
        return RowChoice.REPLAY
    if selection.select is Select.FORCE and not is_own:
        return RowChoice.FORCE
    if outcome is RowOutcome.OK:
        return _unless_failed(RowChoice.REUSE, selection)
    is_due = REPLAY_RULES[outcome] is ReplayRule.NEXT_RUN and is_later_run(run, standing.run)
    return RowChoice.RETRY if is_due and _has_tries(standing, max_attempts) else RowChoice.LEAVE


def _of_rejected(reason: str) -> RowChoice:
    if reason.startswith(REPLAY_REASON):
        return RowChoice.REPLAY
    return RowChoice.FORCE if reason == FORCE_REASON else RowChoice.RETRY


def _has_tries(standing: Standing, max_attempts: Mapping[RowOutcome, int]) -> bool:
    # Surplus attempts speak for a row only where no other does, and no driver goes on from one.
    is_surplus = standing.outcome is Outcome.SURPLUS
    return not is_surplus and standing.attempts < max_attempts[row_class(standing)]
