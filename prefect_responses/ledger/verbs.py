"""What can be asked of the ledger's writer: frozen values, each decided and committed whole.

A verb may be given again after a crash or a lost answer: it finds what it did and moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt, Draft, Link
    from prefect_responses.charges import Charge
    from prefect_responses.statuses import CancelAnswer, CancelReason, Outcome, ResponseStatus


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say what a verb came to.

    Args:
        attempt: the record after the commit.
        moved: whether this verb changed it; if not, *attempt* says why.
    """

    attempt: Attempt
    moved: bool


@dataclass(frozen=True, slots=True)
class Take:
    """Take the ordinal that a call is entitled to, planning its first attempt if it is new.

    One that is found unsettled, and was made for the same request, becomes the draft's run's: its
    flow run and task run, and the earlier of both deadlines. That does not count as moved.
    """

    draft: Draft
    execution: str
    chain: tuple[Link, ...]
    claim_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan the first attempt of an ordinal, unless it has one; that one is found as by `Take`."""

    draft: Draft
    at: float


@dataclass(frozen=True, slots=True)
class PlanNext:
    """Plan the attempt that follows a settled one.

    With *superseding* a submitted one may be followed too (the request changed); it stays as it is.
    With *replay*, which says why, it is sent with its draft's request although the digest is that
    of the call.
    """

    attempt_id: str
    draft: Draft
    at: float
    superseding: bool = False
    replay: str | None = None


@dataclass(frozen=True, slots=True)
class Attach:
    """Write down an attempt for a response that somebody else submitted, unless it is known."""

    draft: Draft
    response_id: str
    remote_status: ResponseStatus | None
    at: float


@dataclass(frozen=True, slots=True)
class DropClaim:
    """Give an ordinal back: the call left without an outcome."""

    claim_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Claim:
    """Win the right to submit a planned attempt. Committed before a byte leaves.

    With a *charge*, it is reserved on its accounts in the same commit. Whatever ends the attempt,
    whoever does it, takes the reservation back, and counts the cost in its stead.
    """

    attempt_id: str
    client_request_id: str
    at: float
    charge: Charge | None = None


@dataclass(frozen=True, slots=True)
class RecordAccepted:
    """Store the ID of an accepted response. Never refused, however late it comes.

    One that is surplus owes a cancel from the same commit on. *streamed* says whether the events of
    the response can be followed; None says nothing.
    """

    attempt_id: str
    response_id: str
    remote_status: ResponseStatus | None
    server_request_id: str | None
    expires_at: float | None
    at: float
    streamed: bool | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Give a claimed attempt back: the API is known not to have taken it.

    If its cancel was wanted meanwhile, it is abandoned instead: there is nothing to cancel.
    """

    attempt_id: str
    fence: int
    not_before: float | None
    error: dict[str, Any] | None = field(hash=False)
    at: float


@dataclass(frozen=True, slots=True)
class MarkInDoubt:
    """Say that a POST may or may not have been accepted, and that its sender cannot tell."""

    attempt_id: str
    owner_id: str
    fence: int
    error: dict[str, Any] | None = field(hash=False)
    at: float


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Abandon an attempt in doubt and plan the next, in one step."""

    attempt_id: str
    draft: Draft
    at: float


@dataclass(frozen=True, slots=True)
class ResolveDoubt:
    """Say what was found of an attempt in doubt: its response ID, or that there is none."""

    attempt_id: str
    response_id: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Settle:
    """Record how an attempt ended.

    An attempt that is being submitted is settled by its owner only; *fence*, where it is given,
    must be the one of its claim. With an answer, the progress of its events goes; else it stays,
    for its text is all that there is. *latency*, in seconds, is stored where it is given.
    """

    attempt_id: str
    outcome: Outcome
    at: float
    remote_status: ResponseStatus | None = None
    response: bytes | None = None
    usage: dict[str, Any] | None = field(default=None, hash=False)
    error: dict[str, Any] | None = field(default=None, hash=False)
    polls: int = 0
    fence: int | None = None
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Observe:
    """Record what a poll saw, if it is news."""

    attempt_id: str
    remote_status: ResponseStatus
    polls: int
    at: float


@dataclass(frozen=True, slots=True)
class Deliver:
    """Say that the call returned the outcome to its caller.

    While a deadline is ending an attempt only *timeout* counts: the caller was told of that.
    """

    attempt_id: str
    at: float
    timeout: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Say that a settled answer is of no use, so that another attempt may follow."""

    attempt_id: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Classify:
    """Say what came of a job's row that is settled; forgotten when the attempt moves on."""

    attempt_id: str
    row_class: str
    at: float


@dataclass(frozen=True, slots=True)
class RecordProgress:
    """Note how far the events of a submitted attempt that is followed were read.

    A *cursor* that is not beyond the stored one changes nothing. It is as cheap as can be, and the
    verdict's `moved` says only that the attempt is still submitted.
    """

    attempt_id: str
    cursor: int | None
    snapshot: bytes
    at: float


@dataclass(frozen=True, slots=True)
class BeginFollowing:
    """Say that the events of a submitted attempt can be followed, if nobody has tried before."""

    attempt_id: str
    at: float


@dataclass(frozen=True, slots=True)
class StopFollowing:
    """Say that the events of a submitted attempt cannot be followed, for good; progress stays."""

    attempt_id: str
    at: float


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Say when an unsettled attempt must have ended; the earlier deadline stays."""

    attempt_id: str
    deadline_at: float
    at: float


@dataclass(frozen=True, slots=True)
class WantCancel:
    """Want an attempt cancelled: what was planned is abandoned, what may be accepted owes a cancel.

    The first reason stays, but that a deadline asks once more where an earlier cancel was answered
    and the response went on. A settled attempt does not move. With *run*, a deadline counts for
    that run from now on: its outcome is that run's, and only a later one asks again.
    """

    attempt_id: str
    reason: CancelReason
    at: float
    run: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class RecordCancel:
    """Store the API's answer to a cancel that is wanted; the first answer stays."""

    attempt_id: str
    answer: CancelAnswer
    watch_until: float | None
    at: float


@dataclass(frozen=True, slots=True)
class MarkOrphaned:
    """Say, once, that an attempt was reported as nobody's."""

    attempt_id: str
    at: float


@dataclass(frozen=True, slots=True)
class MarkWarned:
    """Say, once, that it was warned that an attempt expires unread."""

    attempt_id: str
    at: float


#: Verbs that name an attempt that exists.
ByAttempt: TypeAlias = (
    PlanNext
    | Claim
    | RecordAccepted
    | Release
    | MarkInDoubt
    | Resubmit
    | ResolveDoubt
    | Settle
    | Observe
    | Deliver
    | Reject
    | Classify
    | RecordProgress
    | BeginFollowing
    | StopFollowing
    | SetDeadline
    | WantCancel
    | RecordCancel
    | MarkOrphaned
    | MarkWarned
)

#: Verbs that name a call by scope and name.
ByName: TypeAlias = Take | Plan | Attach

Verb: TypeAlias = ByAttempt | ByName | DropClaim
