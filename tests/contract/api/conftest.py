"""One emulator on a real socket for all contract tests, reset before each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from prefect_responses.emulator.server import EmulatorThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.emulator.remote_control import RemoteControl


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(seed=7) as thread:
        yield thread


@pytest.fixture
def control(emulator: EmulatorThread) -> RemoteControl:
    emulator.control.reset()
    return emulator.control


@pytest.fixture
def client(
    emulator: EmulatorThread,
    control: RemoteControl,  # noqa: ARG001 - asked for, so that the emulator is reset
) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=emulator.url, api_key="sk-emulated", max_retries=0) as sdk:
        yield sdk
