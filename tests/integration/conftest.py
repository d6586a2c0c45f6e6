from __future__ import annotations

import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session", autouse=True)
def prefect_server():
    """Run a real Prefect server for the whole session; yield its API URL."""
    with prefect_test_harness(server_startup_timeout=90):
        yield PREFECT_API_URL.value()
