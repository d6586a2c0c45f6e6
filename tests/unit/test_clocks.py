from __future__ import annotations

import asyncio
import time

import pytest

from prefect_responses.clock import SystemClock
from prefect_responses.testing import ManualClock


async def test_a_manual_clock_stands_still_until_it_is_moved():
    clock = ManualClock(100.0)
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.until_asleep()

    await clock.advance(9.9)
    await asyncio.sleep(0)
    assert not sleeper.done()

    await clock.advance(0.1)
    await sleeper
    assert clock.now() == pytest.approx(110.0)
    assert clock.slept == [10]


async def test_each_sleeper_has_its_own_time():
    clock = ManualClock()
    ended: list[str] = []

    async def sleep(name, seconds):
        await clock.sleep(seconds)
        ended.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep("late", 20))
        early = group.create_task(sleep("early", 10))
        await clock.until_asleep(2)
        await clock.advance(10)
        await early
        assert ended == ["early"]
        await clock.advance(10)


async def test_a_jumping_clock_takes_no_time():
    clock, began = ManualClock(jumps=True), time.monotonic()
    before = clock.now()

    await clock.sleep(86400)
    await clock.sleep(-5)

    assert clock.now() == before + 86400
    assert time.monotonic() - began < 5


async def test_a_cancelled_sleeper_is_forgotten():
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.until_asleep()
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(clock.until_asleep(), 0.01)


async def test_the_system_clock_tells_the_machines_time():
    clock = SystemClock()

    before = time.time()
    await clock.sleep(-1)
    await clock.sleep(0.001)

    assert before <= clock.now() <= time.time()
