"""Flow runs that no process runs: a test puts them into states, and sends their heartbeats."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from prefect import flow
from prefect.states import Paused, Scheduled, State, Suspended

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.orchestration import SyncPrefectClient
    from worker_lab import WorkerLab

#: In place of a state: a heartbeat is sent, as the engine sends it.
HEARTBEAT = "heartbeat"
#: A queue that no worker looks at.
NOBODY = "nobody"


class ByHand:
    """Make flow runs of a lab and put them into states, as their processes would.

    Args:
        lab: whose deployment they are of.
        client: a client of its Prefect server.
    """

    def __init__(self, lab: WorkerLab, client: SyncPrefectClient) -> None:
        self._lab = lab
        self._client = client

    def run(
        self,
        *states: Callable[[], State[Any]] | str,
        tagged: bool = True,
        deployed: bool = True,
    ) -> str:
        """Return a flow run that went through these states, tagged with the lab's pool."""
        tags = [self._lab.pool] if tagged else []
        if deployed:
            run = self._client.create_flow_run_from_deployment(
                self._lab.deploy("one_answer"), tags=tags, work_queue_name=NOBODY
            )
        else:
            run = self._client.create_flow_run(never_deployed, tags=tags)
        for state in states:
            self.put(str(run.id), state)
        return str(run.id)

    def put(self, run_id: str, state: Callable[[], State[Any]] | str) -> None:
        """Propose a state, or send a heartbeat."""
        if callable(state):
            self._client.set_flow_run_state(run_id, state())
        else:
            self._beat(run_id)

    def _beat(self, run_id: str) -> None:
        tags = self._client.read_flow_run(uuid.UUID(run_id)).tags
        event = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
            "related": [
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}
                for tag in tags
            ],
        }
        httpx.post(f"{self._lab.api_url}/events", json=[event]).raise_for_status()


@flow
def never_deployed() -> None:
    """Do nothing."""


def suspended() -> State[Any]:
    return Suspended(timeout_seconds=3600)


def paused() -> State[Any]:
    return Paused(timeout_seconds=3600)


def named_by_its_flow() -> State[Any]:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    return Scheduled(name="AwaitingResponse", scheduled_time=in_an_hour)
