"""The processes beside the measured one, the stub and a Prefect server, and their CPU seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import psutil

from flows.demo.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flows.demo.servers import Servers

HERE = Path(__file__).parent
#: Seconds that one measured process may take.
PATIENCE = 900.0
#: Seconds between two looks at a server that works off its backlog, and at most for all of it.
_LOOK, _LONGEST_BACKLOG = 1.0, 120.0
#: Processor seconds a second, above what it takes idle, under which a server has no backlog.
_QUIET = 0.08


class Stub:
    """The stub server, in a process of its own."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        port = folder / "stub.port"
        child = servers.start("stub", str(HERE / "stub_server.py"), str(port))
        wait_until(port.exists, child)
        self.origin = f"http://127.0.0.1:{port.read_text()}"

    def reset(self, *, median: float = 1.0, tail: float = 1.0, scale: float = 1.0) -> None:
        """Forget everything; new responses take as long as is told here."""
        self._ask(f"/reset?median={median}&tail={tail}&scale={scale}", "POST")

    def forget_counts(self) -> None:
        """Count from here on; responses stay."""
        self._ask("/reset", "POST")

    def stats(self) -> dict[str, Any]:
        """Return what was counted."""
        return self._ask("/stats", "GET")

    def _ask(self, path: str, method: str) -> dict[str, Any]:
        request = urllib.request.Request(self.origin + path, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read())


class PrefectServer:
    """A Prefect server, and what it takes above what it takes idle.

    Args:
        url: its API.
        process: it, or the one that started it.
        is_ours: it serves nobody else, so that it can be waited for.
    """

    def __init__(self, url: str, process: psutil.Process, *, is_ours: bool) -> None:
        self.url = url
        self._process = process
        self._is_ours = is_ours
        self._idle = 0.0

    @classmethod
    def start(cls, servers: Servers) -> Self:
        """Start one that serves nobody else."""
        url = servers.start_prefect()
        return cls(url, psutil.Process(servers._children[-1].pid), is_ours=True)

    @classmethod
    def running(cls, url: str) -> Self:
        """Use the one at *url*, whoever else does."""
        port = urlsplit(url).port
        listening = (
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        )
        return cls(url, psutil.Process(next(listening)), is_ours=False)

    def learn_idle(self, seconds: float) -> None:
        """Measure what it takes when nobody asks, once it has come to rest."""
        self.work_off()
        before = self._cpu()
        time.sleep(seconds)
        self._idle = (self._cpu() - before) / seconds

    def work_off(self) -> None:
        """Wait until it has worked off its backlog."""
        if not self._is_ours:
            return
        end, quiet = time.monotonic() + _LONGEST_BACKLOG, 0
        while quiet < 2 and time.monotonic() < end:
            before = self._cpu()
            time.sleep(_LOOK)
            taken = (self._cpu() - before) / _LOOK
            quiet = quiet + 1 if taken < self._idle + _QUIET else 0

    def taken(self) -> ServerTime:
        """Begin to count what it takes."""
        return ServerTime(self, self._cpu(), time.monotonic())

    def since(self, begun: ServerTime) -> float:
        """Return the processor seconds since *begun*, above idle, its backlog included."""
        self.work_off()
        idle = self._idle * (time.monotonic() - begun.at)
        return max(0.0, self._cpu() - begun.cpu - idle)

    def _cpu(self) -> float:
        total = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


@dataclass(frozen=True)
class ServerTime:
    """A moment from which a server's processor seconds count."""

    server: PrefectServer
    cpu: float
    at: float

    def spent(self) -> float:
        """Return what it took since then."""
        return self.server.since(self)


class Measured:
    """Start measured processes, one at a time, in an environment that is no developer's own.

    Args:
        folder: where they write.
        environment: what they all see.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "OPENAI_"))
        }
        self.environment = {**own, **environment}

    def start(self, script: str, kind: str, **told: Any) -> subprocess.Popen[str]:
        """Start `script kind` with what it is told."""
        with (self.folder / "measured.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(HERE / script), kind, json.dumps(told)],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def run(self, script: str, kind: str, **told: Any) -> dict[str, Any]:
        """Run `script kind` to its end; return what it says of itself.

        Raises:
            RuntimeError: it failed.
        """
        return self.told_by(self.start(script, kind, **told))

    def told_by(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Return what *process* says of itself at its end.

        Raises:
            RuntimeError: it failed.
        """
        with process:
            try:
                said, _ = process.communicate(timeout=PATIENCE)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            raise self.failure(process)
        return json.loads(said.strip().splitlines()[-1])

    def failure(self, process: subprocess.Popen[str]) -> RuntimeError:
        """Return the error that says how *process* ended, and what it logged last."""
        log = (self.folder / "measured.log").read_text()
        return RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{log[-3000:]}")
