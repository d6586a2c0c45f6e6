"""Budgets under load: never overrun by two processes at once, and resumed when there is more."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from engine_bench import policy

from prefect_responses.charges import Price
from prefect_responses.decisions.budgets import Budget, accounts_of, charge_of
from prefect_responses.decisions.estimates import most_tokens
from prefect_responses.decisions.policies import OnChange
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.shards import RowCall, drive_shard
from prefect_responses.errors import ResponsesError
from prefect_responses.job_errors import BudgetStopped
from prefect_responses.statuses import AttemptState

PRICE = Price(input=1_000_000, cached_input=1_000_000, output=4_000_000)
ACCOUNT = "job:reviews"


def rows(bench, numbers, *budgets):
    """Rows whose answers are bounded, charged to the accounts of a job."""
    accounts = accounts_of(budgets, "reviews", run="r", at=bench.clock.now())
    for number in numbers:
        call = bench.call(
            f"Row {number}. {'Word. ' * (number % 7)}",
            row=f"r{number}",
            policy=policy(),
            on_change=OnChange.RESUBMIT,
            max_output_tokens=40,
        )
        most = most_tokens(call.request, len(call.draft.request), None)
        assert most.bounded
        yield RowCall(replace(call, charge=charge_of(accounts, most, PRICE)))


async def drive(bench, calls):
    ends = []
    try:
        await drive_shard(bench.responses, calls, gate=InFlight(8), ended=ends.append)
    except ResponsesError as error:
        return ends, error
    return ends, None


def a_row_at_most(bench):
    [row] = rows(bench, [6])
    return row.call.charge


async def test_two_processes_share_a_budget_and_do_not_overrun_it(bench):
    other = await bench.again()
    whole = a_row_at_most(bench)
    budget = Budget(max_usd=whole.usd * 2.5 / 10**9, per="job")

    both = await asyncio.gather(
        drive(bench, rows(bench, range(20), budget)),
        drive(other, rows(other, range(20, 40), budget)),
    )

    account = await bench.ledger.account(ACCOUNT)
    finished = [end for ends, _ in both for end in ends]
    # The quicker one may have come to its last row with what was left.
    assert BudgetStopped in {type(error) for _, error in both}
    assert account.spent_usd <= budget.nano_usd
    # No room was wasted either: not even one more row would have fitted for sure.
    assert account.spent_usd + whole.usd > budget.nano_usd
    assert (account.reserved_usd, account.in_flight) == (0, 0)
    assert len(finished) == bench.accepted() < 40
    assert all(end.settled.attempt.is_answered for end in finished)


async def test_a_larger_budget_goes_on_where_the_smaller_one_stopped(bench):
    whole = a_row_at_most(bench)
    small, large = (Budget(max_tokens=int(whole.tokens * n), per="day") for n in (1.25, 400))

    first, stopped = await drive(bench, rows(bench, range(12), small))
    rest, done = await drive(await bench.again(), rows(bench, range(12), large))

    assert (stopped.limit, done) == ("max_tokens", None)
    assert stopped.account.startswith("day:")
    assert 0 < len(first) < 12
    assert len(rest) == 12
    assert bench.accepted() == 12
    assert {one.state for one in await bench.attempts()} == {AttemptState.SETTLED}


async def test_a_row_that_is_dearer_than_the_whole_budget_is_never_sent(bench):
    ends, stopped = await drive(bench, rows(bench, range(3), Budget(max_tokens=10)))

    assert (stopped, bench.posts()) == (None, [])
    assert {(end.error.account, end.error.limit) for end in ends} == {
        ("run:r:job:reviews", "max_tokens")
    }
