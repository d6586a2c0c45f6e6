"""Start flow runs as real processes, kill them, start them again, and count what was paid for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from databases import has_table, is_in_a_write, read
from prefect.client.orchestration import get_client
from prefect.states import AwaitingRetry

from prefect_responses.emulator.remote_control import RemoteControl

if TYPE_CHECKING:
    from nursery import Child, Nursery

    from prefect_responses.emulator.server import EmulatorThread

FLOWS = Path(__file__).with_name("stories.py")
PATIENCE = 60.0
#: Processes at once: more would only wait for each other.
ABREAST = 4


@dataclass
class Lab:
    """One emulator, one ledger, one Prefect server.

    Args:
        api_url: the Prefect server's API.
        emulator: the Responses API.
        folder: where the ledger and the logs lie.
        nursery: starts the processes.
        database: URL of the PostgreSQL that holds the ledger; without one it is a file.
    """

    api_url: str
    emulator: EmulatorThread
    folder: Path
    nursery: Nursery
    started: list[Child | subprocess.Popen[bytes]] = field(default_factory=list)
    database: str = ""

    @property
    def control(self) -> RemoteControl:
        return RemoteControl(self.emulator.control_url)

    @property
    def ledger_url(self) -> str:
        return self.database or f"sqlite:///{self.folder / 'responses.db'}"

    def beside(self, name: str) -> Lab:
        """Return a lab with a folder, and so a ledger that is a file, of its own."""
        folder = self.folder / name
        folder.mkdir()
        return replace(self, folder=folder)

    def plan(self, name: str, **parameters: Any) -> str:
        """Create a flow run; return its ID."""
        flow = _flow(name)
        with get_client(sync_client=True) as client:
            return str(client.create_flow_run(flow, parameters=parameters).id)

    def start(
        self,
        run_id: str,
        name: str,
        *,
        crash: str = "",
        ledger_url: str = "",
        bare: bool = False,
        **env: str,
    ) -> Child | subprocess.Popen[bytes]:
        """Start the flow run in a process of its own; *bare* without the nursery."""
        entrypoint, log = f"{FLOWS}:{name}", self.folder / f"{run_id}.log"
        given = self._environment(run_id, crash, ledger_url or self.ledger_url) | env
        if bare:
            process = _start_bare(entrypoint, log, given)
        else:
            process = self.nursery.start(entrypoint, log, given)
        self.started.append(process)
        return process

    def _environment(self, run_id: str, crash: str, ledger_url: str) -> dict[str, str]:
        return {
            "PREFECT_API_URL": self.api_url,
            "PREFECT__FLOW_RUN_ID": run_id,
            "PREFECT_RESPONSES_CRASH_POINT": crash,
            "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": ledger_url,
            "PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS": "3",
            "PREFECT_INTEGRATIONS_RESPONSES_SUBMIT_TIMEOUT_SECONDS": "2",
            "LAB_FOLDER": str(self.folder),
            "OPENAI_API_KEY": "sk-lab",
            "OPENAI_BASE_URL": self.emulator.url,
        }

    def finish(self, run_id: str, name: str, **how: Any) -> int:
        """Start the flow run and wait for the process; return its exit code."""
        return self.start(run_id, name, **how).wait(PATIENCE)

    def finish_all(self, orders: dict[str, dict[str, Any]]) -> dict[str, int]:
        """Run several flow runs, some side by side; return their exit codes."""
        with ThreadPoolExecutor(ABREAST) as threads:
            ends = {run: threads.submit(self.finish, run, **how) for run, how in orders.items()}
            return {run: end.result() for run, end in ends.items()}

    def state(self, run_id: str) -> str:
        """Return the name of the flow run's state."""
        with get_client(sync_client=True) as client:
            return str(client.read_flow_run(run_id).state_name)

    def message(self, run_id: str) -> str:
        """Return what the flow run's state says."""
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run_id).state
            return (state.message or "") if state else ""

    def set_state(self, run_id: str, state: Any) -> None:
        """Put the flow run into *state*, as the UI does."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, state, force=True)

    def retry(self, run_id: str, name: str, **how: Any) -> int:
        """Do what the UI's Retry does, and what a worker does then."""
        self.set_state(run_id, AwaitingRetry())
        return self.finish(run_id, name, **how)

    def log(self, run_id: str) -> str:
        """Return what the flow run's processes printed."""
        return (self.folder / f"{run_id}.log").read_text(errors="replace")

    def all_logs(self) -> str:
        """Return what all processes printed, those of labs beside this one too."""
        return "\n".join(file.read_text(errors="replace") for file in self.folder.rglob("*.log"))

    def notes(self, what: str) -> list[Any]:
        """Return what the stories noted under *what*, in order."""
        file = self.folder / f"{what}.notes"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    # --- what the API saw -------------------------------------------------------------------------

    def creates(self, text: str) -> list[dict[str, Any]]:
        """Return the POSTs whose body asks *text*: all of one digest, whatever keys they carry."""
        entries = [
            entry
            for entry in self.control.journal(method="POST")
            if entry["path"] == "/v1/responses" and entry["body"]["input"] == text
        ]
        assert len({entry["body_digest"] for entry in entries}) <= 1
        return entries

    def posts(self, text: str) -> int:
        """Return how often *text* was posted."""
        return len(self.creates(text))

    def accepts(self, text: str) -> int:
        """Return how often *text* was accepted, which is how often it was paid for."""
        return sum(entry["accepted"] for entry in self.creates(text))

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
        return len(self.cancelled_ids())

    def cancelled_ids(self) -> list[str]:
        """Return the responses that were asked to be cancelled."""
        paths = [entry["path"] for entry in self.control.journal(method="POST")]
        return [path.split("/")[-2] for path in paths if path.endswith("/cancel")]

    def cancel_upstream(self, response_id: str) -> None:
        """Cancel a response as somebody else would."""
        url = f"{self.emulator.url}/responses/{response_id}/cancel"
        headers = {"authorization": "Bearer sk-lab"}
        assert httpx.post(url, headers=headers, timeout=PATIENCE).status_code == HTTPStatus.OK

    # --- what the ledger says ---------------------------------------------------------------------

    def owners(self) -> int:
        """Return how many owners have registered."""
        return int(read(self.ledger_url, "SELECT count(*) FROM owners")[0][0])

    def is_locked(self) -> bool:
        """Tell whether some process is in the middle of writing to the ledger."""
        return is_in_a_write(self.ledger_url)

    def attempts(self, text: str, columns: str = "outcome") -> list[Any]:
        """Return *columns* of the attempts at *text*, by ordinal and number; a list if one."""
        if not has_table(self.ledger_url, "bodies"):
            return []
        rows = read(
            self.ledger_url,
            f"SELECT {columns}, request FROM attempts JOIN bodies ON attempt_id = id "
            "ORDER BY ordinal, number",
        )
        found = [row[:-1] for row in rows if _asks(row[-1], text)]
        return [row[0] for row in found] if "," not in columns else found

    def wait_for(self, what: Any, seconds: float = PATIENCE) -> None:
        """Wait until *what* returns something true."""
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                raise TimeoutError("It did not happen.\n" + self.all_logs())
            time.sleep(0.05)

    def stop_all(self) -> None:
        """Leave no process behind."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(PATIENCE)


def _asks(request: bytes | None, text: str) -> bool:
    return bool(json.loads(request or b"{}").get("input") == text)


def _start_bare(entrypoint: str, log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect.flow_engine", entrypoint],
            env={**os.environ, **env},
            stdout=output,
            stderr=output,
        )


def _flow(name: str) -> Any:
    import importlib.util  # noqa: PLC0415 - loaded by path, as the engine does

    spec = importlib.util.spec_from_file_location("stories", FLOWS)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return getattr(module, name)
