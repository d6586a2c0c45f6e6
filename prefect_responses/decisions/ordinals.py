"""Which ordinal a call takes, and which attempt speaks for an ordinal.

Identical requests of one execution are told apart by a count, the ordinal. An orphan and its
successor must converge on the same ordinals, or a crash would be paid for twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prefect_responses.attempt import Link


class Sibling(Protocol):
    """What the choice of who speaks needs to know of an attempt."""

    @property
    def id(self) -> str:
        """Return its ID."""

    @property
    def digest(self) -> str:
        """Return the digest of what was asked for."""

    @property
    def state(self) -> AttemptState:
        """Return where it stands."""

    @property
    def outcome(self) -> Outcome | None:
        """Return how it ended, if it did."""

    @property
    def is_answered(self) -> bool:
        """Tell whether an answer is stored that was not rejected."""


A = TypeVar("A", bound=Sibling)


@dataclass(frozen=True, slots=True)
class ClaimView:
    """What the choice of an ordinal needs to know of one claim.

    Args:
        ordinal: the ordinal that it took.
        chain: the runs that enclosed its call.
        dropped: whether its call left without an outcome.
    """

    ordinal: int
    chain: tuple[Link, ...]
    dropped: bool = False


def choose_ordinal(
    delivered: Mapping[int, bool], claims: Sequence[ClaimView], chain: tuple[Link, ...]
) -> int:
    """Choose the ordinal that a call takes; one that is not in *delivered* is new.

    Among the ordinals that no live claim holds: undelivered before delivered, then the lowest.

    Args:
        delivered: each ordinal that exists, and whether its outcome was delivered.
        claims: the claims of this scope, name and execution; those of others never count.
        chain: the runs that enclose the call.
    """
    held = {claim.ordinal for claim in live_claims(claims, chain)}
    free = [(was_delivered, ordinal) for ordinal, was_delivered in delivered.items()]
    free = [(was_delivered, ordinal) for was_delivered, ordinal in free if ordinal not in held]
    if free:
        return min(free)[1]
    return max(delivered, default=-1) + 1


def live_claims(claims: Sequence[ClaimView], chain: tuple[Link, ...]) -> list[ClaimView]:
    """Keep the claims whose call may still be running.

    A claim is dead when it was dropped, or when a run that enclosed it has started a later attempt:
    the chain of the caller or of any other claim shows it.
    """
    newest = _newest_numbers(link for runs in (chain, *(c.chain for c in claims)) for link in runs)
    return [
        claim
        for claim in claims
        if not claim.dropped and all(link.number >= newest[link.run_id] for link in claim.chain)
    ]


def _newest_numbers(links: Iterable[Link]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for link in links:
        newest[link.run_id] = max(link.number, newest.get(link.run_id, link.number))
    return newest


def holds_answer(attempt: Sibling) -> bool:
    """Tell whether *attempt* was accepted and has or will have an answer worth waiting for."""
    return attempt.state is AttemptState.SUBMITTED or attempt.is_answered


def rival_of(attempt: A, siblings: Iterable[A]) -> A | None:
    """Return another attempt at the same request that was accepted, if there is one."""
    for other in siblings:
        if other.id != attempt.id and other.digest == attempt.digest and holds_answer(other):
            return other
    return None


def speaking_attempt(siblings: Sequence[A]) -> A:
    """Choose the attempt that speaks for its ordinal.

    It is the latest one, but for two cases that late answers make: a surplus attempt never speaks
    for others, and an accepted attempt speaks for a later one at the same request.

    Args:
        siblings: all attempts of the ordinal, one at least, by number.
    """
    latest = next(
        (sibling for sibling in reversed(siblings) if sibling.outcome is not Outcome.SURPLUS),
        siblings[-1],
    )
    return latest if holds_answer(latest) else rival_of(latest, reversed(siblings)) or latest
