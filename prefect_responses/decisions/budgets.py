"""Budgets: how much a job may spend in a run, a day or altogether, and what a request reserves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, assert_never

from prefect_responses.charges import NANO, AccountLimit, Charge
from prefect_responses.decisions.estimates import DEFAULT_OUTPUT, has_bounded_input, output_cap
from prefect_responses.errors import RequestInvalid
from prefect_responses.identity import job_scope
from prefect_responses.job_errors import PriceMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prefect_responses.charges import Price
    from prefect_responses.decisions.estimates import RequestTokens


#: What a budget may be at most: the ledger can count a few times as much.
MOST_USD = 10**9
MOST_TOKENS = 10**18


class BudgetPeriod(StrEnum):
    """Say over what a budget is counted."""

    #: One run of the flow, its retries included.
    RUN = "run"
    #: One day, UTC; a row counts on the day on which it was taken up.
    DAY = "day"
    #: All runs of the job under its name.
    JOB = "job"


@dataclass(frozen=True, slots=True)
class Budget:
    """Limit what a job may spend. Give one of the limits or both.

    Args:
        max_usd: USD at most; it needs a price list.
        max_tokens: tokens at most, read and written together.
        per: `run`, `day` (UTC) or `job`.

    Raises:
        RequestInvalid: no limit is given, or one that is no number above zero or beyond all
            reason, or an unknown period.
    """

    max_usd: float | Decimal | None = None
    max_tokens: int | None = None
    per: BudgetPeriod | Literal["run", "day", "job"] = BudgetPeriod.RUN

    def __post_init__(self) -> None:
        usd = self.max_usd is None or _is_amount(self.max_usd, MOST_USD, int | float | Decimal)
        tokens = self.max_tokens is None or _is_amount(self.max_tokens, MOST_TOKENS, int)
        if (self.max_usd is None and self.max_tokens is None) or not (usd and tokens):
            raise RequestInvalid(
                "A budget takes max_usd, max_tokens (a whole number) or both, each above zero, "
                f"and no more than {MOST_USD:,} USD or {MOST_TOKENS:,} tokens."
            )
        if self.per not in set(BudgetPeriod):
            raise RequestInvalid(
                f"A budget is per {', '.join(BudgetPeriod)}; {self.per!r} is none of them."
            )
        object.__setattr__(self, "per", BudgetPeriod(self.per))

    @property
    def nano_usd(self) -> int | None:
        """Return `max_usd` in nano-USD, never more than was said, or None."""
        if self.max_usd is None:
            return None
        exact = Decimal(str(self.max_usd)) * NANO
        return int(exact.to_integral_value(ROUND_DOWN))


def _is_amount(limit: Any, most: int, kind: Any) -> bool:
    if not isinstance(limit, kind) or isinstance(limit, bool):
        return False
    # To compare a Decimal that is no number is an error.
    is_number = not (isinstance(limit, Decimal) and limit.is_nan())
    return is_number and 0 < limit <= most


def check_budgets(budgets: Iterable[Budget], price: Price | None, model: str) -> None:
    """Refuse budgets in USD for a model without a price, before anything is sent.

    Raises:
        PriceMissing: *price* is None, and a budget is in USD.
    """
    if price is None and any(budget.max_usd is not None for budget in budgets):
        raise PriceMissing(
            f"A budget in USD needs the price of {model!r}: add it to the price list that you pass "
            "as prices=, or give the budget in tokens."
        )


def accounts_of(
    budgets: Sequence[Budget], job: str, *, run: str, at: float, max_in_flight: int | None = None
) -> tuple[AccountLimit, ...]:
    """Return the accounts that a row is charged to, with what each may hold.

    Those of the job and of the day are there without a budget too: one that is given later then
    knows what was spent before.

    Args:
        budgets: any number; of several for one period, the least of each limit holds.
        job: the name of the job.
        run: what one run is told by: the flow run, or the pass where there is none.
        at: when the row is taken up, seconds since the epoch.
        max_in_flight: responses of this job in flight at most, over all processes, or None.
    """
    held = {budget.per for budget in budgets}
    periods = [
        period for period in BudgetPeriod if period is not BudgetPeriod.RUN or period in held
    ]
    return tuple(
        AccountLimit(
            account_name(job, period, run=run, at=at),
            max_usd=_least(one.nano_usd for one in budgets if one.per is period),
            max_tokens=_least(one.max_tokens for one in budgets if one.per is period),
            max_in_flight=max_in_flight if period is BudgetPeriod.JOB else None,
        )
        for period in periods
    )


def account_name(job: str, period: BudgetPeriod, *, run: str, at: float) -> str:
    """Return the name of the account of *job* for a period; see `accounts_of`.

    A job may be called anything, so its name comes last: none is another job's account.
    """
    match period:
        case BudgetPeriod.RUN:
            return f"{period}:{run}:{job_scope(job)}"
        case BudgetPeriod.DAY:
            day = datetime.fromtimestamp(at, UTC).date().isoformat()
            return f"{period}:{day}:{job_scope(job)}"
        case BudgetPeriod.JOB:
            return job_scope(job)
        case _:
            assert_never(period)


def account_scope(name: str) -> str:
    """Return the scope of the job that has the account *name*, for whichever period."""
    period, _, rest = name.partition(":")
    is_part = period in {BudgetPeriod.RUN, BudgetPeriod.DAY}
    return rest.partition(":")[2] if is_part else name


def charge_of(
    accounts: tuple[AccountLimit, ...], tokens: RequestTokens, price: Price | None
) -> Charge:
    """Return what a request reserves on *accounts* when it is claimed.

    Args:
        accounts: see `accounts_of`.
        tokens: what it may read and write; see `most_tokens`.
        price: what the model costs, or None where no price is known: then no USD are counted.
    """
    usage = {"input_tokens": tokens.input, "output_tokens": tokens.output}
    usd = 0 if price is None else price.cost(usage)
    return Charge(accounts, usd=usd, tokens=tokens.input + tokens.output, price=price)


def overrun_of(request: Mapping[str, Any], max_in_flight: int) -> str:
    """Say in one sentence how far a budget may be overrun by requests like *request*.

    Args:
        request: a request as the caller gave it.
        max_in_flight: responses in flight at most.
    """
    ways = []
    if output_cap(request) is None:
        ways.append(
            f"what up to {max_in_flight:,} answers in flight write beyond what was reserved "
            f"for them ({DEFAULT_OUTPUT:,} tokens, or what most answers of this job took): "
            "set max_output_tokens to bound it"
        )
    if not has_bounded_input(request):
        ways.append("what tools, files, images or stored context add to what is read")
    if not ways:
        return (
            "The budget cannot be overrun: max_output_tokens bounds each answer, and what is "
            "read is reserved by its bytes."
        )
    return f"The budget may be overrun by {'; and by '.join(ways)}."


def _least(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
