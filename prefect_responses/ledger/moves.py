"""Decide the verbs that move an attempt: claimed, accepted, in doubt, settled, delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_responses.attempt import Draft
from prefect_responses.errors import IllegalMove, OwnerLost
from prefect_responses.ledger import cancels
from prefect_responses.ledger.planning import abandon
from prefect_responses.ledger.verbs import (
    Claim,
    Classify,
    Deliver,
    MarkInDoubt,
    Observe,
    RecordAccepted,
    Reject,
    Release,
    ResolveDoubt,
    Settle,
    Verdict,
)
from prefect_responses.statuses import (
    ANSWERED,
    LATE_MOVES,
    AttemptState,
    CancelReason,
    Outcome,
    check_move,
    may_settle,
)

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.ledger.picture import Picture


def claim(picture: Picture, verb: Claim) -> Verdict:
    """Win the right to submit, or learn which attempt speaks for the call instead.

    Raises:
        OwnerLost: others may take this process for dead, so it may not submit.
        AccountFull: the charge would exceed a limit; the attempt stays planned.
    """
    owner = picture.owner
    if not owner.holds_lease():
        raise OwnerLost
    attempt = picture.attempt(verb.attempt_id)
    if _is_ours(picture, attempt) and attempt.client_request_id == verb.client_request_id:
        return Verdict(attempt, moved=True)
    speaker = picture.speaker(attempt)
    if speaker.id != attempt.id or attempt.state is not AttemptState.PLANNED:
        return Verdict(speaker, moved=False)
    facts = {
        "state": AttemptState.SUBMITTING,
        "owner_id": owner.id,
        "fence": attempt.fence + 1,
        "client_request_id": verb.client_request_id,
        "submitting_at": verb.at,
    }
    if verb.charge is not None:
        picture.accounts.check(verb.charge)
    if verb.charge != attempt.charge:
        facts["charge"] = verb.charge
    return Verdict(picture.change(attempt, **facts), moved=True)


def _is_ours(picture: Picture, attempt: Attempt) -> bool:
    return attempt.state is AttemptState.SUBMITTING and attempt.owner_id == picture.owner.id


def record_accepted(picture: Picture, verb: RecordAccepted) -> Verdict:
    """Store an accepted ID where it belongs; no case loses it."""
    attempt = picture.attempt(verb.attempt_id)
    facts = {
        "response_id": verb.response_id,
        "remote_status": verb.remote_status,
        "server_request_id": verb.server_request_id,
        "expires_at": verb.expires_at,
        "submitted_at": verb.at,
    }
    if verb.streamed is not None:
        facts["streamed"] = verb.streamed
    return _accept(picture, attempt, facts, verb.at)


def _accept(picture: Picture, attempt: Attempt, facts: dict[str, Any], at: float) -> Verdict:
    known = _carrier(picture, attempt, facts["response_id"])
    if known is not None:
        return Verdict(known, moved=False)
    facts["submitting_at"] = attempt.submitting_at or at
    if not _can_accept(attempt):
        return Verdict(_surplus_beside(picture, attempt, facts, at), moved=True)
    if picture.rival(attempt):
        facts |= _surplus(at) | cancels.wanted(attempt, CancelReason.SURPLUS, at)
    else:
        facts |= {"state": AttemptState.SUBMITTED, "outcome": None, "settled_at": None}
        if facts.get("streamed"):
            picture.begin_stream(attempt)
    return Verdict(picture.change(attempt, **facts), moved=True)


def _surplus(at: float) -> dict[str, Any]:
    return {"state": AttemptState.SETTLED, "outcome": Outcome.SURPLUS, "settled_at": at}


def _carrier(picture: Picture, attempt: Attempt, response_id: str) -> Attempt | None:
    siblings = picture.siblings(attempt.scope, attempt.name, attempt.ordinal)
    return next((sibling for sibling in siblings if sibling.response_id == response_id), None)


def _can_accept(attempt: Attempt) -> bool:
    # A planned one too: its sender may have been told "not sent" wrongly, and gave it back.
    if attempt.outcome is not None:
        return AttemptState.SUBMITTED in LATE_MOVES.get(attempt.outcome, ())
    return attempt.response_id is None


def _surplus_beside(
    picture: Picture, attempt: Attempt, facts: dict[str, Any], at: float
) -> Attempt:
    """Add a surplus attempt that carries an ID which *attempt* has no room for."""
    draft = Draft(
        scope=attempt.scope,
        name=attempt.name,
        digest=attempt.digest,
        endpoint=attempt.endpoint,
        credentials=attempt.credentials,
        request=b"",
        run=attempt.run,
        flow_run_id=attempt.flow_run_id,
        task_run_id=attempt.task_run_id,
        model=attempt.model,
    )
    if attempt.charge is not None:
        facts["charge"] = attempt.charge  # it will be paid too
    facts |= _surplus(at) | {"cancel_reason": CancelReason.SURPLUS, "cancel_wanted_at": at}
    return picture.plan(draft, attempt.ordinal, at, **facts)


def release(picture: Picture, verb: Release) -> Verdict:
    """Give an attempt back that this process claimed, or up if its cancel was wanted meanwhile."""
    attempt = picture.attempt(verb.attempt_id)
    if not _is_ours(picture, attempt) or attempt.fence != verb.fence:
        return Verdict(attempt, moved=False)
    if attempt.cancel_wanted_at is not None:
        return Verdict(cancels.give_up(picture, attempt, verb.at), moved=True)
    check_move(attempt.state, AttemptState.PLANNED)
    released = picture.change(
        attempt,
        state=AttemptState.PLANNED,
        owner_id=None,
        submitting_at=None,
        not_before=verb.not_before,
        error=verb.error,
    )
    return Verdict(released, moved=True)


def mark_in_doubt(picture: Picture, verb: MarkInDoubt) -> Verdict:
    """Doubt an attempt that is still being submitted by the owner and claim named."""
    attempt = picture.attempt(verb.attempt_id)
    named = (AttemptState.SUBMITTING, verb.owner_id, verb.fence)
    if (attempt.state, attempt.owner_id, attempt.fence) != named:
        return Verdict(attempt, moved=False)
    check_move(attempt.state, AttemptState.IN_DOUBT)
    doubted = picture.change(attempt, state=AttemptState.IN_DOUBT, error=verb.error)
    return Verdict(doubted, moved=True)


def resolve_doubt(picture: Picture, verb: ResolveDoubt) -> Verdict:
    """End a doubt by evidence."""
    attempt = picture.attempt(verb.attempt_id)
    if attempt.state is not AttemptState.IN_DOUBT:
        return Verdict(attempt, moved=False)
    if verb.response_id is None:
        return Verdict(abandon(picture, attempt, verb.at), moved=True)
    facts = {"response_id": verb.response_id, "submitted_at": verb.at}
    return _accept(picture, attempt, facts, verb.at)


def settle(picture: Picture, verb: Settle) -> Verdict:
    """Record an outcome.

    Raises:
        IllegalMove: an attempt in this state cannot end like this.
    """
    attempt = picture.attempt(verb.attempt_id)
    if attempt.outcome is verb.outcome or _is_of_another(picture, attempt, verb.fence):
        return Verdict(attempt, moved=False)
    if not may_settle(attempt.state, attempt.outcome, verb.outcome):
        was = attempt.outcome or attempt.state
        raise IllegalMove(f"Attempt {attempt.id} is {was}; it cannot be settled {verb.outcome}.")
    if verb.response is not None:
        picture.keep_response(attempt, verb.response)
    if verb.outcome in ANSWERED and attempt.streamed is not None:
        picture.end_stream(attempt)
    facts = _settlement(attempt, verb)
    return Verdict(picture.change(attempt, **facts), moved=True)


def _is_of_another(picture: Picture, attempt: Attempt, fence: int | None) -> bool:
    if attempt.state is not AttemptState.SUBMITTING:
        return False
    return not _is_ours(picture, attempt) or fence not in {None, attempt.fence}


def _settlement(attempt: Attempt, verb: Settle) -> dict[str, Any]:
    return {
        "state": AttemptState.SETTLED,
        "outcome": verb.outcome,
        "settled_at": verb.at,
        "remote_status": verb.remote_status or attempt.remote_status,
        "usage": verb.usage,
        "error": verb.error,
        "polls": max(verb.polls, attempt.polls),
        "latency": attempt.latency if verb.latency is None else verb.latency,
    }


def observe(picture: Picture, verb: Observe) -> Verdict:
    """Record a status that is news; a poll that saw nothing new is not written."""
    attempt = picture.attempt(verb.attempt_id)
    if attempt.remote_status is verb.remote_status:
        return Verdict(attempt, moved=False)
    polls = max(verb.polls, attempt.polls)
    observed = picture.change(attempt, remote_status=verb.remote_status, polls=polls)
    return Verdict(observed, moved=True)


def deliver(picture: Picture, verb: Deliver) -> Verdict:
    """Note the first delivery; what a deadline comes to is delivered when it has come to it."""
    attempt = picture.attempt(verb.attempt_id)
    is_ending = attempt.cancel_reason is CancelReason.DEADLINE and not attempt.is_settled
    if attempt.delivered_at is not None or (is_ending and not verb.timeout):
        return Verdict(attempt, moved=False)
    return Verdict(picture.change(attempt, delivered_at=verb.at), moved=True)


def reject(picture: Picture, verb: Reject) -> Verdict:
    """Turn a settled answer down for good; the first reason stays.

    Raises:
        IllegalMove: nothing is settled that could be rejected.
    """
    attempt = picture.attempt(verb.attempt_id)
    if not attempt.is_settled:
        raise IllegalMove(f"Attempt {attempt.id} is {attempt.state}; only a settled one is judged.")
    if attempt.rejected is not None:
        return Verdict(attempt, moved=False)
    return Verdict(picture.change(attempt, rejected=verb.reason), moved=True)


def classify(picture: Picture, verb: Classify) -> Verdict:
    """Note what came of a settled row; one that moved on meanwhile has no class yet."""
    attempt = picture.attempt(verb.attempt_id)
    if not attempt.is_settled or attempt.row_class == verb.row_class:
        return Verdict(attempt, moved=False)
    return Verdict(picture.change(attempt, row_class=verb.row_class), moved=True)
