"""Rows that an account has no room for wait, are tried again, and stop the shard if all is used."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from engine_bench import EmulatorsClock, policy

from prefect_responses.charges import AccountLimit, Charge
from prefect_responses.decisions.policies import OnChange
from prefect_responses.engine import account_room
from prefect_responses.engine.account_room import is_used_up
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.shards import RowCall, drive_shard
from prefect_responses.errors import ResponsesError, SubmissionInDoubt
from prefect_responses.job_errors import AccountFull, BudgetStopped
from prefect_responses.ledger import Account


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(account_room, "TRY_EVERY", 0.02)


def rows(bench, numbers, limit, *, in_doubt="auto", tokens=10):
    charge = Charge((limit,), tokens=tokens)
    for number in numbers:
        call = bench.call(
            f"Row {number}.",
            row=f"r{number}",
            policy=policy(in_doubt),
            on_change=OnChange.RESUBMIT,
        )
        yield RowCall(replace(call, charge=charge))


async def drive(bench, calls):
    ends = []
    try:
        await drive_shard(bench.responses, calls, gate=InFlight(8), ended=ends.append)
    except ResponsesError as error:
        return ends, error
    return ends, None


async def test_no_more_than_the_account_allows_are_in_flight_in_all_processes(bench):
    bench.control.set_latency("constant:0.05")
    limit, most = AccountLimit("job:j", max_in_flight=3), []

    async def watched(driving):
        while not driving.done():
            account = await bench.ledger.account("job:j")
            most.append(account.in_flight if account else 0)
            await asyncio.sleep(0.005)

    other = await bench.again()
    driving = asyncio.gather(
        drive(bench, rows(bench, range(12), limit)), drive(other, rows(other, range(12, 24), limit))
    )
    await watched(driving)
    both = await driving

    assert [(len(ends), error) for ends, error in both] == [(12, None)] * 2
    assert all(end.settled.attempt.is_answered for ends, _ in both for end in ends)
    assert (max(most), bench.accepted()) == (3, 24)


async def test_a_row_that_an_ended_one_leaves_room_for_is_sent(bench):
    bench.control.set_latency("constant:60")
    limit = AccountLimit("job:j", max_tokens=1000)
    slow = await bench.again(clock=EmulatorsClock(bench.control))
    ends, error = await drive(slow, rows(slow, range(6), limit, tokens=900))

    # Each reserves 900, so that the next one has to wait; it uses much less.
    assert (len(ends), error) == (6, None)


async def test_a_budget_that_is_used_up_stops_the_shard_after_what_is_in_flight(bench):
    bench.control.set_latency("constant:60")
    limit = AccountLimit("job:j", max_tokens=25)
    slow = await bench.again(clock=EmulatorsClock(bench.control))
    ends, error = await drive(slow, rows(slow, range(6), limit))

    assert isinstance(error, BudgetStopped)
    assert (error.account, error.limit) == ("job:j", "max_tokens")
    assert 1 <= len(ends) == bench.accepted() < 6
    assert (await bench.ledger.account("job:j")).spent_tokens <= 25
    assert all(end.settled for end in ends)


async def test_rows_in_doubt_keep_their_room_and_nobody_waits_for_ever(bench, monkeypatch):
    monkeypatch.setattr(account_room, "ROOM_PATIENCE", 0.1)
    bench.control.add_fault("accept_then_drop", times=2)
    limit = AccountLimit("job:j", max_in_flight=2)
    ends, error = await drive(bench, rows(bench, range(4), limit, in_doubt="fail"))

    assert isinstance(error, AccountFull)
    assert [type(end.error) for end in ends] == [SubmissionInDoubt] * 2


async def test_a_budget_that_doubts_hold_stops_the_shard_in_the_end(bench, monkeypatch):
    monkeypatch.setattr(account_room, "ROOM_PATIENCE", 0.1)
    bench.control.add_fault("accept_then_drop", times=2)
    limit = AccountLimit("job:j", max_tokens=25)
    _, error = await drive(bench, rows(bench, range(4), limit, in_doubt="fail"))

    assert isinstance(error, BudgetStopped)


@pytest.mark.parametrize(
    ("account", "used_up"),
    [
        (None, False),
        (Account("a", spent_tokens=90), False),
        (Account("a", spent_tokens=91), True),
        (Account("a", spent_usd=96), True),
        (Account("a", spent_tokens=91, reserved_tokens=1), False),
        (Account("a", spent_tokens=91, reserved_usd=1), False),
    ],
)
def test_an_account_is_used_up_if_nothing_under_way_can_change_it(account, used_up):
    charge = Charge((AccountLimit("a", 100, 100), AccountLimit("b", 1, 1)), usd=5, tokens=10)
    assert is_used_up(account, charge, AccountFull("a", "max_tokens")) is used_up
