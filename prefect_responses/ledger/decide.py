"""Send each verb to the function that decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from prefect_responses.ledger import cancels, moves, planning, streams
from prefect_responses.ledger.verbs import (
    Attach,
    BeginFollowing,
    Claim,
    Classify,
    Deliver,
    DropClaim,
    MarkInDoubt,
    MarkOrphaned,
    MarkWarned,
    Observe,
    Plan,
    PlanNext,
    RecordAccepted,
    RecordCancel,
    RecordProgress,
    Reject,
    Release,
    ResolveDoubt,
    Resubmit,
    SetDeadline,
    Settle,
    StopFollowing,
    Take,
    WantCancel,
)

if TYPE_CHECKING:
    from prefect_responses.ledger.picture import Picture
    from prefect_responses.ledger.verbs import Verb, Verdict


def decide(picture: Picture, verb: Verb) -> Verdict:  # noqa: C901, PLR0911, PLR0912 - a table
    """Decide *verb* and note its changes in *picture*; one that raises has changed nothing."""
    match verb:
        case Settle():
            return moves.settle(picture, verb)
        case RecordAccepted():
            return moves.record_accepted(picture, verb)
        case Claim():
            return moves.claim(picture, verb)
        case Deliver():
            return moves.deliver(picture, verb)
        case Observe():
            return moves.observe(picture, verb)
        case Plan():
            return planning.plan(picture, verb)
        case RecordProgress():
            return streams.record_progress(picture, verb)
        case Take():
            return planning.take(picture, verb)
        case PlanNext():
            return planning.plan_next(picture, verb)
        case Resubmit():
            return planning.resubmit(picture, verb)
        case Attach():
            return planning.attach(picture, verb)
        case DropClaim():
            return planning.drop_claim(picture, verb)
        case Release():
            return moves.release(picture, verb)
        case MarkInDoubt():
            return moves.mark_in_doubt(picture, verb)
        case ResolveDoubt():
            return moves.resolve_doubt(picture, verb)
        case Reject():
            return moves.reject(picture, verb)
        case Classify():
            return moves.classify(picture, verb)
        case BeginFollowing():
            return streams.begin_following(picture, verb)
        case StopFollowing():
            return streams.stop_following(picture, verb)
        case SetDeadline():
            return cancels.set_deadline(picture, verb)
        case WantCancel():
            return cancels.want_cancel(picture, verb)
        case RecordCancel():
            return cancels.record_cancel(picture, verb)
        case MarkOrphaned():
            return cancels.mark_orphaned(picture, verb)
        case MarkWarned():
            return cancels.mark_warned(picture, verb)
        case _:
            assert_never(verb)
