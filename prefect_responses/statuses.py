"""Two vocabularies that never mix: what the API said of a response, and what our ledger did.

The tables here are the only place where a move is declared legal. The ledger derives its CHECK
constraints, partial indexes and conditional updates from them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from prefect_responses.errors import IllegalMove

if TYPE_CHECKING:
    from collections.abc import Mapping


class ResponseStatus(StrEnum):
    """Name the status that the API reports for a response (API reference, Response object)."""

    #: Accepted, nobody works on it yet.
    QUEUED = "queued"
    #: The model is at work.
    IN_PROGRESS = "in_progress"
    #: Finished with its full output.
    COMPLETED = "completed"
    #: Finished without a usable output; `error` says why.
    FAILED = "failed"
    #: Cut short; `incomplete_details.reason` says why. Terminal, with HTTP 200.
    INCOMPLETE = "incomplete"
    #: Stopped on request. Servers have been seen to turn it into completed later.
    CANCELLED = "cancelled"
    #: A word that no reference names; carried, never terminal.
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> ResponseStatus:
        del value
        return cls.UNKNOWN

    @property
    def is_terminal(self) -> bool:
        """Tell whether the response will not change any more (but see CANCELLED)."""
        return self in TERMINAL_STATUSES


TERMINAL_STATUSES = frozenset(
    {
        ResponseStatus.COMPLETED,
        ResponseStatus.FAILED,
        ResponseStatus.INCOMPLETE,
        ResponseStatus.CANCELLED,
    }
)


class AttemptState(StrEnum):
    """Name where one durable call of create stands in our ledger."""

    #: Written down; no byte has left for it, or the API is known not to have taken it.
    PLANNED = "planned"
    #: The intent is committed; a POST may be on the wire.
    SUBMITTING = "submitting"
    #: The API accepted it and its response ID is stored.
    SUBMITTED = "submitted"
    #: A POST may or may not have been accepted, and its sender cannot tell.
    IN_DOUBT = "in_doubt"
    #: An outcome is recorded.
    SETTLED = "settled"


class Outcome(StrEnum):
    """Name how a settled attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"
    #: The API answers 404 for an ID that it gave us: deleted, or past its retention.
    EXPIRED = "expired"
    #: Create was answered no.
    REFUSED = "refused"
    #: In doubt, and given up: another attempt may follow.
    ABANDONED = "abandoned"
    #: Accepted beside another accepted attempt of the same call; cancelled and named by the audit.
    SURPLUS = "surplus"


class CancelReason(StrEnum):
    """Name why a response is to be cancelled; the first reason is kept."""

    #: Its deadline passed.
    DEADLINE = "deadline"
    #: The flow run that it was made for was cancelled.
    FLOW_RUN_CANCELLED = "flow_run_cancelled"
    #: It was accepted beside another accepted attempt of the same call.
    SURPLUS = "surplus"
    #: Its request changed while it was on its way.
    SUPERSEDED = "superseded"
    #: Nobody is left who wants it.
    ORPHANED = "orphaned"
    #: A user asked for it.
    ASKED = "asked"


class CancelAnswer(StrEnum):
    """Name what the API said to a cancel. An answer of unknown meaning is none: it stays owed."""

    #: It took the cancel.
    TAKEN = "taken"
    #: It will not cancel this response, now or later.
    REFUSED = "refused"
    #: It has no such response (any more).
    GONE = "gone"


class PassEnd(StrEnum):
    """Name how a pass of a row job was closed."""

    #: All its rows were driven, and the results were written.
    DONE = "done"
    #: Another one was opened in its place, with another table or prompt.
    SUPERSEDED = "superseded"


#: Outcomes that hold an answer worth returning; no new attempt follows them unless asked for.
ANSWERED = frozenset({Outcome.COMPLETED, Outcome.INCOMPLETE})

OUTCOME_OF_STATUS: Mapping[ResponseStatus, Outcome] = {
    ResponseStatus.COMPLETED: Outcome.COMPLETED,
    ResponseStatus.FAILED: Outcome.FAILED,
    ResponseStatus.INCOMPLETE: Outcome.INCOMPLETE,
    ResponseStatus.CANCELLED: Outcome.CANCELLED,
}

#: The legal moves between states.
MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.PLANNED: frozenset(
        {
            AttemptState.SUBMITTING,
            AttemptState.SETTLED,  # its request changed before it was ever sent
        }
    ),
    AttemptState.SUBMITTING: frozenset(
        {
            AttemptState.PLANNED,  # not sent, or refused for now: the API took nothing
            AttemptState.SUBMITTED,
            AttemptState.IN_DOUBT,
            AttemptState.SETTLED,  # refused; accepted beside another attempt
        }
    ),
    AttemptState.IN_DOUBT: frozenset({AttemptState.SUBMITTED, AttemptState.SETTLED}),
    AttemptState.SUBMITTED: frozenset({AttemptState.SETTLED}),
    AttemptState.SETTLED: frozenset({AttemptState.SUBMITTED, AttemptState.SETTLED}),
}

#: From a settled attempt, only these outcomes may still move, and only to these:
#: a late answer to an abandoned attempt is kept; `cancelled` has been seen to turn `completed`, and
#: one that was cut short on the way is as good an answer.
LATE_MOVES: Mapping[Outcome, frozenset[AttemptState | Outcome]] = {
    Outcome.ABANDONED: frozenset({AttemptState.SUBMITTED, Outcome.SURPLUS}),
    Outcome.CANCELLED: frozenset({Outcome.COMPLETED, Outcome.INCOMPLETE}),
}

#: Outcomes that an attempt can be settled with, by the state that it is in.
SETTLEMENTS: Mapping[AttemptState, frozenset[Outcome]] = {
    AttemptState.PLANNED: frozenset({Outcome.ABANDONED}),
    AttemptState.SUBMITTING: frozenset({Outcome.REFUSED, Outcome.SURPLUS}),
    AttemptState.IN_DOUBT: frozenset({Outcome.ABANDONED, Outcome.SURPLUS, Outcome.REFUSED}),
    AttemptState.SUBMITTED: frozenset(
        {
            Outcome.COMPLETED,
            Outcome.FAILED,
            Outcome.INCOMPLETE,
            Outcome.CANCELLED,
            Outcome.EXPIRED,
            Outcome.SURPLUS,
        }
    ),
    AttemptState.SETTLED: frozenset({Outcome.SURPLUS, Outcome.COMPLETED, Outcome.INCOMPLETE}),
}


def may_settle(state: AttemptState, outcome: Outcome | None, to: Outcome) -> bool:
    """Tell whether an attempt in *state* (with *outcome*, if settled) may be settled as *to*."""
    if state is AttemptState.SETTLED:
        return outcome is not None and to in LATE_MOVES.get(outcome, frozenset())
    return to in SETTLEMENTS[state]


def check_move(state: AttemptState, to: AttemptState) -> None:
    """Refuse a move that the table does not list.

    Raises:
        IllegalMove: *state* has no way to *to*.
    """
    if to not in MOVES[state]:
        raise IllegalMove(f"An attempt that is {state} cannot become {to}.")
