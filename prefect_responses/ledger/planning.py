"""Decide the verbs that add attempts: which row a call takes, and when another one follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.next_action import is_later_run
from prefect_responses.decisions.ordinals import choose_ordinal, speaking_attempt
from prefect_responses.errors import AttemptUnknown
from prefect_responses.ledger.verbs import (
    Attach,
    DropClaim,
    Plan,
    PlanNext,
    Resubmit,
    Take,
    Verdict,
)
from prefect_responses.statuses import AttemptState, CancelReason, Outcome, check_move

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt, Draft
    from prefect_responses.ledger.picture import Picture


def take(picture: Picture, verb: Take) -> Verdict:
    """Take the ordinal that this call is entitled to; given again, find the same one."""
    draft = verb.draft
    earlier = picture.claim(verb.claim_id)
    if earlier is not None:
        siblings = picture.siblings(earlier["scope"], earlier["name"], earlier["ordinal"])
        return Verdict(speaking_attempt(siblings), moved=False)
    ordinal = draft.ordinal
    if ordinal is None:
        name = (draft.scope, draft.name)
        claims = picture.claims_of(name, verb.execution)
        ordinal = choose_ordinal(picture.delivered(name), claims, verb.chain)
    picture.take(verb, ordinal)
    return _first(picture, draft, ordinal, verb.at)


def plan(picture: Picture, verb: Plan) -> Verdict:
    """Plan the first attempt of an ordinal, unless it has one.

    One that is under way becomes the asking run's: how it ends is that run's outcome, which pays
    for no other, also after a crash.
    """
    return _first(picture, verb.draft, verb.draft.ordinal or 0, verb.at, adopts=True)


def _first(
    picture: Picture, draft: Draft, ordinal: int, at: float, *, adopts: bool = False
) -> Verdict:
    siblings = picture.siblings(draft.scope, draft.name, ordinal)
    if siblings:
        speaker = speaking_attempt(siblings)
        return Verdict(_wanted_again(picture, speaker, draft, adopts=adopts), moved=False)
    return Verdict(picture.plan(draft, ordinal, at), moved=True)


def _wanted_again(picture: Picture, attempt: Attempt, draft: Draft, *, adopts: bool) -> Attempt:
    """Make an unsettled attempt the one of the run that wants the same request now."""
    if attempt.is_settled or attempt.digest != draft.digest:
        return attempt
    facts: dict[str, Any] = {"deadline_at": earlier(attempt.deadline_at, draft.deadline_at)}
    if draft.flow_run_id is not None or draft.task_run_id is not None:
        facts |= {"flow_run_id": draft.flow_run_id, "task_run_id": draft.task_run_id}
    if _becomes_its_own(attempt, adopts=adopts) and not is_later_run(attempt.run, draft.run):
        facts["run"] = draft.run
    if all(getattr(attempt, name) == value for name, value in facts.items()):
        return attempt
    return picture.change(attempt, **facts)


def _becomes_its_own(attempt: Attempt, *, adopts: bool) -> bool:
    """Tell whether how *attempt* ends is the asking run's outcome, and no reason to pay again."""
    if attempt.state is AttemptState.PLANNED:
        return True  # it is this run that sends it
    if attempt.cancel_wanted_at is None:
        return adopts
    return attempt.cancel_reason is CancelReason.DEADLINE


def earlier(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two times, of which either may be missing."""
    return min((time for time in (one, other) if time is not None), default=None)


def plan_next(picture: Picture, verb: PlanNext) -> Verdict:
    """Plan the attempt that follows the one that speaks for its ordinal."""
    attempt = picture.attempt(verb.attempt_id)
    speaker = picture.speaker(attempt)
    superseded = verb.superseding and attempt.state is AttemptState.SUBMITTED
    if speaker.id != attempt.id or not (attempt.is_settled or superseded):
        return Verdict(speaker, moved=False)
    following = _following(picture, attempt, verb.draft, verb.at, replay=verb.replay)
    speaker = picture.speaker(following)
    if speaker.id not in {attempt.id, following.id} and speaker.is_answered:
        # The same was asked before, and answered. What is given up here lets that answer speak.
        abandon(picture, following, verb.at)
        return Verdict(speaker, moved=True)
    return Verdict(following, moved=True)


def resubmit(picture: Picture, verb: Resubmit) -> Verdict:
    """Abandon an attempt in doubt and plan the next one."""
    attempt = picture.attempt(verb.attempt_id)
    speaker = picture.speaker(attempt)
    if speaker.id != attempt.id or attempt.state is not AttemptState.IN_DOUBT:
        return Verdict(speaker, moved=False)
    abandon(picture, attempt, verb.at)
    following = _following(picture, attempt, verb.draft, verb.at, replay=attempt.replay)
    return Verdict(following, moved=True)


def abandon(picture: Picture, attempt: Attempt, at: float, **facts: Any) -> Attempt:
    """Give an attempt up that the API did not take, or perhaps did not."""
    check_move(attempt.state, AttemptState.SETTLED)
    facts |= {"state": AttemptState.SETTLED, "outcome": Outcome.ABANDONED, "settled_at": at}
    return picture.change(attempt, **facts)


def _following(
    picture: Picture, attempt: Attempt, draft: Draft, at: float, *, replay: str | None
) -> Attempt:
    same_call = replace(draft, scope=attempt.scope, name=attempt.name)
    facts = {} if replay is None else {"replay": replay}
    return picture.plan(same_call, attempt.ordinal, at, **facts)


def attach(picture: Picture, verb: Attach) -> Verdict:
    """Write down an attempt for a response that somebody else submitted, unless it is known."""
    draft = verb.draft
    known = picture.carriers(draft.endpoint.base_url, verb.response_id)
    if known:
        return Verdict(known[0], moved=False)
    ordinal = draft.ordinal
    if ordinal is None:
        ordinal = max(picture.delivered((draft.scope, draft.name)), default=-1) + 1
    attached = picture.plan(
        draft,
        ordinal,
        verb.at,
        state=AttemptState.SUBMITTED,
        response_id=verb.response_id,
        remote_status=verb.remote_status,
        submitted_at=verb.at,
    )
    return Verdict(attached, moved=True)


def drop_claim(picture: Picture, verb: DropClaim) -> Verdict:
    """Give an ordinal back; given again, move nothing."""
    claim = picture.claim(verb.claim_id)
    if claim is None:
        raise AttemptUnknown(f"The ledger has no claim {verb.claim_id}.")
    siblings = picture.siblings(claim["scope"], claim["name"], claim["ordinal"])
    moved = claim["dropped_at"] is None
    if moved:
        picture.drop(verb.claim_id, verb.at)
    return Verdict(speaking_attempt(siblings), moved=moved)
