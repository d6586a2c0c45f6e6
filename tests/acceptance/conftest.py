from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def prefect_server():
    """Run a real Prefect server for the whole session; yield its API URL."""
    with prefect_test_harness(server_startup_timeout=90):
        yield PREFECT_API_URL.value()
