"""The durability rule on one screen: what to do next with an attempt.

Pure: the same record, clock reading and policy always give the same action.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from prefect_responses.decisions.policies import AwaitMode, CallPolicy, InDoubtMode
from prefect_responses.decisions.timeouts import timeout_outcome
from prefect_responses.statuses import AttemptState, CancelReason, Outcome

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt


_SERVER_FAILURE = 500


@dataclass(frozen=True, slots=True)
class Submit:
    """Claim the attempt, send it, and record what came back."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until *at* (seconds since the epoch), then look again."""

    at: float


@dataclass(frozen=True, slots=True)
class AskOwner:
    """Somebody is submitting: find out whether that owner lives; a dead one leaves a doubt."""


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Abandon the attempt in doubt and plan the next, to be sent not before *not_before*."""

    not_before: float


@dataclass(frozen=True, slots=True)
class Search:
    """Look among the responses that the server lists for the one in doubt."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave the attempt in doubt to a person."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give an attempt up that was never sent: its deadline has passed."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Follow the response's events until *until* (seconds since the epoch) at the longest."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """Read the response from the API, again and again until *until* at the longest."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the response upstream, then read it once more."""

    reason: CancelReason


@dataclass(frozen=True, slots=True)
class Watch:
    """Read a cancelled response again until *until*: it may yet turn out to be completed."""

    until: float


@dataclass(frozen=True, slots=True)
class LeaveRunning:
    """Stop waiting for a response that could not be stopped; the harvester keeps its end."""


@dataclass(frozen=True, slots=True)
class PlanNext:
    """Plan attempt n+1 of the same call."""


@dataclass(frozen=True, slots=True)
class Return:
    """Hand the outcome to the caller, whatever it is."""


