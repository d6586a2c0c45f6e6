from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prefect_responses.emulator.server import EmulatorThread

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
sys.path.insert(0, str(Path(__file__).parent))

from worker_lab import NEVER, WorkerLab


@pytest.fixture
def lab(prefect_server, tmp_path):
    """Give an emulator, a ledger and a work pool of their own beside the session's Prefect server.

    A response takes until `lab.answer_all()`.
    """
    with EmulatorThread(seed=1, latency=f"constant:{NEVER:.0f}") as emulator:
        lab = WorkerLab(prefect_server, emulator, tmp_path, None)
        try:
            yield lab
        finally:
            lab.stop_all()
