"""Ask Prefect how flow runs ended, and which flow runs belong to one. Nothing is changed there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import StateType

from prefect_responses.host.prefect_api import asking_prefect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from prefect.client.schemas.objects import FlowRun

#: The most that Prefect's API returns at once.
PAGE = 200
#: Questions to Prefect's API at once.
_ABREAST = 8


class FlowRunEnd(StrEnum):
    """How a flow run ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    CRASHED = "crashed"
    #: Prefect no longer knows it, or never did: it may be another server's.
    DELETED = "deleted"


_ENDS = {
    StateType.COMPLETED: FlowRunEnd.COMPLETED,
    StateType.CANCELLED: FlowRunEnd.CANCELLED,
    StateType.FAILED: FlowRunEnd.FAILED,
    StateType.CRASHED: FlowRunEnd.CRASHED,
}


@dataclass(frozen=True, slots=True)
class EndedRun:
    """Say how a flow run ended.

    Args:
        state: the end.
        last_running_state_id: of a completed flow run, the ID of the Running state that it
            completed from: the executions of that attempt at it begin with it.
    """

    state: FlowRunEnd
    last_running_state_id: str | None = None


async def ended_runs(flow_run_ids: Collection[str]) -> dict[str, EndedRun]:
    """Return those flow runs that have ended or are gone, by ID; the others may yet go on.

    An ID that cannot be one of Prefect's is neither.

    Args:
        flow_run_ids: any number of them; they are read in pages.

    Raises:
        PrefectUnavailable: Prefect could not be asked about one of the pages. Nothing is concluded
            from silence: no flow run counts as deleted because it could not be read.
    """
    ended: dict[str, EndedRun] = {}
    for page in _pages(flow_run_ids):
        found = {str(run.id): run for run in await _read(FlowRunFilterId(any_=page))}
        gone = {str(flow_run_id) for flow_run_id in page} - found.keys()
        ended |= {flow_run_id: EndedRun(FlowRunEnd.DELETED) for flow_run_id in gone}
        ended |= await _ended(found)
    return ended


async def descendants(flow_run_id: str) -> list[str]:
    """Return the flow runs below one: its subflow runs, theirs, and so on, parents first.

    Raises:
        PrefectUnavailable: Prefect could not be asked.
    """
    found: dict[str, None] = {}
    parents = [flow_run_id]
    while parents:
        children = [child for page in _pages(parents) for child in await _children(page)]
        parents = [child for child in children if child not in found and child != flow_run_id]
        found |= dict.fromkeys(parents)
    return list(found)


def _pages(flow_run_ids: Collection[str]) -> Iterator[list[UUID]]:
    known = sorted(set(filter(None, map(_uuid, flow_run_ids))))
    for start in range(0, len(known), PAGE):
        yield known[start : start + PAGE]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _read(ids: FlowRunFilterId) -> list[FlowRun]:
    async with asking_prefect() as client:
        return await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=ids), limit=PAGE)


async def _children(parents: list[UUID]) -> list[str]:
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=parents))
    children: list[str] = []
    full = True
    while full:
        async with asking_prefect() as client:
            page = await client.read_flow_runs(
                flow_run_filter=below, limit=PAGE, offset=len(children)
            )
        children += [str(run.id) for run in page]
        full = len(page) == PAGE
    return children


async def _ended(runs: dict[str, FlowRun]) -> dict[str, EndedRun]:
    ends = {
        flow_run_id: _ENDS[run.state_type]
        for flow_run_id, run in runs.items()
        if run.state_type in _ENDS
    }
    completed = [name for name, end in ends.items() if end is FlowRunEnd.COMPLETED]
    abreast = asyncio.Semaphore(_ABREAST)
    last = await asyncio.gather(*(_last_running(name, abreast) for name in completed))
    running = dict(zip(completed, last, strict=True))
    return {name: EndedRun(end, running.get(name)) for name, end in ends.items()}


async def _last_running(flow_run_id: str, abreast: asyncio.Semaphore) -> str | None:
    async with abreast, asking_prefect() as client:
        states = await client.read_flow_run_states(UUID(flow_run_id))
    running = [state for state in states if state.type is StateType.RUNNING]
    if not running:
        return None
    return str(max(running, key=lambda state: state.timestamp).id)