Action = (
    Submit
    | Wait
    | AskOwner
    | Resubmit
    | Search
    | GiveUp
    | Abandon
    | Follow
    | Poll
    | Cancel
    | Watch
    | LeaveRunning
    | PlanNext
    | Return
)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision may depend on beside the record.

    Args:
        now: seconds since the epoch.
        since: when this caller began to wait, in seconds since the epoch.
        run: run counts of the caller's enclosing flow runs, outermost first.
        attempts_in_run: attempts that were planned at this run count, this one included.
        acts_outside: the request has hosted tools that act on the world.
    """

    now: float
    since: float = 0.0
    run: tuple[int, ...] = ()
    attempts_in_run: int = 1
    acts_outside: bool = False


def next_action(attempt: Attempt, situation: Situation, policy: CallPolicy) -> Action:
    """Decide what to do next with *attempt*.

    Returns:
        One member of the closed union `Action`.
    """
    match attempt.state:
        case AttemptState.PLANNED:
            return _send_or_wait(attempt, situation)
        case AttemptState.SUBMITTING:
            return AskOwner()
        case AttemptState.IN_DOUBT:
            return _resolve_doubt(attempt, situation, policy)
        case AttemptState.SUBMITTED:
            return _await_end(attempt, situation, policy)
        case AttemptState.SETTLED:
            return _after_the_end(attempt, situation, policy)
        case _:
            assert_never(attempt.state)


def is_overdue(attempt: Attempt, now: float) -> bool:
    """Tell whether the deadline of *attempt* has passed."""
    return attempt.deadline_at is not None and now >= attempt.deadline_at


def _send_or_wait(attempt: Attempt, situation: Situation) -> Action:
    if is_overdue(attempt, situation.now):
        return Abandon()
    if attempt.not_before is not None and attempt.not_before > situation.now:
        return Wait(min(attempt.not_before, attempt.deadline_at or attempt.not_before))
    return Submit()


def _resolve_doubt(attempt: Attempt, situation: Situation, policy: CallPolicy) -> Action:
    doubt = policy.in_doubt
    if doubt.mode is InDoubtMode.SEARCH:
        return Search()
    if is_overdue(attempt, situation.now) or is_unwanted(attempt, situation.run):
        return GiveUp()
    exhausted = attempt.resubmissions >= doubt.max_resubmissions
    if exhausted or not _may_repeat(attempt, situation, doubt.mode):
        return GiveUp()
    return Resubmit(situation.now + doubt.backoff.wait(attempt.resubmissions + 1))


def is_unwanted(attempt: Attempt, run: tuple[int, ...]) -> bool:
    """Tell whether the cancel of *attempt* is wanted, and nobody has asked to run again since."""
    return attempt.cancel_wanted_at is not None and not is_later_run(run, attempt.run)


def _may_repeat(attempt: Attempt, situation: Situation, mode: InDoubtMode) -> bool:
    match mode:
        case InDoubtMode.RESUBMIT:
            return True
        case InDoubtMode.FAIL | InDoubtMode.SEARCH:
            return False
        case InDoubtMode.AUTO:
            return not situation.acts_outside or was_answered(attempt)
        case _:
            assert_never(mode)


def was_answered(attempt: Attempt) -> bool:
    """Tell whether the doubt comes from a server's failure (5xx), and not from silence.

    An answer that says success, and cannot be read, means that work may be under way.
    """
    status = (attempt.error or {}).get("status")
    return isinstance(status, int) and status >= _SERVER_FAILURE


def _await_end(attempt: Attempt, situation: Situation, policy: CallPolicy) -> Action:
    grace = policy.timeout.grace
    wanted_at = attempt.cancel_wanted_at
    is_owed = wanted_at is not None and attempt.owes_cancel
    if is_owed and situation.now < max(wanted_at or 0.0, situation.since) + grace:
        return Cancel(attempt.cancel_reason or CancelReason.ASKED)
    if not is_overdue(attempt, situation.now):
        return _wait_on(attempt, policy)
    if needs_deadline_cancel(attempt, situation.now):
        return Cancel(CancelReason.DEADLINE)
    end = max(attempt.cancel_answered_at or wanted_at or 0.0, situation.since) + grace
    return Poll(end) if situation.now < end else LeaveRunning()


def needs_deadline_cancel(attempt: Attempt, now: float) -> bool:
    """Tell whether the deadline of *attempt* has passed and asks for a cancel of its own.

    It does although somebody's earlier cancel was answered: the response goes on all the same.
    """
    is_answered = attempt.cancel_answer is not None
    is_its_own = attempt.cancel_reason is CancelReason.DEADLINE
    is_wanted = attempt.cancel_wanted_at is not None and (is_its_own or not is_answered)
    return is_overdue(attempt, now) and not is_wanted


def _wait_on(attempt: Attempt, policy: CallPolicy) -> Action:
    match policy.mode:
        case AwaitMode.POLL:
            follows = False
        case AwaitMode.AUTO:
            follows = attempt.streamed is True
        case AwaitMode.STREAM:
            follows = attempt.streamed is not False
        case _:
            assert_never(policy.mode)
    is_ending = attempt.cancel_wanted_at is not None
    kind = Follow if follows and not is_ending else Poll
    return kind(attempt.deadline_at)


def _watched_until(attempt: Attempt, policy: CallPolicy) -> float:
    """Return until when a response cancelled at its deadline is watched for a late completion."""
    timed_out = attempt.cancel_reason is CancelReason.DEADLINE
    if attempt.outcome is not Outcome.CANCELLED or not timed_out:
        return 0.0
    return (attempt.cancel_answered_at or 0.0) + policy.timeout.grace


def _after_the_end(attempt: Attempt, situation: Situation, policy: CallPolicy) -> Action:
    if situation.now < (until := _watched_until(attempt, policy)):
        return Watch(until)
    if attempt.rejected is not None:
        return PlanNext()
    has_answer = attempt.is_answered or attempt.outcome is Outcome.SURPLUS
    if has_answer or _is_untold_timeout(attempt, situation):
        return Return()
    if is_later_run(situation.run, attempt.run):
        return PlanNext()
    may_retry = attempt.cancel_wanted_at is None and _code(attempt) in policy.retry.codes
    if may_retry and situation.attempts_in_run < policy.retry.max_attempts:
        return PlanNext()
    return Return()


def _is_untold_timeout(attempt: Attempt, situation: Situation) -> bool:
    """Tell whether the deadline ended *attempt* and no caller has heard of it.

    It is news even if an earlier run set the deadline, and died before it was told: one that was
    submitted anew would have a deadline of its own, and none would hold over a restart.
    """
    ended_now = attempt.settled_at is not None and attempt.settled_at >= situation.since
    return (ended_now or attempt.delivered_at is None) and timeout_outcome(attempt) is not None


def _code(attempt: Attempt) -> str:
    return str((attempt.error or {}).get("code"))


def is_later_run(run: tuple[int, ...], than: tuple[int, ...]) -> bool:
    """Tell whether somebody asked to run again since *than*.

    The run counts are compared from the outermost flow run inwards, as far as both go: a subflow
    starts at 1 again when its parent is retried.
    """
    for ours, theirs in zip(run, than, strict=False):
        if ours != theirs:
            return ours > theirs
    return False
