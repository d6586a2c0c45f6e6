"""Requests leave by slots that all processes share: in order, and in storms too."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from engine_bench import EmulatorsClock, Recorder, policy
from pydantic import SecretStr

from prefect_responses.attempt import Endpoint
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.rate_limits import HOLD, MINUTE, Bucket, RateLimits
from prefect_responses.engine.admission import SharedAdmission, Unlimited
from prefect_responses.engine.connections import Connection, LedgerAddress, open_responses
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.rate_lanes import ASK_EVERY, LOOK_EVERY, OwnRate
from prefect_responses.engine.refused_rows import RefusedRows
from prefect_responses.engine.runtime import Runtime
from prefect_responses.engine.shards import RowCall, drive_shard
from prefect_responses.errors import LedgerError, LedgerUnavailable
from prefect_responses.ledger import Ledger
from prefect_responses.ledger.rate_limits import SharedLimits, limit_name
from prefect_responses.statuses import Outcome
from prefect_responses.testing import ManualClock
from prefect_responses.wire.answers import Answer, AnswerHead
from prefect_responses.wire.requests import OPENAI

ENDPOINT = Endpoint("https://api.example.com/v1")
TASK = "prefect-responses rate limits"
REFUSED = Answer(429, b"{}")
ACCEPTED = Answer(200, b"{}")


def call(tokens: int = 0, model: str = "m") -> Any:
    return SimpleNamespace(draft=SimpleNamespace(model=model), tokens=tokens)


async def sent(admission, tokens: int = 0) -> None:
    async with admission.admit(call(tokens)):
        pass


def headers(limit: int, remaining: int, kind: str = "requests") -> dict[str, str]:
    return {f"limit-{kind}": str(limit), f"remaining-{kind}": str(remaining)}


@dataclass
class Counted:
    """The shared limits of a real ledger, and how often they were asked."""

    shared: SharedLimits
    changes: int = 0
    reads: int = 0
    #: What the next questions meet instead of an answer.
    error: LedgerError | None = None

    async def change(self, name, decide, now=None):
        self.changes += 1
        if self.error is not None:
            raise self.error
        return await self.shared.change(name, decide, now)

    async def read(self, name):
        self.reads += 1
        if self.error is not None:
            raise self.error
        return await self.shared.read(name)


@pytest.fixture
async def ledger(empty_ledger, tmp_path, opened):
    shutil.copy(empty_ledger, tmp_path / "ledger.db")
    ledger = await Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=SystemClock())
    opened.append(ledger)
    return ledger


@pytest.fixture
def clock():
    return ManualClock(jumps=True)


@pytest.fixture
def counted(ledger):
    return Counted(ledger.rate_limits)


@pytest.fixture
def process(counted, clock):
    """Make the admission of one process; all of them share a ledger and a clock."""

    def make(limits: RateLimits | None = None, clock: Any = clock) -> SharedAdmission:
        return SharedAdmission(counted, ENDPOINT, clock, limits or RateLimits(), one_clock=True)

    return make


def at_work() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == TASK]


async def until_at_rest() -> None:
    await asyncio.gather(*at_work())


async def bucket_of(counted, model="m") -> Bucket:
    return (await counted.shared.read(limit_name(ENDPOINT, model)))[0]


async def share(counted, bucket, model="m") -> None:
    await counted.shared.change(limit_name(ENDPOINT, model), lambda *_: (bucket, None))


async def times_of(admission, clock, count, tokens=0) -> list[float]:
    """Return when each of so many requests left that came at once."""
    start, left = clock.now(), []

    async def one(place):
        await sent(admission, tokens)
        left.append((place, clock.now() - start))

    await asyncio.gather(*(one(place) for place in range(count)))
    await until_at_rest()
    assert [place for place, _ in left] == list(range(count))
    return [moment for _, moment in left]


async def test_unlimited_lets_all_leave_and_learns_nothing():
    await sent(Unlimited())
    Unlimited().seen(REFUSED, "m")


# --- as long as nothing is known ------------------------------------------------------------------


async def test_where_no_limit_is_known_it_costs_one_look(process, counted, clock):
    admission = process()
    assert await times_of(admission, clock, 50) == [0.0] * 50
    for _ in range(1000):
        await sent(admission)
        admission.seen(ACCEPTED, "m")
        admission.seen(AnswerHead(rate_limits=headers(10_000, 9_000)), "m")
        admission.seen(Answer(502, b"Bad gateway"), "m")
    assert (counted.reads, counted.changes, at_work()) == (1, 0, [])


async def test_it_looks_now_and_then_what_others_learned(process, counted, clock):
    admission = process()
    await sent(admission)
    await share(counted, Bucket(paused_until=clock.now() + 60))
    await clock.sleep(LOOK_EVERY)
    await sent(admission)  # it looks beside this one
    await until_at_rest()
    assert counted.reads == 2
    assert await times_of(admission, clock, 1) == [pytest.approx(60 - LOOK_EVERY, abs=0.1)]


async def test_a_look_that_fails_stops_nobody(process, counted, clock):
    admission = process()
    await sent(admission)
    await clock.sleep(LOOK_EVERY)
    counted.error = LedgerUnavailable()
    await sent(admission)
    await until_at_rest()
    assert counted.reads == 2


async def test_no_more_leave_than_can_be_on_the_wire(process, counted):
    """Who would only wait for a turn does not leave: a pause still reaches it."""
    admission, left = process(), []
    all_out, answered = asyncio.Event(), asyncio.Event()

    async def one(place):
        async with admission.admit(call()):
            left.append(place)
            if len(left) == 16:
                all_out.set()
            await answered.wait()

    async with asyncio.TaskGroup() as senders:
        tasks = [senders.create_task(one(place)) for place in range(50)]
        await all_out.wait()
        await until_at_rest()
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        await asyncio.sleep(0)
        assert left == list(range(17))
        answered.set()
    assert left == list(range(50))
    assert counted.reads == 1


# --- slots ----------------------------------------------------------------------------------------


async def test_requests_leave_in_order_and_apart(process, counted, clock):
    times = await times_of(process(RateLimits(60)), clock, 20)
    assert times[0] == 0.0
    assert all(later - earlier > 0.9 for earlier, later in pairwise(times[1:]))
    assert times[-1] == pytest.approx(19 * MINUTE / 60, abs=1)
    assert counted.changes <= times[-1] / ASK_EVERY + 2


async def test_a_few_questions_a_second_are_enough_for_any_rate(process, counted, clock):
    admission, count = process(RateLimits(60_000)), 0
    start = clock.now()
    while clock.now() < start + 10:
        await asyncio.gather(*(sent(admission) for _ in range(50)))
        await clock.sleep(0.1)
        count += 50
    await until_at_rest()
    assert count / (clock.now() - start) > 300
    assert counted.changes < 25


async def test_tokens_are_counted(process, clock):
    limits = RateLimits(tokens_per_minute=60 * 1000)
    times = await times_of(process(limits), clock, 10, tokens=500)
    assert times[-1] == pytest.approx(9 * 500 / 1000 * MINUTE / 60, abs=1)


async def test_a_slot_that_was_meant_for_fewer_tokens_does_not_suffice(process, clock):
    """What is given out ahead is sized by what came lately; a larger request takes more of it."""
    admission, left = process(RateLimits(tokens_per_minute=60_000)), []
    for tokens in (10, 10, 10, 10, 3000, 3000, 10):
        await sent(admission, tokens)
        left.append(clock.now())
        await clock.sleep(0.3)
    await until_at_rest()
    assert [left[place] - left[place - 1] for place in (5, 6)] == pytest.approx([3.1, 3.1], abs=0.6)


async def test_who_is_cancelled_leaves_nothing_behind(process, clock):
    clock.jumps = False
    admission = process(RateLimits(60))
    await sent(admission)
    waiting = [asyncio.create_task(sent(admission)) for _ in range(3)]
    await clock.until_asleep()
    waiting[0].cancel()
    waiting[2].cancel()
    await asyncio.sleep(0)
    await clock.advance(1.1)
    await waiting[1]
    assert [task.cancelled() for task in waiting] == [True, False, True]
    await until_at_rest()


async def test_when_the_last_one_is_cancelled_nothing_waits_any_more(process, clock):
    clock.jumps = False
    admission = process(RateLimits(1))
    await sent(admission)
    waiting = asyncio.create_task(sent(admission))
    await clock.until_asleep()
    waiting.cancel()
    await until_at_rest()
    assert waiting.cancelled()


async def test_a_slot_given_to_one_who_is_cancelled_goes_to_the_next(process, clock):
    clock.jumps = False
    admission = process(RateLimits(60))
    await sent(admission)
    first, second = (asyncio.create_task(sent(admission)) for _ in range(2))
    await clock.until_asleep()

    def cancel_when_it_has_its_slot(waiter=first):
        lane = admission._lane("m")
        if len(lane._waiting) == 1:
            return waiter.cancel()
        return asyncio.get_running_loop().call_soon(cancel_when_it_has_its_slot)

    cancel_when_it_has_its_slot()
    await clock.advance(1.1)
    await second
    await until_at_rest()
    assert first.cancelled()


async def test_all_who_wait_hear_that_the_ledger_is_away(process, counted):
    admission = process(RateLimits(60))
    counted.error = LedgerUnavailable()
    waiting = [asyncio.create_task(sent(admission)) for _ in range(3)]
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [LedgerUnavailable] * 3

    counted.error = None
    await sent(admission)


# --- what answers say -----------------------------------------------------------------------------


async def test_each_model_has_limits_of_its_own(process, clock):
    admission = process()
    admission.seen(replace(REFUSED, retry_after=60.0), "other")
    await until_at_rest()
    assert await times_of(admission, clock, 3) == [0.0] * 3


async def test_a_pause_holds_for_all_and_ends_in_no_herd(process, counted, clock):
    one, other = process(RateLimits(60)), process(RateLimits(60))
    await sent(one)
    one.seen(replace(REFUSED, retry_after=30.0, rate_limits=headers(60, 0)), "m")
    await until_at_rest()

    times = await times_of(other, clock, 5)
    assert times[0] == pytest.approx(30, abs=0.5)
    assert all(later - earlier > 0.9 for earlier, later in pairwise(times))
    assert (await bucket_of(counted)).pace is None


async def test_what_is_scarce_is_kept_to_until_plenty_is_left(process, counted, clock):
    admission = process()
    await times_of(admission, clock, 5)
    admission.seen(AnswerHead(rate_limits=headers(6000, 2900)), "m")
    await until_at_rest()
    assert (await bucket_of(counted)).requests_per_minute == 6000
    assert (await times_of(admission, clock, 101))[-1] == pytest.approx(MINUTE / 60, abs=0.6)

    admission.seen(AnswerHead(rate_limits=headers(6000, 5900)), "m")
    await clock.sleep(ASK_EVERY)
    await times_of(admission, clock, 40)
    assert (await bucket_of(counted)).requests_per_minute is None
    assert await times_of(admission, clock, 100) == [0.0] * 100


async def test_a_server_that_no_longer_names_its_limit_is_believed(process, counted, clock):
    admission = process()
    await sent(admission)
    admission.seen(AnswerHead(rate_limits=headers(60, 20)), "m")
    await times_of(admission, clock, 3)
    admission.seen(Answer(502, b""), "m")
    await times_of(admission, clock, 3)
    assert (await bucket_of(counted)).requests_per_minute == 60
    admission.seen(ACCEPTED, "m")
    admission.seen(Answer(400, b"{}"), "m")
    await times_of(admission, clock, 3)
    assert (await bucket_of(counted)).requests_per_minute is None


async def test_a_storm_without_numbers_slows_all_down_once(process, counted, clock):
    one, other = process(), process()
    for _ in range(100):
        await sent(one)
        await sent(other)
        await clock.sleep(0.05)
    for _ in range(16):
        one.seen(REFUSED, "m")
        other.seen(REFUSED, "m")
    await until_at_rest()
    # Each had sent twenty a second.
    pace = (await bucket_of(counted)).pace
    assert pace == pytest.approx(2 * 1200 / 2, rel=0.2)

    for admission in (one, other):
        times = await times_of(admission, clock, 40)
        assert times[-1] - times[0] == pytest.approx(39 * MINUTE / pace, abs=1.0)


async def test_what_is_not_told_is_told_later(process, counted, clock):
    admission = process(RateLimits(60))
    await sent(admission)
    counted.error = LedgerUnavailable()
    admission.seen(replace(REFUSED, retry_after=30.0), "m")
    await until_at_rest()
    counted.error = None
    await clock.sleep(1)
    assert await times_of(admission, clock, 1) == [pytest.approx(29, abs=0.5)]
    assert (await bucket_of(counted)).pace == 30


async def test_windows_that_no_server_has_stop_nobody(process, counted, clock):
    for window in ("1e300", "1764000000"):
        admission = process()
        await sent(admission)
        said = headers(100, 0) | {"renewalperiod-requests": window}
        admission.seen(AnswerHead(rate_limits=said), "m")
        await until_at_rest()
        assert (await times_of(admission, clock, 3))[-1] < 10
    assert (await bucket_of(counted)).requests_per_minute == 100


async def test_what_was_stored_of_such_a_window_heals(process, counted, clock):
    far = clock.now() + 1e9
    await share(counted, Bucket(far, far, 1e-6, 1e-6, None, far))
    admission = process(RateLimits(600, 600_000))
    assert (await times_of(admission, clock, 20))[-1] < 10
    assert (await bucket_of(counted)).requests_at < clock.now() + 10


async def test_a_limit_that_is_raised_or_gone_holds_nobody_up(process, counted, clock):
    """What was sent as a thousand tokens had a minute is owed to two millions a minute."""
    admission = process(RateLimits(600))
    owing = Bucket(tokens_at=clock.now() + 500, tokens_per_minute=1000)
    for said in (headers(2_000_000, 900_000, "tokens"), {}):
        await share(counted, owing)
        admission.seen(AnswerHead(rate_limits=said), "m")
        assert await times_of(admission, clock, 1, tokens=10) == [pytest.approx(0, abs=0.5)]


# --- one row that is refused again and again ------------------------------------------------------


async def pace_after(admission, counted, clock, refusals, *, between):
    """Return the pace after rows were refused in turn, all accepted that were sent between."""
    for row in refusals:
        await clock.sleep(HOLD + 1)
        await sent(admission)
        admission.seen(replace(REFUSED, retry_after=2.0), "m", row)
        await until_at_rest()
        for place in range(between):
            admission.seen(ACCEPTED, "m", f"other-{place}")
    return (await bucket_of(counted)).pace_at(clock.now())


async def test_one_row_that_is_refused_again_and_again_slows_down_the_others_once(
    process, counted, clock
):
    admission = process(RateLimits(600))
    await sent(admission)
    assert await pace_after(admission, counted, clock, ["bad"] * 12, between=1) > 300
    start = clock.now()
    admission.seen(replace(REFUSED, retry_after=600.0), "m", "bad")
    await sent(admission)
    assert clock.now() - start < 1


async def test_two_such_rows_do_not_either(process, counted, clock):
    admission = process(RateLimits(600))
    await sent(admission)
    assert await pace_after(admission, counted, clock, ["bad", "worse"] * 8, between=9) > 150


async def test_rows_that_are_refused_beside_each_other_are_a_storm(process, counted, clock):
    admission = process(RateLimits(600))
    await sent(admission)
    rows = [f"r{place % 4}" for place in range(12)]
    assert await pace_after(admission, counted, clock, rows, between=5) < 20


async def test_a_row_that_was_accepted_begins_anew(process, counted, clock):
    admission = process(RateLimits(600))
    await sent(admission)
    await pace_after(admission, counted, clock, ["bad"], between=0)
    admission.seen(ACCEPTED, "m", "bad")
    assert await pace_after(admission, counted, clock, ["bad"], between=0) < 200


async def test_numbers_that_explain_a_refusal_pause_all_each_time(process, clock):
    admission = process(RateLimits(600))
    for _ in range(3):
        await sent(admission)
        start = clock.now()
        explained = replace(REFUSED, retry_after=30.0, rate_limits=headers(600, 0))
        admission.seen(explained, "m", "bad")
        await sent(admission)
        assert clock.now() - start >= 30


def test_no_more_refused_rows_are_kept_in_mind_than_needed():
    rows = RefusedRows(most=2)
    assert [rows.is_its_own(row) for row in ("a", "b", "c")] == [False] * 3
    rows.accepted("x")
    assert not rows.is_its_own("a")
    for _ in range(8):
        rows.accepted("x")
    assert rows.is_its_own("c")


def test_a_process_counts_its_own_rate():
    rate, now = OwnRate(), 1000.0
    for _ in range(50):
        rate.count(now)
        now += 0.1
    assert rate.per_minute(now) == pytest.approx(600, rel=0.1)
    rate.count(now + 6)
    assert rate.per_minute(now + 6) == pytest.approx(50 / 11 * 60, rel=0.1)
    rate.count(now + 600)
    assert rate.per_minute(now + 600) == 60.0


# --- the whole engine -----------------------------------------------------------------------------


async def two_engines(bench, limits=None):
    """Engines of two processes on one ledger, on the emulator's virtual clock."""
    clock, made = EmulatorsClock(bench.control), []
    for _ in range(2):
        bench = await bench.again(clock=clock)
        shared = bench.ledger.rate_limits
        bench.responses = DurableResponses(
            bench.ledger,
            bench.api,
            clock,
            OPENAI,
            Recorder(),
            admission=SharedAdmission(
                shared, bench.endpoint, clock, limits or RateLimits(), one_clock=True
            ),
        )
        made.append(bench)
    return made


