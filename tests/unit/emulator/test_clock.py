"""The clock is the machine's, or stands still until it is advanced."""

from __future__ import annotations

import asyncio
import time

import pytest

from prefect_responses.emulator.clock import Clock, ClockMode, ClockStoppedError


async def test_a_virtual_clock_moves_only_when_advanced() -> None:
    clock = Clock()
    clock.set_mode(ClockMode.VIRTUAL, 1000.0)
    waiting = asyncio.create_task(clock.wait(5))
    await asyncio.sleep(0.01)
    clock.advance(4.9)
    await asyncio.sleep(0.01)
    assert not waiting.done()

    clock.advance(0.1)
    await asyncio.wait_for(waiting, 1)

    assert clock.now() == pytest.approx(1005)


async def test_a_real_clock_waits_for_real_and_can_jump() -> None:
    clock = Clock()
    began = time.monotonic()
    await clock.wait(0.05)
    assert time.monotonic() - began >= 0.045

    waiting = asyncio.create_task(clock.wait(3600))
    await asyncio.sleep(0)
    clock.advance(3600)
    await asyncio.wait_for(waiting, 1)

    clock.restart()
    assert clock.now() == pytest.approx(time.time(), abs=1)


async def test_time_goes_on_from_where_it_stood() -> None:
    clock = Clock()
    clock.set_mode(ClockMode.VIRTUAL, 1000.0)
    clock.set_mode(ClockMode.REAL)

    assert 1000 <= clock.now() < 1001


async def test_an_ended_clock_lets_nobody_wait() -> None:
    clock = Clock()
    waiting = asyncio.create_task(clock.wait(3600))
    await asyncio.sleep(0)
    clock.end()

    with pytest.raises(ClockStoppedError):
        await waiting
