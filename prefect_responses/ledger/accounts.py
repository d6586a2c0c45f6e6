"""What attempts count for on accounts: the one place where a charge is reserved and settled.

What an attempt counts for is a function of the attempt alone. Whatever changes it, whoever does it,
moves its accounts by the difference, so that nothing is ever counted twice or lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from prefect_responses.charges import MOST, says_all, used_tokens
from prefect_responses.job_errors import AccountFull
from prefect_responses.statuses import ANSWERED, AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prefect_responses.attempt import Attempt
    from prefect_responses.charges import AccountLimit, Charge


@dataclass(frozen=True, slots=True)
class Account:
    """What stands on an account.

    Args:
        name: what it is kept under.
        in_flight: attempts on it that were sent, or may be, and have not ended.
        reserved_usd: nano-USD that those may yet cost.
        reserved_tokens: tokens that those may yet use.
        spent_usd: nano-USD that ended ones cost.
        spent_tokens: tokens that ended ones used.
    """

    name: str
    in_flight: int = 0
    reserved_usd: int = 0
    reserved_tokens: int = 0
    spent_usd: int = 0
    spent_tokens: int = 0


class Share(NamedTuple):
    """What one attempt counts for on each of its accounts; the fields of `Account`."""

    in_flight: int = 0
    reserved_usd: int = 0
    reserved_tokens: int = 0
    spent_usd: int = 0
    spent_tokens: int = 0


NOTHING = Share()
NO_ACCOUNT = NOTHING._asdict()


def share_of(attempt: Attempt) -> Share:
    """Return what *attempt* counts for as it stands; a planned one counts for nothing yet."""
    charge = attempt.charge
    if charge is None or attempt.state is AttemptState.PLANNED:
        return NOTHING
    if not attempt.is_settled:
        return Share(1, charge.usd, charge.tokens)
    usage = attempt.usage or {}
    usd, tokens = 0 if charge.price is None else charge.price.cost(usage), used_tokens(usage)
    if not says_all(usage) and _was_paid(attempt):
        usd, tokens = max(usd, charge.usd), max(tokens, charge.tokens)
    return Share(spent_usd=usd, spent_tokens=tokens)


def _was_paid(attempt: Attempt) -> bool:
    """Tell whether *attempt* cost or may have cost something, whether or not it says how much."""
    if attempt.outcome is Outcome.ABANDONED:
        return attempt.submitting_at is not None  # else it was given up before it was sent
    return attempt.outcome is Outcome.SURPLUS or attempt.outcome in ANSWERED


def cost_of(attempt: Attempt) -> int | None:
    """Return the nano-USD that an attempt has cost, or None where nobody can say."""
    priced = attempt.charge is not None and attempt.charge.price is not None
    return share_of(attempt).spent_usd if priced and attempt.is_settled else None


class Accounts:
    """The accounts that a group of verbs is about, as they stand verb after verb."""

    def __init__(self) -> None:
        self._known: dict[str, list[int]] = {}
        self._changed: set[str] = set()

    def see(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take in rows of `accounts`."""
        for name, *counts in rows:
            self._known[name] = counts

    def check(self, charge: Charge) -> None:
        """Refuse a charge that would exceed a limit; one that fits exactly is taken.

        Raises:
            AccountFull: the first limit that it would exceed.
        """
        for limit in charge.accounts:
            for name, most, count in self._after(limit, charge):
                if most is not None and count > most:
                    raise AccountFull(limit.name, name)

    def _after(self, limit: AccountLimit, charge: Charge) -> Iterable[tuple[str, int | None, int]]:
        now = Share(*self._known[limit.name])
        usd = now.spent_usd + now.reserved_usd + charge.usd
        tokens = now.spent_tokens + now.reserved_tokens + charge.tokens
        yield "max_usd", limit.max_usd, usd
        yield "max_tokens", limit.max_tokens, tokens
        yield "max_in_flight", limit.max_in_flight, now.in_flight + 1

    def move(self, before: Share, after: Share, charge: Charge) -> None:
        """Move the accounts of *charge* by what its attempt counts for now and did before."""
        if before == after:
            return
        difference = [new - old for old, new in zip(before, after, strict=True)]
        # Two budgets may be kept on one account.
        for name in {limit.name for limit in charge.accounts}:
            counts = self._known[name]
            moved = zip(counts, difference, strict=True)
            self._known[name] = [max(-MOST, min(MOST, n + d)) for n, d in moved]
            self._changed.add(name)

    def changed(self) -> list[dict[str, Any]]:
        """Return what to store, by column."""
        return [
            {"account": name, **Share(*self._known[name])._asdict()}
            for name in sorted(self._changed)
        ]


NO_RESERVATION = {"in_flight": 0, "reserved_usd": 0, "reserved_tokens": 0}


def reservations(charges: Iterable[Charge]) -> dict[str, dict[str, int]]:
    """Return what charges of attempts in flight come to, by account."""
    sums: dict[str, dict[str, int]] = {}
    for charge in charges:
        for name in {limit.name for limit in charge.accounts}:
            account = sums.setdefault(name, dict(NO_RESERVATION))
            account["in_flight"] += 1
            account["reserved_usd"] = min(MOST, account["reserved_usd"] + charge.usd)
            account["reserved_tokens"] = min(MOST, account["reserved_tokens"] + charge.tokens)
    return sums
