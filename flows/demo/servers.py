"""Start what the demo needs on loopback, and stop all of it however the demo ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0


@dataclass
class Servers:
    """Child processes with their logs in one folder; leaving the context ends them all.

    Args:
        folder: where logs and state lie.
        environment: what every child gets beside this process's own environment.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, name: str, *command: str, extra: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `python *command*` in a process group of its own, its output in *name*.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, *command],
                env={**os.environ, **self.environment, **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def start_emulator(self, *, latency: str) -> str:
        """Start the Responses API; return its origin, such as `http://127.0.0.1:5000`."""
        port_file = self.folder / "emulator.port"
        module = ("-m", "prefect_responses.emulator")
        options = ("--seed", "7", "--latency", latency, "--port-file", str(port_file))
        child = self.start("emulator", *module, *options)
        wait_until(port_file.exists, child)
        return f"http://127.0.0.1:{port_file.read_text()}"

    def start_prefect(self) -> str:
        """Start a Prefect server on a free port; return the URL of its API."""
        port = _free_port()
        command = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
        child = self.start("prefect-server", *command, "--no-ui")
        url = f"http://127.0.0.1:{port}/api"
        wait_until(lambda: _answers(f"{url}/health"), child)
        return url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for child in reversed(self._children):
            end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """End *child* and whatever it started: politely first, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_TIMEOUT)


def wait_until(
    happened: Callable[[], bool],
    child: subprocess.Popen[bytes],
    *,
    timeout: float = START_TIMEOUT,
    every: float = 0.05,
) -> None:
    """Wait until something *happened*, as long as *child* lives.

    Raises:
        RuntimeError: the child ended first, or it took longer than *timeout* seconds.
    """
    end_at = time.monotonic() + timeout
    while not happened():
        if child.poll() is not None:
            raise RuntimeError(f"{child.args!r} ended with {child.returncode}; see its log.")
        if time.monotonic() > end_at:
            raise RuntimeError(f"{child.args!r} did not get there in {timeout:.0f} seconds.")
        time.sleep(every)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback, http
            return True
    except (OSError, urllib.error.URLError):
        return False
