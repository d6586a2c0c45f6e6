"""Fixtures of the engine's tests; see `engine_bench`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from prefect_responses.clock import SystemClock
from prefect_responses.emulator.server import EmulatorThread
from prefect_responses.ledger import upgrade
from prefect_responses.testing import ManualClock

sys.path.insert(0, str(Path(__file__).parent))

from engine_bench import EmulatorsClock, open_bench


@pytest.fixture(scope="session")
def shared_emulator():
    with EmulatorThread(seed=7) as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator):
    """The session's emulator as if it had just been started."""
    shared_emulator.control.reset(7)
    shared_emulator.control.start_clock()
    return shared_emulator


@pytest.fixture(scope="session")
async def empty_ledger(tmp_path_factory) -> Path:
    """A migrated ledger to copy: quicker than migrating for each test."""
    folder = tmp_path_factory.mktemp("template")
    await upgrade(f"sqlite:///{folder}/ledger.db", clock=SystemClock())
    return folder / "ledger.db"


@pytest.fixture
async def opened():
    """What was opened, closed at the end in reverse order."""
    opened: list[Any] = []
    yield opened
    for one in reversed(opened):
        await one.aclose()


@pytest.fixture
async def bench(emulator, empty_ledger, tmp_path, opened):
    """An engine whose waits take no time, whatever their length."""
    shutil.copy(empty_ledger, tmp_path / "ledger.db")
    url = f"sqlite:///{tmp_path}/ledger.db"
    return await open_bench(url, emulator, ManualClock(jumps=True), opened)


@pytest.fixture
async def hourly(bench):
    """An engine and an emulator that share one virtual clock; responses take an hour."""
    bench.control.set_latency("constant:3600")
    return await bench.again(clock=EmulatorsClock(bench.control))
