"""Rows that an account has no room for wait, are tried again, and stop the shard if all is used."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from engine_bench import SCOPE, EmulatorsClock, policy

from prefect_responses.charges import AccountLimit, Charge
from prefect_responses.decisions.policies import OnChange
from prefect_responses.engine import account_room
from prefect_responses.engine.account_room import is_used_up
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.shards import RowCall, drive_shard
from prefect_responses.engine.unattended import Holders
from prefect_responses.errors import ResponsesError, SubmissionInDoubt
from prefect_responses.job_errors import AccountFull, BudgetStopped
from prefect_responses.ledger import Account
from prefect_responses.statuses import AttemptState


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


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (AccountLimit("job:j", max_in_flight=2), AccountFull),
        (AccountLimit("job:j", max_tokens=25), BudgetStopped),
    ],
    ids=["in_flight", "budget"],
)
async def test_room_that_only_doubts_hold_is_not_waited_for(bench, limit, expected):
    bench.control.add_fault("accept_then_drop", times=2)
    ends, error = await drive(bench, rows(bench, range(4), limit, in_doubt="fail"))

    assert type(error) is expected
    assert [type(end.error) for end in ends] == [SubmissionInDoubt] * 2


async def test_a_row_that_alone_exceeds_a_budget_leaves_the_others_alone(bench):
    limit = AccountLimit("job:j", max_tokens=500)
    large = rows(bench, [0], limit, tokens=501)
    ends, error = await drive(bench, [*large, *rows(bench, range(1, 4), limit)])

    assert error is None
    assert [type(end.error) for end in ends if end.settled is None] == [AccountFull]
    assert bench.accepted() == len(ends) - 1 == 3


# --- room that nobody here waits for --------------------------------------------------------------


async def left_behind(bench, calls, state):
    """Begin with rows, and leave them as soon as they are in *state*."""
    driving = asyncio.create_task(drive(bench, calls))
    while len(found := await bench.ledger.of_flow_runs((), (SCOPE,))) < 2 or any(  # noqa: ASYNC110
        one.state is not state for one in found
    ):
        await asyncio.sleep(0.005)
    driving.cancel()
    with suppress(asyncio.CancelledError):
        await driving


async def test_what_ended_and_was_waited_for_by_nobody_makes_room(bench):
    limit = AccountLimit("job:j", max_in_flight=2)
    bench.control.set_latency("constant:600")
    await left_behind(bench, rows(bench, range(2), limit), AttemptState.SUBMITTED)
    bench.control.set_latency("instant")
    bench.control.stop_clock()
    bench.control.advance(700)
    bench.control.start_clock()

    ends, error = await drive(bench, rows(bench, range(2, 5), limit))

    assert (len(ends), error) == (3, None)
    assert (await bench.ledger.account("job:j")).in_flight == 0


async def test_who_holds_the_room_is_shown(bench):
    limit, gate = AccountLimit("job:j", max_in_flight=2), InFlight(8)
    bench.control.set_latency("constant:600")
    await left_behind(bench, rows(bench, range(2), limit), AttemptState.SUBMITTED)

    waiting = rows(bench, range(2, 5), limit)
    driving = asyncio.create_task(drive_shard(bench.responses, waiting, gate=gate, ended=[].append))
    while gate.held is None:  # noqa: ASYNC110 - it is shown to another thread
        await asyncio.sleep(0.005)
    driving.cancel()

    assert gate.held == Holders(in_flight=2)
    assert gate.held.words() == "waiting for room that 2 rows in flight hold"
    with pytest.raises(asyncio.CancelledError):
        await driving
    assert gate.held is None


async def test_a_doubt_that_may_be_repeated_gives_its_room_back(bench):
    limit = AccountLimit("job:j", max_in_flight=2)
    bench.control.add_fault("accept_then_drop", times=2)
    await drive(bench, rows(bench, range(2), limit, in_doubt="fail"))

    ends, error = await drive(bench, rows(bench, range(2, 5), limit, in_doubt="resubmit"))

    assert (len(ends), error) == (3, None)
    left = await bench.ledger.of_flow_runs((), (SCOPE,))
    assert [one.state for one in left] == [AttemptState.PLANNED] * 2


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
