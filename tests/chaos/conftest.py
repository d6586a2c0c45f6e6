from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prefect_responses.emulator.server import EmulatorThread

sys.path.insert(0, str(Path(__file__).parent))

from lab import Lab
from nursery import Nursery


@pytest.fixture(scope="session")
def nursery(prefect_server):
    """Keep one process from which those of the flow runs are forked."""
    nursery = Nursery(prefect_server)
    yield nursery
    nursery.close()


@pytest.fixture
def lab(prefect_server, nursery, tmp_path):
    """Give a fresh emulator and ledger beside the session's Prefect server."""
    with EmulatorThread(seed=1, latency="constant:0.5") as emulator:
        lab = Lab(prefect_server, emulator, tmp_path, nursery)
        try:
            yield lab
        finally:
            lab.stop_all()
