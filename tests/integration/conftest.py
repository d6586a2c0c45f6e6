"""A Prefect server, a Responses API and a ledger: all real, all local."""

from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prefect_responses import ResponseLedger, ResponsesCredentials
from prefect_responses.clock import SystemClock
from prefect_responses.emulator.server import EmulatorThread
from prefect_responses.ledger import upgrade

sys.path.insert(0, str(Path(__file__).parent))

#: Searched for in everything that is written; it must be found nowhere.
API_KEY = "sk-integration-secret-0123456789"


@pytest.fixture(scope="session", autouse=True)
def _everything_needs_prefect(prefect_server):
    """Use the session's Prefect server in every test of this folder."""


@pytest.fixture(scope="session")
def shared_emulator():
    with EmulatorThread(seed=7) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory) -> Path:
    """A migrated ledger to copy: quicker than migrating for each test."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    asyncio.run(upgrade(f"sqlite:///{path}", clock=SystemClock()))
    return path


@dataclass
class World:
    """What a flow runs against, by blocks or by the environment."""

    emulator: EmulatorThread
    ledger_file: Path

    api_key: str = API_KEY

    @property
    def control(self):
        return self.emulator.control

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_file}"

    @property
    def blocks(self) -> dict[str, Any]:
        return {
            "credentials": ResponsesCredentials(api_key=API_KEY, base_url=self.emulator.url),
            "ledger": ResponseLedger(url=self.ledger_url),
        }

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": API_KEY,
            "OPENAI_BASE_URL": self.emulator.url,
            "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": self.ledger_url,
        }

    def posts(self) -> int:
        """Return how many creates reached the server, accepted or not."""
        return sum(
            entry["path"] == "/v1/responses" for entry in self.control.journal(method="POST")
        )

    def requests(self) -> int:
        return len(self.control.journal())


@pytest.fixture
def world(shared_emulator, empty_ledger, tmp_path, monkeypatch):
    """A fresh API and ledger, found by the environment too."""
    shared_emulator.control.reset(7)
    shared_emulator.control.start_clock()
    world = World(shared_emulator, tmp_path / "ledger.db")
    shutil.copy(empty_ledger, world.ledger_file)
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    return world
