"""Deploy flows to a work pool, run them under real workers, and end their processes in every way.

What the API and the ledger saw is counted as in the lab of the chaos tests, whose methods are all
here. A flow run and all its processes carry the folder of its lab in their environment.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lab import Lab
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry
from prefect.workers.process import ProcessWorker

from prefect_responses.emulator.server import EmulatorThread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STORIES = Path(__file__).with_name("deployed_stories.py")
#: Seconds: a worker and its flow boot in five, or in ten times that on a busy machine.
PATIENCE = 120.0
#: A response takes until the test says so with `answer_all`, whatever this machine is busy with.
NEVER = 3600.0


@dataclass
class WorkerLab(Lab):
    """One emulator, one ledger, one work pool, and the workers that a test starts for it.

    Args:
        pool: name of the work pool; made when the first story is deployed.
        deployments: ID of the deployment of each story that was deployed.
        logs: file that each process that was started prints to, by its ID.
    """

    pool: str = field(default_factory=lambda: f"lab-{uuid.uuid4().hex[:8]}")
    deployments: dict[str, UUID] = field(default_factory=dict)
    logs: dict[int, Path] = field(default_factory=dict)

    # --- flow runs --------------------------------------------------------------------------------

    def deploy(self, story: str) -> UUID:
        """Deploy a story to the pool, as `prefect deploy` does; return the deployment's ID."""
        if story not in self.deployments:
            with get_client(sync_client=True) as client:
                _ensure_pool(client, self.pool)
                self.deployments[story] = client.create_deployment(
                    client.create_flow_from_name(story.replace("_", "-")),
                    name=self.pool,
                    work_pool_name=self.pool,
                    entrypoint=f"{STORIES.name}:{story}",
                    pull_steps=[_enter(STORIES.parent)],
                    job_variables={"stream_output": False},
                )
        return self.deployments[story]

    def order(
        self,
        story: str,
        *,
        crash: str = "",
        tags: Iterable[str] = (),
        queue: str = "default",
        env: dict[str, str] | None = None,
        **parameters: Any,
    ) -> str:
        """Order a run of a story from the workers of the pool; return the flow run's ID.

        Args:
            story: name of the flow in `deployed_stories.py`.
            crash: crash point of its processes.
            tags: tags of the flow run.
            queue: the pool's queue: only workers of this queue, or of all, run it.
            env: environment of its processes, beside that of the lab.
            parameters: the flow's.
        """
        given = self._story_environment() | {"PREFECT_RESPONSES_CRASH_POINT": crash} | (env or {})
        deployment = self.deploy(story)
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(
                deployment,
                parameters=parameters,
                tags=tags,
                work_queue_name=queue,
                job_variables={"env": given},
            )
        return str(run.id)

    def order_served(self, name: str, story: str, **parameters: Any) -> str:
        """Order a run from the process that serves *story* under *name*."""
        full = f"{story.replace('_', '-')}/{name}"
        with get_client(sync_client=True) as client:
            self.wait_for(lambda: _deployment(client, full) is not None)
            deployment = _deployment(client, full)
            run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
        return str(run.id)

    def retry_by_hand(self, run_id: str) -> None:
        """Press Retry in the UI: a worker of the pool runs it again."""
        self.set_state(run_id, AwaitingRetry())

    def answer_all(self) -> None:
        """Let the API finish all responses."""
        self.control.advance(NEVER)

    # --- processes --------------------------------------------------------------------------------

    def start_worker(self, *queues: str, **env: str) -> subprocess.Popen[bytes]:
        """Start `prefect worker start` for these queues of the pool, or for all of it."""
        with get_client(sync_client=True) as client:
            _ensure_pool(client, self.pool)
        chosen = [part for queue in queues for part in ("--work-queue", queue)]
        command = ("worker", "start", "--type", "process", "--pool", self.pool, *chosen)
        return self._prefect(*command, env={"PREFECT_WORKER_QUERY_SECONDS": "1"} | env)

    def serve(self, story: str, name: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process that serves *story* as a deployment called *name*."""
        polled = {"PREFECT_RUNNER_POLL_FREQUENCY": "1"} | self._story_environment()
        return self._run([str(STORIES), story, name], polled | env)

    def execute(self, run_id: str, **env: str) -> subprocess.Popen[bytes]:
        """Start `prefect flow-run execute`, which is what container workers start."""
        return self._prefect("flow-run", "execute", run_id, env=self._story_environment() | env)

    def pid_of(self, run_id: str, *, attempt: int = 1) -> int:
        """Wait for the process of the flow run's nth attempt; return its ID."""
        self.wait_for(lambda: len(self._of("began", run_id)) >= attempt)
        return int(self._of("began", run_id)[attempt - 1][0])

    def wait_until_asked(self, run_id: str, text: str, *, attempt: int = 1) -> int:
        """Wait until the flow run's nth process waits for its response; return that process's ID.

        It waits when it has read its response since it began.
        """
        pid = self.pid_of(run_id, attempt=attempt)
        self.wait_for(lambda: "submitted" in self.attempts(text, "state"))
        [entry] = self.creates(text)
        path = f"/v1/responses/{entry['response_id']}"
        read = len(self.control.journal(method="GET", path_prefix=path))
        self.wait_for(lambda: len(self.control.journal(method="GET", path_prefix=path)) > read)
        return pid

    def delivered(self, run_id: str) -> list[str]:
        """Return the response IDs that were delivered in the flow run, in order."""
        return [note[1] for note in self._of("delivered", run_id)]

    def run_counts(self, run_id: str) -> list[int]:
        """Return the run count at the start of each process of the flow run, in order."""
        return [note[1] for note in self._of("began", run_id)]

    def history(self, run_id: str) -> list[str]:
        """Return the names of the states that the flow run went through."""
        with get_client(sync_client=True) as client:
            states = client.read_flow_run_states(UUID(run_id))
        return [str(state.name) for state in sorted(states, key=lambda state: state.timestamp)]

    def wait_for_state(self, run_id: str, *names: str, seconds: float = PATIENCE) -> str:
        """Wait until the flow run's state has one of these names; return it."""
        self.wait_for(lambda: self.state(run_id) in names, seconds)
        return self.state(run_id)

    def log(self, run_id: str) -> str:
        """Return what the flow run logged."""
        chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)]))
        with get_client(sync_client=True) as client:
            return "\n".join(each.message for each in client.read_logs(chosen))

    def printed(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a process of this lab printed."""
        return self.logs[process.pid].read_text(errors="replace")

    def wait_for(self, what: Any, seconds: float = PATIENCE) -> None:
        """Wait until *what* returns something true; it may ask Prefect's server, so not often."""
        until = time.monotonic() + seconds
        while not what():
            if time.monotonic() > until:
                raise TimeoutError("It did not happen.\n" + self.all_logs())
            time.sleep(0.2)

    def stop_all(self) -> None:
        """Leave no process behind: neither those that were started nor what those started."""
        super().stop_all()
        for pid in self._living():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- how --------------------------------------------------------------------------------------

    def _of(self, what: str, run_id: str) -> list[list[Any]]:
        return [note[1:] for note in self.notes(what) if note[0] == run_id]

    def _story_environment(self) -> dict[str, str]:
        given = self._environment("", "", self.ledger_url)
        del given["PREFECT__FLOW_RUN_ID"]
        return given | {"PREFECT_LOGGING_LEVEL": "INFO"}

    def _prefect(self, *arguments: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        return self._run(["-m", "prefect", *arguments], env)

    def _run(self, arguments: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        log = self.folder / f"process-{len(self.started)}.log"
        ours = {"PREFECT_API_URL": self.api_url, "LAB_FOLDER": str(self.folder)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **ours, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.started.append(process)
        self.logs[process.pid] = log
        return process

    def _living(self) -> Iterator[int]:
        mark = f"LAB_FOLDER={self.folder}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    yield int(process.name)


@contextmanager
def lab_at(api_url: str, folder: Path) -> Iterator[WorkerLab]:
    """Give a lab beside a Prefect server; its responses wait for `answer_all`."""
    with EmulatorThread(seed=1, latency=f"constant:{NEVER:.0f}") as emulator:
        lab = WorkerLab(api_url, emulator, folder, None)
        try:
            yield lab
        finally:
            lab.stop_all()


def end(process: subprocess.Popen[bytes], number: int) -> int:
    """Send a signal to a process and wait for its end; return its exit code."""
    process.send_signal(number)
    return process.wait(PATIENCE)


def kill(pid: int) -> None:
    """Kill a process that somebody else started."""
    os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Tell whether a process is there; one that ended and was not waited for is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def _enter(folder: Path) -> dict[str, Any]:
    return {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}


def _ensure_pool(client: Any, name: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = _template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type="process", base_job_template=template)
        )


@functools.cache
def _template() -> dict[str, Any]:
    return ProcessWorker.get_default_base_job_template()


def _deployment(client: Any, name: str) -> UUID | None:
    try:
        return UUID(str(client.read_deployment_by_name(name).id))
    except ObjectNotFound:
        return None
