"""Start flow runs as real processes, kill them, start them again, and count what was paid for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client

from prefect_responses.emulator.remote_control import RemoteControl

if TYPE_CHECKING:
    from prefect_responses.emulator.server import EmulatorThread

FLOWS = Path(__file__).with_name("stories.py")
PATIENCE = 60.0


@dataclass
class Lab:
    """One emulator, one ledger, one Prefect server.

    Args:
        api_url: the Prefect server's API.
        emulator: the Responses API.
        folder: where the ledger and the logs lie.
    """

    api_url: str
    emulator: EmulatorThread
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def control(self) -> RemoteControl:
        return RemoteControl(self.emulator.control_url)

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.folder / 'responses.db'}"

    def plan(self, name: str, **parameters: Any) -> str:
        """Create a flow run; return its ID."""
        flow = _flow(name)
        with get_client(sync_client=True) as client:
            return str(client.create_flow_run(flow, parameters=parameters).id)

    def start(
        self, run_id: str, name: str, *, crash: str = "", ledger_url: str = "", **env: str
    ) -> subprocess.Popen[bytes]:
        """Start the flow run in a process of its own."""
        with (self.folder / f"{run_id}.log").open("ab") as log:
            process = self._start(run_id, name, log, crash, ledger_url or self.ledger_url, env)
        self.started.append(process)
        return process

    def _start(  # noqa: PLR0913 - what the process is told
        self, run_id: str, name: str, log: Any, crash: str, ledger_url: str, env: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect.flow_engine", f"{FLOWS}:{name}"],
            env={
                **os.environ,
                "PREFECT_API_URL": self.api_url,
                "PREFECT__FLOW_RUN_ID": run_id,
                "PREFECT_RESPONSES_CRASH_POINT": crash,
                "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": ledger_url,
                "PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS": "3",
                "PREFECT_INTEGRATIONS_RESPONSES_SUBMIT_TIMEOUT_SECONDS": "2",
                "OPENAI_API_KEY": "sk-lab",
                "OPENAI_BASE_URL": self.emulator.url,
                **env,
            },
            stdout=log,
            stderr=log,
        )

    def finish(self, run_id: str, name: str, **how: str) -> int:
        """Start the flow run and wait for the process; return its exit code."""
        return self.start(run_id, name, **how).wait(PATIENCE)

    def state(self, run_id: str) -> str:
        """Return the name of the flow run's state."""
        with get_client(sync_client=True) as client:
            return str(client.read_flow_run(run_id).state_name)

    def set_state(self, run_id: str, state: Any) -> None:
        """Put the flow run into *state*, as the UI does."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, state, force=True)

    def log(self, run_id: str) -> str:
        """Return what the flow run's processes printed."""
        return (self.folder / f"{run_id}.log").read_text(errors="replace")

    def accepted(self) -> Counter[str]:
        """Return how often each body was accepted, whatever keys it carried."""
        return Counter(self._journal_creates("accepted"))

    def posted(self) -> Counter[str]:
        """Return how often each body was posted."""
        return Counter(self._journal_creates("posted"))

    def _journal_creates(self, what: str) -> list[str]:
        entries = self.control.journal(method="POST")
        return [
            entry["body_digest"]
            for entry in entries
            if entry["path"] == "/v1/responses" and (what == "posted" or entry["accepted"])
        ]

    def cancels(self) -> int:
        """Return how many cancel calls were made."""
        return sum(entry["path"].endswith("/cancel") for entry in self.control.journal())

    def wait_for(self, what: Any, seconds: float = PATIENCE) -> None:
        """Wait until *what* returns something true."""
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                raise TimeoutError("It did not happen.")
            time.sleep(0.05)

    def stop_all(self) -> None:
        """Leave no process behind."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(PATIENCE)


def _flow(name: str) -> Any:
    import importlib.util  # noqa: PLC0415 - loaded by path, as the engine does

    spec = importlib.util.spec_from_file_location("stories", FLOWS)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return getattr(module, name)
