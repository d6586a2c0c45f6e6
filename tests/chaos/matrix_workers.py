"""Run cells of the crash matrix under real workers, and end the workers.

The process of a cell stops itself at its point. When all of a way have come there, under one
worker, the worker is ended and its processes with it, and another one runs all of them again.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from matrix_cells import Way
from matrix_counts import STORY, parameters_of
from prefect.client.orchestration import get_client
from prefect.states import AwaitingRetry

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "deployed"))

from worker_lab import WorkerLab, end, is_alive, kill  # noqa: E402 - beside us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matrix_cells import Cell
    from matrix_counts import Bench

#: Processes that are on their way at once: each takes seconds of CPU time to import Prefect.
ABREAST = 4
#: Seconds that one process may take to come where it is waited for.
PATIENCE = 120.0


class CellLab(WorkerLab):
    """A lab of workers that runs the stories beside this file."""

    def deploy(self, story: str) -> UUID:
        """Deploy a story to the pool, which its worker has made; return the deployment's ID."""
        if story not in self.deployments:
            enter = {"prefect.deployments.steps.set_working_directory": {"directory": str(HERE)}}
            with get_client(sync_client=True) as client:
                self.deployments[story] = client.create_deployment(
                    client.create_flow_from_name(story.replace("_", "-")),
                    name=self.pool,
                    work_pool_name=self.pool,
                    entrypoint=f"stories.py:{story}",
                    pull_steps=[enter],
                    job_variables={"stream_output": False},
                )
        return self.deployments[story]

    def retry_disarmed(self, run_id: str) -> None:
        """Do what Retry does in the UI, and let the next process pass the crash point."""
        # Prefect changes what a run's process gets only while no worker may take the run.
        self.set_state(run_id, AwaitingRetry(scheduled_time=datetime.now(UTC) + timedelta(hours=1)))
        with get_client(sync_client=True) as client:
            given = client.read_flow_run(UUID(run_id)).job_variables or {}
            env = given["env"] | {"PREFECT_RESPONSES_CRASH_POINT": ""}
            client.update_flow_run(UUID(run_id), job_variables=given | {"env": env})
        self.retry_by_hand(run_id)


@dataclass
class WorkerRuns:
    """The flow runs of one way.

    Args:
        bench: whose labs are of workers, in one folder and for one pool, with a ledger a cell.
        way: how the worker ends.
        cells: what is run.
        tell: hears of each step, of which every cell has two.
    """

    bench: Bench
    way: Way
    cells: tuple[Cell, ...]
    tell: Callable[[Cell], None]

    def run(self) -> list[Cell]:
        """Run all cells, end their worker, and run them again; return those not ended there."""
        lab, runs = self._lab, {}
        worker = lab.start_worker()

        def order(cell: Cell) -> None:
            # A process that is stopped while it writes would hold the others' ledger, too.
            env = {"PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": self.bench.ledger(cell).ledger_url}
            how = {"crash": f"{cell.point}:stop", "env": env}
            runs[cell] = self._lab_of(cell).order(STORY, **how, **parameters_of(cell))

        lost = self._in_turn(order, lambda cell: _is_stopped(self._pid(cell)))
        self._end(worker)
        for cell in self.cells:
            self.bench.note_first(cell)
        lab.start_worker()

        again = self._in_turn(lambda cell: lab.retry_disarmed(runs[cell]), self._has_ended)
        return [*lost, *again]

    def _end(self, worker: Any) -> None:
        """End the worker; its processes die with it, for it kills them or somebody else does."""
        is_told = self.way is Way.WORKER_TERMINATED
        end(worker, signal.SIGTERM if is_told else signal.SIGKILL)
        for cell in self.cells:
            pid = self._pid(cell)
            if not is_told and is_alive(pid):
                kill(pid)
            self._lab.wait_for(lambda pid=pid: not is_alive(pid))

    def _in_turn(
        self, begin: Callable[[Cell], None], is_there: Callable[[Cell], bool]
    ) -> Iterable[Cell]:
        """Begin with all cells, some side by side; return those that did not get there."""
        waiting, since, lost = deque(self.cells), {}, []
        while waiting or since:
            while waiting and len(since) < ABREAST:
                begin(waiting[0])
                since[waiting.popleft()] = time.monotonic()
            for cell, began in [*since.items()]:
                is_late = time.monotonic() > began + PATIENCE
                if is_late:
                    lost.append(cell)
                if is_late or is_there(cell):
                    del since[cell]
                    self.tell(cell)
            time.sleep(0.2)
        return lost

    @property
    def _lab(self) -> CellLab:
        return self._lab_of(self.cells[0])

    def _lab_of(self, cell: Cell) -> CellLab:
        lab = self.bench.lab(cell)
        assert isinstance(lab, CellLab)
        return lab

    def _pid(self, cell: Cell) -> int:
        """Return the ID of the cell's first process, 0 if there is none yet."""
        pids = [fact[1] for fact in self._lab.notes("began") if fact[0] == cell.text]
        return int(pids[0]) if pids else 0

    def _has_ended(self, cell: Cell) -> bool:
        return any(fact[0] == cell.text for fact in self._lab.notes("ended"))


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"
