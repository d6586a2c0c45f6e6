"""A shard of rows: driven together, stopped together, and nothing that is finished is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from engine_bench import EmulatorsClock, policy
from sqlalchemy import event

from prefect_responses.decisions.policies import OnChange, PollPolicy
from prefect_responses.engine.calls import Found
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.shards import RowCall, drive_shard
from prefect_responses.errors import (
    CredentialsRefused,
    EndpointUnreachable,
    QuotaExhausted,
    RequestInvalid,
    ResponsesError,
    SubmissionInDoubt,
)
from prefect_responses.statuses import AttemptState, Outcome
from prefect_responses.testing import ManualClock


def rows(bench, count, **facts):
    facts = {"policy": policy(), "on_change": OnChange.RESUBMIT} | facts
    return [bench.call(f"Row {n}.", row=f"r{n}", **facts) for n in range(count)]


async def drive(bench, calls, max_in_flight=8, *, in_flight=()):
    ends, gate = [], InFlight(max_in_flight)
    rows = (RowCall(call, call.draft.name in in_flight) for call in calls)
    try:
        await drive_shard(bench.responses, rows, gate=gate, ended=ends.append)
    except ResponsesError as error:
        return ends, error
    return ends, None


async def test_every_row_ends_once(bench):
    ends, error = await drive(bench, rows(bench, 40))

    assert error is None
    assert {end.call.draft.name for end in ends} == {f"row:r{n}" for n in range(40)}
    assert {end.settled.attempt.outcome for end in ends} == {Outcome.COMPLETED}
    assert {end.settled.found for end in ends} == {Found.NOTHING}
    bodies = await bench.ledger.bodies([end.settled.attempt.id for end in ends])
    assert {end.settled.attempt.id: end.settled.body for end in ends} == {
        id_: body.response for id_, body in bodies.items()
    }
    assert len(bench.posts()) == 40


async def test_no_more_than_asked_for_are_in_flight(bench):
    calls, started = rows(bench, 12), []

    def noted():
        for call in calls:
            started.append(call)
            yield RowCall(call)

    ends, gaps = [], []

    def ended(end):
        ends.append(end)
        gaps.append(len(started) - len(ends))

    await drive_shard(bench.responses, noted(), gate=InFlight(3), ended=ended)
    assert len(ends) == 12
    # The next one is formed, and waits for room.
    assert max(gaps) == 3


async def test_a_finished_shard_costs_nothing_the_second_time(bench):
    await drive(bench, rows(bench, 20))
    requests = len(bench.control.journal())
    ends, error = await drive(await bench.again(), rows(bench, 20, run=(2,), execution="e2"))

    assert error is None
    assert {end.settled.found for end in ends} == {Found.ANSWER}
    assert {end.settled.body for end in ends} == {None}
    assert len(bench.control.journal()) == requests


async def test_only_changed_rows_are_submitted_again(bench):
    await drive(bench, rows(bench, 10))
    calls = rows(bench, 10, run=(2,))
    calls[3] = bench.call("Changed.", row="r3", run=(2,), on_change=OnChange.RESUBMIT)
    await drive(bench, calls)

    assert len(bench.posts()) == 11
    assert bench.posts()[-1]["body"]["input"] == "Changed."


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 429, "code": "insufficient_quota"}, QuotaExhausted),
        ({"kind": "status", "status": 401}, CredentialsRefused),
    ],
    ids=str,
)
async def test_one_parked_row_stops_new_submissions_and_keeps_what_is_finished(bench, fault, error):
    bench.control.add_fault(**fault, after=10, times=None, match={"method": "POST"})
    ends, raised = await drive(bench, rows(bench, 40), max_in_flight=4)

    assert isinstance(raised, error)
    finished = [end for end in ends if end.settled]
    assert len(finished) == 10
    # The four that were under way may each be refused; no fifth is started.
    assert 11 <= len(bench.posts()) <= 14
    assert len(await bench.attempts()) == len(bench.posts())

    bench.control.clear_faults()
    posts = len(bench.posts())
    again, nothing = await drive(bench, rows(bench, 40, run=(2,), execution="e2"))
    assert nothing is None
    assert len(again) == 40
    assert len(bench.posts()) - posts == 30
    assert bench.accepted() == 40
    assert {one.number for one in await bench.attempts()} == {1}


async def test_what_is_in_flight_when_a_shard_stops_is_awaited(bench):
    bench.control.set_latency("constant:120")
    bench.control.add_fault("status", after=3, times=None, status=401, match={"method": "POST"})
    other = await bench.again(clock=EmulatorsClock(bench.control))
    ends, raised = await drive(other, rows(bench, 20), max_in_flight=4)

    assert isinstance(raised, CredentialsRefused)
    outcomes = [end.settled.attempt.outcome for end in ends if end.settled]
    assert outcomes == [Outcome.COMPLETED] * 3


async def test_rows_in_doubt_do_not_stop_the_others(bench):
    bench.control.add_fault("accept_then_drop", times=2)
    ends, error = await drive(bench, rows(bench, 20, policy=policy("fail")))

    assert error is None
    doubts = [end for end in ends if isinstance(end.error, SubmissionInDoubt)]
    assert (len(ends), len(doubts)) == (20, 2)
    assert len(bench.posts()) == 20


async def test_refused_and_failed_rows_do_not_stop_the_others(bench):
    creates = {"method": "POST"}
    bench.control.add_fault("status", status=400, match=creates)
    bench.control.add_fault("fail", code="server_error", match=creates, after=1)
    ends, error = await drive(bench, rows(bench, 10))

    assert error is None
    outcomes = sorted(end.settled.attempt.outcome for end in ends)
    assert outcomes == [Outcome.COMPLETED] * 8 + [Outcome.FAILED, Outcome.REFUSED]


async def test_no_network_stops_the_shard(bench):
    away = await bench.again(base_url="http://127.0.0.1:9/v1")
    ends, error = await drive(away, rows(bench, 50), max_in_flight=2)

    assert isinstance(error, EndpointUnreachable)
    assert len(ends) <= 4
    assert {one.state for one in await bench.attempts()} == {AttemptState.PLANNED}


async def test_the_first_reason_is_the_one_that_is_raised(bench):
    bench.control.add_fault("status", status=401, times=1)
    bench.control.add_fault("status", status=402, times=None)
    _, error = await drive(bench, rows(bench, 10), max_in_flight=1)
    assert isinstance(error, CredentialsRefused)


async def test_a_source_that_cannot_be_read_on_ends_the_shard(bench):
    def breaking():
        yield from rows(bench, 2)
        raise RequestInvalid("Line 4 is broken.")

    _, error = await drive(bench, breaking(), max_in_flight=1)
    assert isinstance(error, RequestInvalid)
    assert len(bench.posts()) == 2


async def test_rows_in_flight_are_begun_with_at_once_whatever_the_limit(bench):
    bench.control.set_latency("constant:120")
    first = await bench.again(clock=EmulatorsClock(bench.control))
    for call in rows(bench, 6):
        await first.responses.create(call)
    calls = rows(bench, 9, run=(2,), execution="e2")
    late = await bench.again(clock=EmulatorsClock(bench.control))
    ends, error = await drive(late, calls, 2, in_flight={call.draft.name for call in calls[:6]})

    assert error is None
    assert [end.settled.found for end in ends[:6]] == [Found.IN_FLIGHT] * 6
    assert {end.settled.found for end in ends[6:]} == {Found.NOTHING}
    requests = [(one["method"], one["path"]) for one in bench.control.journal()][6:]
    assert [method for method, _ in requests[:6]] == ["GET"] * 6
    assert len({path for _, path in requests[:6]}) == 6
    assert len(bench.posts()) == 9


async def test_shards_that_share_a_gate_share_its_limit(bench):
    gate, under_way = InFlight(3), []

    def noted(calls):
        for call in calls:
            under_way.append(gate.taken)
            yield RowCall(call)

    calls = rows(bench, 20)
    shards = [
        drive_shard(bench.responses, noted(half), gate=gate, ended=[].append)
        for half in (calls[:10], calls[10:])
    ]
    await asyncio.gather(*shards)
    assert (max(under_way), gate.taken) == (3, 0)
    assert bench.accepted() == 20


async def test_a_cancelled_shard_leaves_the_gate_as_it_was(bench):
    bench.control.set_latency("constant:3600")
    slow = await bench.again(clock=ManualClock())
    gate = InFlight(4)
    shard = asyncio.create_task(
        drive_shard(slow.responses, map(RowCall, rows(bench, 8)), gate=gate, ended=print)
    )
    while bench.accepted() < 4:  # noqa: ASYNC110 - the emulator lives in another thread
        await asyncio.sleep(0.01)
    shard.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shard
    await asyncio.sleep(0)
    assert gate.taken == 0


async def test_a_row_costs_four_commits_and_no_read_of_the_ledger(bench):
    """A poll that sees the response at work is not written where nobody is shown it."""
    bench.control.set_latency("constant:5")
    silent = await bench.again(clock=EmulatorsClock(bench.control))
    commits, reads = [], []
    writes, readings = silent.ledger._writes.sync_engine, silent.ledger._reads.sync_engine
    event.listen(writes, "commit", commits.append)
    event.listen(readings, "before_cursor_execute", lambda *what: reads.append(what[2]))
    row = bench.call(row="r", policy=replace(policy(), poll=PollPolicy(notes=False, learns=False)))
    ends, _ = await drive(silent, [row])

    assert ends[0].settled.attempt.polls > 2
    assert (len(commits), reads) == (4, [])
