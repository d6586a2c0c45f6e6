from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
sys.path.insert(0, str(Path(__file__).parent))

from worker_lab import lab_at


@pytest.fixture
def lab(prefect_server, tmp_path):
    """Give an emulator, a ledger and a work pool of their own beside the session's Prefect server.

    A response takes until `lab.answer_all()`.
    """
    with lab_at(prefect_server, tmp_path) as lab:
        yield lab
