"""Budgets: what may be given, which accounts hold them, and what a request reserves."""

from __future__ import annotations

from decimal import Decimal

import pytest

from prefect_responses.charges import MOST, AccountLimit, Price
from prefect_responses.decisions.budgets import (
    MOST_TOKENS,
    MOST_USD,
    Budget,
    BudgetPeriod,
    account_name,
    account_scope,
    accounts_of,
    charge_of,
    check_budgets,
    overrun_of,
)
from prefect_responses.decisions.estimates import RequestTokens
from prefect_responses.errors import RequestInvalid
from prefect_responses.job_errors import PriceMissing

PRICE = Price(input=2_000_000, cached_input=500_000, output=8_000_000)
NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_usd": 0},
        {"max_usd": -1},
        {"max_usd": float("nan")},
        {"max_usd": float("inf")},
        {"max_tokens": 0},
        {"max_usd": 1, "max_tokens": -5},
        {"max_usd": Decimal("NaN")},
        {"max_usd": Decimal("sNaN")},
        {"max_usd": Decimal("Infinity")},
        {"max_usd": True},
        {"max_usd": "5"},
        {"max_usd": 1e11},
        {"max_usd": 10**400},
        {"max_tokens": True},
        {"max_tokens": 1.5},
        {"max_tokens": 10**19},
        {"max_usd": 1, "per": "week"},
    ],
)
def test_a_budget_that_limits_nothing_is_refused(limits):
    with pytest.raises(RequestInvalid, match="A budget"):
        Budget(**limits)


def test_a_period_may_be_given_as_a_word():
    assert Budget(max_usd=1, per="day").per is BudgetPeriod.DAY
    assert Budget(max_tokens=1).per is BudgetPeriod.RUN


@pytest.mark.parametrize(
    ("max_usd", "nano"),
    [
        (None, None),
        (25, 25_000_000_000),
        (0.1, 100_000_000),
        (Decimal("0.30"), 300_000_000),
        (0.0000000019, 1),  # never more than was said
    ],
)
def test_money_is_counted_exactly(max_usd, nano):
    assert Budget(max_usd=max_usd, max_tokens=1).nano_usd == nano


def test_a_budget_in_usd_needs_a_price():
    budgets = [Budget(max_tokens=5), Budget(max_usd=1)]

    with pytest.raises(PriceMissing, match="price of 'gpt-x'"):
        check_budgets(budgets, None, "gpt-x")
    check_budgets(budgets, PRICE, "gpt-x")
    check_budgets(budgets[:1], None, "gpt-x")


def test_the_job_and_the_day_are_charged_without_a_budget_too():
    assert accounts_of((), "reviews", run="r1", at=NOON, max_in_flight=200) == (
        AccountLimit("day:2026-11-21:job:reviews"),
        AccountLimit("job:reviews", max_in_flight=200),
    )


def test_the_least_of_several_budgets_for_one_period_holds():
    budgets = [
        Budget(max_usd=5, per="run"),
        Budget(max_usd=9, max_tokens=100, per="day"),
        Budget(max_usd=3, per="day"),
        Budget(max_tokens=1000, per="job"),
    ]

    assert accounts_of(budgets, "reviews", run="r1", at=NOON) == (
        AccountLimit("run:r1:job:reviews", max_usd=5_000_000_000),
        AccountLimit("day:2026-11-21:job:reviews", max_usd=3_000_000_000, max_tokens=100),
        AccountLimit("job:reviews", max_tokens=1000),
    )


def test_a_day_ends_at_midnight_utc():
    midnight = NOON + 12 * 3600

    assert account_name("a", BudgetPeriod.DAY, run="", at=midnight - 1) == "day:2026-11-21:job:a"
    assert account_name("a", BudgetPeriod.DAY, run="", at=midnight) == "day:2026-11-22:job:a"


@pytest.mark.parametrize(
    "job", ["a", "a:day:2026-11-21", "day:1:job:b", "job:b", ":", "run:x:job:"]
)
def test_no_job_has_an_account_of_another(job):
    for period in BudgetPeriod:
        assert account_scope(account_name(job, period, run="r1", at=NOON)) == f"job:{job}"


def test_the_largest_budget_can_be_kept():
    assert Budget(max_usd=MOST_USD, max_tokens=MOST_TOKENS).nano_usd < MOST
    with pytest.raises(RequestInvalid, match="no more than 1,000,000,000 USD"):
        Budget(max_usd=MOST_USD + 1)


def test_a_charge_reserves_what_may_be_read_and_written_at_the_full_price():
    accounts = (AccountLimit("job:a"),)
    most = RequestTokens(input=1000, output=500, bounded=True)

    charge = charge_of(accounts, most, PRICE)

    assert (charge.accounts, charge.tokens, charge.price) == (accounts, 1500, PRICE)
    assert charge.usd == 1000 * 2000 + 500 * 8000
    assert charge_of(accounts, most, None).usd == 0


def test_how_far_a_budget_can_be_overrun_is_said():
    bounded = {"input": "Hello", "max_output_tokens": 100}

    assert "cannot be overrun" in overrun_of(bounded, 200)
    assert "up to 1,200 answers in flight write beyond" in overrun_of({"input": "Hello"}, 1200)
    with_tools = overrun_of(bounded | {"tools": [{"type": "web_search"}]}, 200)
    assert with_tools.startswith("The budget may be overrun by what tools")
    assert "; and by what tools" in overrun_of({"input": "Hello", "prompt": {"id": "p"}}, 200)
