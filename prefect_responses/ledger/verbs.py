"""What can be asked of the ledger's writer: frozen values, each decided and committed whole.

A verb may be given again after a crash or a lost answer: it finds what it did and moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt, Draft, Link
    from prefect_responses.statuses import Outcome, ResponseStatus


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
    """Take the ordinal that a call is entitled to, planning its first attempt if it is new."""

    draft: Draft
    execution: str
    chain: tuple[Link, ...]
    claim_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan the first attempt of an ordinal, unless it has one."""

    draft: Draft
    at: float


@dataclass(frozen=True, slots=True)
class PlanNext:
    """Plan the attempt that follows a settled one.

    With *superseding* a submitted one may be followed too (the request changed); it stays as it is.
    """

    attempt_id: str
    draft: Draft
    at: float
    superseding: bool = False


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
    """Win the right to submit a planned attempt. Committed before a byte leaves."""

    attempt_id: str
    client_request_id: str
    at: float


@dataclass(frozen=True, slots=True)
class RecordAccepted:
    """Store the ID of an accepted response. Never refused, however late it comes."""

    attempt_id: str
    response_id: str
    remote_status: ResponseStatus | None
    server_request_id: str | None
    expires_at: float | None
    at: float


@dataclass(frozen=True, slots=True)
class Release:
    """Give a claimed attempt back: the API is known not to have taken it."""

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
    must be the one of its claim.
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


@dataclass(frozen=True, slots=True)
class Observe:
    """Record what a poll saw, if it is news."""

    attempt_id: str
    remote_status: ResponseStatus
    polls: int
    at: float


@dataclass(frozen=True, slots=True)
class Deliver:
    """Say that the call returned the outcome to its caller."""

    attempt_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Reject:
    """Say that a settled answer is of no use, so that another attempt may follow."""

    attempt_id: str
    reason: str
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
)

#: Verbs that name a call by scope and name.
ByName: TypeAlias = Take | Plan | Attach

Verb: TypeAlias = ByAttempt | ByName | DropClaim
