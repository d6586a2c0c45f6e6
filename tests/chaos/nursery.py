"""Start flow runs as processes of their own without paying for the imports each time.

Run as a program it imports Prefect once and then forks a child for each order that it reads from
its input; a child does what `python -m prefect.flow_engine ENTRYPOINT` does, from there to the end
of the interpreter. `Nursery` gives the orders and hears of each child's end.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_AGAIN = 0.02


@dataclass
class Child:
    """A flow run's process."""

    pid: int
    returncode: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> int | None:
        """Return the exit code, or None while the process lives."""
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        if not self.ended.wait(timeout):
            raise TimeoutError(f"Process {self.pid} did not end.")
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


class Nursery:
    """Give orders to a process that forks.

    Args:
        api_url: the Prefect server's API.
    """

    def __init__(self, api_url: str) -> None:
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()
        self._born = threading.Condition(self._lock)
        self._one_by_one = threading.Lock()
        self._latest: Child | None = None
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PREFECT_API_URL": api_url, "PREFECT_LOGGING_LEVEL": "INFO"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self, entrypoint: str, log: Path, env: dict[str, str]) -> Child:
        """Start the flow at *entrypoint* with *env* added to the environment."""
        order = {"entrypoint": entrypoint, "log": str(log), "env": env}
        with self._one_by_one, self._born:
            self._latest = None
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            assert self._born.wait_for(lambda: self._latest is not None, 60.0)
            assert self._latest is not None
            return self._latest

    def close(self) -> None:
        """End the nursery and what it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30.0)
        self._listener.join(30.0)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._hear(json.loads(line))

    def _hear(self, news: dict[str, int]) -> None:
        with self._born:
            if "code" not in news:
                self._latest = self._children[news["pid"]] = Child(news["pid"])
                self._born.notify_all()
                return
            child = self._children.pop(news["pid"])
            child.returncode = news["code"]
            child.ended.set()


def _serve() -> dict[str, Any] | None:
    """Fork for each order; return the order in the child, and None when there are no more."""
    living: set[int] = set()
    pending = b""
    while True:
        if select.select([0], [], [], _LOOK_AGAIN if living else None)[0]:
            read = os.read(0, 1 << 16)
            if not read:
                for pid in living:
                    os.kill(pid, signal.SIGKILL)
                return None
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    return json.loads(line)
                living.add(pid)
                _say({"pid": pid})
        for pid in [*living]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                living.discard(pid)
                _say({"pid": pid, "code": os.waitstatus_to_exitcode(status)})


def _say(news: dict[str, int]) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def _become(order: dict[str, Any]) -> None:
    """Turn this child into the flow run's process."""
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, theirs)
    os.environ.update(order["env"])
    _be_on_the_machine(os.environ.get("LAB_HOST"), float(os.environ.get("LAB_CLOCK_AHEAD", "0")))

    from prefect_responses.engine import crash_points  # noqa: PLC0415 - imported before the fork

    crash_points._armed = crash_points._read(os.environ.get(crash_points.VARIABLE))
    sys.argv = ["flow_engine", order["entrypoint"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_module("prefect.flow_engine", run_name="__main__", alter_sys=True)


def _be_on_the_machine(host: str | None, ahead: float) -> None:
    """Give this process the name and the clock of a machine of its own."""
    if host:
        socket.gethostname = lambda: host
    if ahead:
        tell = time.time
        time.time = lambda: tell() + ahead


def _warm() -> None:
    # What a flow run's process would import, and no more: nothing is opened, no thread started.
    import prefect.events.clients  # noqa: PLC0415
    import prefect.flow_engine  # noqa: PLC0415
    import prefect.main  # noqa: PLC0415
    import prefect.task_engine  # noqa: PLC0415, F401

    import prefect_responses.tasks.await_background_response  # noqa: PLC0415
    import prefect_responses.tasks.create_response  # noqa: PLC0415
    import prefect_responses.tasks.respond  # noqa: PLC0415, F401

    assert threading.active_count() == 1


if __name__ == "__main__":
    _warm()
    if (received := _serve()) is not None:
        _become(received)
