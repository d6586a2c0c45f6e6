"""Decide the verbs about endings that are asked for: deadlines, cancels, and attempts of nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_responses.ledger.planning import abandon, earlier
from prefect_responses.ledger.verbs import (
    MarkOrphaned,
    MarkWarned,
    RecordCancel,
    SetDeadline,
    Verdict,
    WantCancel,
)
from prefect_responses.statuses import AttemptState, CancelReason

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.ledger.picture import Picture


def want_cancel(picture: Picture, verb: WantCancel) -> Verdict:
    """Write down that a cancel is wanted; what was never sent is given up instead."""
    attempt = picture.attempt(verb.attempt_id)
    is_planned = attempt.state is AttemptState.PLANNED
    # A planned one whose cancel is wanted already was given back by code that knows no cancels.
    if attempt.is_settled:
        return Verdict(attempt, moved=False)
    facts = wanted(attempt, verb.reason, verb.at) | _of_run(attempt, verb)
    if not facts and not is_planned:
        return Verdict(attempt, moved=False)
    wanting = picture.change(attempt, **facts)
    return Verdict(give_up(picture, wanting, verb.at) if is_planned else wanting, moved=True)


def wanted(attempt: Attempt, reason: CancelReason, at: float) -> dict[str, Any]:
    """Return the facts of a wanted cancel; the first reason and its time stay.

    A deadline asks once more where an earlier cancel was answered and the response went on.
    """
    facts: dict[str, Any] = {"cancel_reason": reason, "cancel_wanted_at": at}
    if reason is CancelReason.DEADLINE:
        facts["delivered_at"] = None  # that it was submitted was told, what its deadline did is not
    if attempt.cancel_wanted_at is None:
        return facts
    is_deadline = reason is CancelReason.DEADLINE is not attempt.cancel_reason
    if attempt.cancel_answer is None or not is_deadline:
        return {}
    return facts | dict.fromkeys(("cancel_answer", "cancel_answered_at", "watch_until"))


def _of_run(attempt: Attempt, verb: WantCancel) -> dict[str, Any]:
    """Return the run that a deadline counts for, if it is another than the one that is known."""
    reason = attempt.cancel_reason or verb.reason
    is_new = verb.run is not None and verb.run != attempt.run
    return {"run": verb.run} if is_new and reason is CancelReason.DEADLINE else {}


def give_up(picture: Picture, attempt: Attempt, at: float) -> Attempt:
    """Abandon an attempt that the API did not take and whose cancel is wanted."""
    sentence = f"It was not sent, because its cancel was wanted: {attempt.cancel_reason}."
    error = {"error": "CancelWanted", "message": sentence}
    return abandon(picture, attempt, at, owner_id=None, submitting_at=None, error=error)


def record_cancel(picture: Picture, verb: RecordCancel) -> Verdict:
    """Store the answer to a cancel that is wanted and has none."""
    attempt = picture.attempt(verb.attempt_id)
    if attempt.cancel_wanted_at is None or attempt.cancel_answer is not None:
        return Verdict(attempt, moved=False)
    answered = picture.change(
        attempt,
        cancel_answer=verb.answer,
        cancel_answered_at=verb.at,
        watch_until=verb.watch_until,
    )
    return Verdict(answered, moved=True)


def set_deadline(picture: Picture, verb: SetDeadline) -> Verdict:
    """Bring the deadline of an unsettled attempt forward."""
    attempt = picture.attempt(verb.attempt_id)
    deadline = earlier(attempt.deadline_at, verb.deadline_at)
    if attempt.is_settled or deadline == attempt.deadline_at:
        return Verdict(attempt, moved=False)
    return Verdict(picture.change(attempt, deadline_at=deadline), moved=True)


def mark_orphaned(picture: Picture, verb: MarkOrphaned) -> Verdict:
    """Note the first report of an attempt as nobody's."""
    attempt = picture.attempt(verb.attempt_id)
    if attempt.orphaned_at is not None:
        return Verdict(attempt, moved=False)
    return Verdict(picture.change(attempt, orphaned_at=verb.at), moved=True)


def mark_warned(picture: Picture, verb: MarkWarned) -> Verdict:
    """Note the first warning that an attempt expires unread."""
    attempt = picture.attempt(verb.attempt_id)
    if attempt.warned_at is not None:
        return Verdict(attempt, moved=False)
    return Verdict(picture.change(attempt, warned_at=verb.at), moved=True)