async def drive_all(benches, rows):
    """Let each engine drive rows of its own; return how they ended, by name."""
    ends = []

    async def drive(place, bench):
        calls = [
            bench.call(f"Row {n} of {place}.", row=f"r{place}-{n}", policy=policy())
            for n in range(rows)
        ]
        gate = InFlight(8)
        await drive_shard(bench.responses, map(RowCall, calls), gate=gate, ended=ends.append)

    await asyncio.gather(*(drive(place, bench) for place, bench in enumerate(benches)))
    return ends


def assert_each_ended_once(ends, bench, count):
    assert len({end.call.draft.name for end in ends}) == len(ends) == count
    assert {end.settled.attempt.outcome for end in ends} == {Outcome.COMPLETED}
    assert {end.settled.attempt.number for end in ends} == {1}
    assert bench.accepted() == count


async def test_engines_stay_within_a_limit_that_the_server_enforces(bench):
    bench.control.change_settings(requests_per_minute=20)
    benches = await two_engines(bench, RateLimits(20))
    assert_each_ended_once(await drive_all(benches, 20), benches[0], 40)
    assert len(benches[0].posts()) == 40


async def test_engines_learn_the_limit_from_the_headers(bench):
    bench.control.change_settings(requests_per_minute=20)
    benches = await two_engines(bench)
    assert_each_ended_once(await drive_all(benches, 20), benches[0], 40)
    # What left before the first answer, and hardly anything after it.
    assert len(benches[0].posts()) - 40 <= 4


