"""A Prefect server of a test's own, whose automations miss nothing.

On a SQLite file a Prefect server that is busy loses events for its automations ("database is
locked"); in memory it has one connection, and so nobody to wait for.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 60.0


@contextmanager
def quiet_server(folder: Path) -> Iterator[str]:
    """Run a server for as long as the block lasts; yield its API's URL."""
    port = _free_port()
    command = ("server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui")
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", *command],
            env={**os.environ, **_settings(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield _url_when_up(port)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _settings(folder: Path) -> dict[str, str]:
    memory = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"
    return {
        "PREFECT_HOME": str(folder / "server"),
        "PREFECT_API_DATABASE_CONNECTION_URL": memory,
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    }


def _url_when_up(port: int) -> str:
    url, end = f"http://127.0.0.1:{port}/api", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310
            return url
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer.")
