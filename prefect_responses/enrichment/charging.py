"""What the rows of a run reserve before they are sent, and what they will take of limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.budgets import accounts_of, charge_of
from prefect_responses.decisions.estimates import likely_tokens, most_tokens, output_cap
from prefect_responses.enrichment.learning import TokensLearned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.charges import AccountLimit, Charge, Price
    from prefect_responses.decisions.budgets import Budget

_DAY = 86_400.0


@dataclass(slots=True)
class Charging:
    """Charge the rows of one run to their accounts.

    Args:
        job: the name of the job.
        run: what the run is told by: the flow run, or the pass where there is none.
        budgets: what may be spent.
        price: what the model costs, or None where no price is known.
        max_in_flight: responses of the job in flight at most, over all processes, or None.
        learned: what answers took so far.
    """

    job: str
    run: str
    budgets: tuple[Budget, ...]
    price: Price | None
    max_in_flight: int | None
    learned: TokensLearned = field(default_factory=TokensLearned)
    _accounts: tuple[AccountLimit, ...] = ()
    _day: int = -1

    def accounts(self, now: float) -> tuple[AccountLimit, ...]:
        """Return the accounts of a row that is taken up *now*: those of its day."""
        if (day := int(now // _DAY)) != self._day:
            self._day = day
            self._accounts = accounts_of(
                self.budgets, self.job, run=self.run, at=now, max_in_flight=self.max_in_flight
            )
        return self._accounts

    def charge(
        self, accounts: tuple[AccountLimit, ...], request: Mapping[str, Any], size: int
    ) -> Charge:
        """Return what *request*, of *size* bytes, reserves on *accounts*."""
        return charge_of(accounts, most_tokens(request, size, self.learned.high()), self.price)

    def tokens(self, request: Mapping[str, Any], size: int) -> int:
        """Return the tokens that *request* is expected to take."""
        return likely_tokens(size, self.learned.learned(), output_cap(request))