async def test_a_row_that_is_too_large_for_its_limit_ends_and_slows_nobody_down(bench):
    bench.control.add_fault(
        "status",
        status=429,
        code="rate_limit_exceeded",
        type="tokens",
        message="Request too large for m on tokens per min (TPM): Limit 30000, Requested 90000.",
        times=None,
        match={"body_contains": "Row 3 of 0."},
    )
    benches = await two_engines(bench)
    ends = await drive_all(benches, 10)
    outcomes = [end.settled.attempt.outcome for end in ends if end.settled is not None]
    assert outcomes.count(Outcome.COMPLETED) == 19
    assert outcomes.count(Outcome.REFUSED) == 1
    assert len(benches[0].posts()) == 20
    model = ends[0].call.draft.model
    shared, _ = await bench.ledger.rate_limits.read(limit_name(bench.endpoint, model))
    assert (shared.pace, shared.paused_until) == (None, 0.0)


@pytest.mark.parametrize("retry_after", [None, 20])
async def test_a_storm_of_refusals_loses_and_doubles_no_row(bench, retry_after):
    fault = {"status": 429, "code": "rate_limit_exceeded", "times": 30}
    if retry_after is not None:
        fault["retry_after"] = retry_after
    bench.control.add_fault("status", **fault)
    benches = await two_engines(bench)
    assert_each_ended_once(await drive_all(benches, 30), benches[0], 60)
    assert len(benches[0].posts()) == 90


async def test_the_engine_of_a_connection_keeps_to_limits(emulator, empty_ledger, tmp_path):
    shutil.copy(empty_ledger, tmp_path / "ledger.db")
    connection = Connection(Endpoint(emulator.url), SecretStr("sk-1"), "environment")
    address, runtime = LedgerAddress(f"sqlite:///{tmp_path}/ledger.db"), Runtime()

    async def open_three():
        return [
            await open_responses(runtime, connection, address, limits=limits)
            for limits in (RateLimits(60), RateLimits(60), None)
        ]

    try:
        first, again, unlimited = await runtime.arun(open_three())
    finally:
        runtime.close()
    assert first is again
    assert first is not unlimited
