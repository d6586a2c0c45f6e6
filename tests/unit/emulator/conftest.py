"""One emulator on a real socket for the tests of the emulator, reset before each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from prefect_responses.emulator.server import EmulatorThread

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.emulator.remote_control import RemoteControl


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(seed=7) as thread:
        yield thread


@pytest.fixture
def control(emulator: EmulatorThread) -> RemoteControl:
    emulator.control.reset(seed=7)
    return emulator.control


@pytest.fixture
def http(
    emulator: EmulatorThread,
    control: RemoteControl,  # noqa: ARG001 - asked for, so that the emulator is reset
) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer sk-emulated"}
    with httpx.Client(base_url=emulator.url, headers=headers, timeout=10) as client:
        yield client
