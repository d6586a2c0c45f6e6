"""Decide the verbs about following the events of a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_responses.ledger.verbs import BeginFollowing, RecordProgress, StopFollowing, Verdict
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from prefect_responses.ledger.picture import Picture


def record_progress(picture: Picture, verb: RecordProgress) -> Verdict:
    """Note progress; whether it is beyond what is stored is judged where it is stored."""
    attempt = picture.attempt(verb.attempt_id)
    is_submitted = attempt.state is AttemptState.SUBMITTED
    # One that nobody follows has no place for it, but may have one later in the same group.
    if is_submitted and attempt.streamed is not None:
        picture.note_progress(verb)
    return Verdict(attempt, moved=is_submitted)


def begin_following(picture: Picture, verb: BeginFollowing) -> Verdict:
    """Make room for the progress of an attempt that nobody tried to follow."""
    attempt = picture.attempt(verb.attempt_id)
    if attempt.state is not AttemptState.SUBMITTED or attempt.streamed is not None:
        return Verdict(attempt, moved=False)
    picture.begin_stream(attempt)
    return Verdict(picture.change(attempt, streamed=True), moved=True)


def stop_following(picture: Picture, verb: StopFollowing) -> Verdict:
    """Give up following an attempt for good."""
    attempt = picture.attempt(verb.attempt_id)
    if attempt.state is not AttemptState.SUBMITTED or attempt.streamed is False:
        return Verdict(attempt, moved=False)
    return Verdict(picture.change(attempt, streamed=False), moved=True)
