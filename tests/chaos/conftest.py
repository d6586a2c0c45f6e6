from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from prefect_responses.clock import SystemClock
from prefect_responses.emulator.server import EmulatorThread
from prefect_responses.ledger import upgrade

sys.path.insert(0, str(Path(__file__).parent))

from databases import new_database
from lab import Lab
from nursery import Nursery


@pytest.fixture(scope="session")
def nursery(prefect_server):
    """Keep one process from which those of the flow runs are forked."""
    nursery = Nursery(prefect_server)
    yield nursery
    nursery.close()


@pytest.fixture
def ledger_database(request):
    """Give the URL of a new ledger on PostgreSQL if the test says so; else nothing: a file."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield ""
        return
    with new_database(os.environ["PREFECT_RESPONSES_TEST_POSTGRES_URL"]) as url:
        asyncio.run(upgrade(url, SystemClock()))
        yield url


@pytest.fixture
def lab(prefect_server, nursery, tmp_path, ledger_database):
    """Give a fresh emulator and ledger beside the session's Prefect server."""
    with EmulatorThread(seed=1, latency="constant:0.5") as emulator:
        lab = Lab(prefect_server, emulator, tmp_path, nursery, database=ledger_database)
        try:
            yield lab
        finally:
            lab.stop_all()
