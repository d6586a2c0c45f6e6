"""What a harvest learns from Prefect, if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.settings import PREFECT_API_URL

from prefect_responses.engine.harvest_doors import Ended
from prefect_responses.host.flow_runs import FlowRunEnd, ended_runs

if TYPE_CHECKING:
    from collections.abc import Collection


def has_prefect_api() -> bool:
    """Tell whether a Prefect API is configured; without one Prefect's client would start one."""
    return bool(PREFECT_API_URL.value())


class PrefectFlowRuns:
    """Ask Prefect how flow runs ended."""

    async def ended(self, flow_run_ids: Collection[str]) -> Ended:
        """Return those that were cancelled or completed; see `ended_runs`."""
        found = (await ended_runs(flow_run_ids)).items()
        return Ended(
            frozenset(name for name, run in found if run.state is FlowRunEnd.CANCELLED),
            {
                name: run.last_running_state_id
                for name, run in found
                if run.state is FlowRunEnd.COMPLETED and run.last_running_state_id is not None
            },
        )
