"""Read from Prefect who calls: the scope, its execution, and the runs around the call."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TaskRunContext

from prefect_responses.attempt import Link, Origin
from prefect_responses.errors import KeyRequired
from prefect_responses.host.prefect_internals import enclosing
from prefect_responses.identity import flow_run_scope, job_scope, named_scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect.client.schemas.objects import FlowRun

#: Outside flows a process is an execution of its own.
_PROCESS = uuid.uuid4().hex
_PROCESS_STARTED = int(time.time())


@dataclass(frozen=True, slots=True)
class Host:
    """Say in which flow run a call is made, if in any.

    Args:
        origin: what the ledger needs to know.
        flow_run_id: the outermost flow run, whose inputs say which ledger it began with.
        deployed: that flow run belongs to a deployment.
    """

    origin: Origin
    flow_run_id: str | None = None
    deployed: bool = False


async def read_host(*, scope: str | None, key: str | None, job: str | None = None) -> Host:
    """Return who calls.

    Args:
        scope: the user's name for the scope, or None for the outermost flow run.
        key: the user's key, or None.
        job: the name of a row job, whose scope is its name.

    Raises:
        KeyRequired: outside a flow run without scope and key.
    """
    flow_runs = await _flow_runs()
    if not flow_runs:
        return Host(_scriptal(scope, key, job))
    outermost = flow_runs[-1]
    origin = _within(flow_runs)
    if job is not None or scope is not None:
        # A later flow run is a later run of a named scope, whatever its run count.
        created = int(outermost.created.timestamp()) if outermost.created else _PROCESS_STARTED
        name = job_scope(job) if job is not None else named_scope(scope or "")
        origin = replace(origin, scope=name, run=(created, *origin.run))
    return Host(origin, str(outermost.id), outermost.deployment_id is not None)


async def read_waiter() -> Host:
    """Return who waits for a response that exists already: no key is needed for that."""
    flow_runs = await _flow_runs()
    if not flow_runs:
        return Host(_scriptal("", "", None))
    outermost = flow_runs[-1]
    return Host(_within(flow_runs), str(outermost.id), outermost.deployment_id is not None)


def _scriptal(scope: str | None, key: str | None, job: str | None) -> Origin:
    if job is not None:
        return Origin(job_scope(job), _PROCESS, run=(_PROCESS_STARTED,))
    if scope is None or key is None:
        raise KeyRequired(
            "Outside a flow run nothing tells calls apart: give scope= and key=, "
            "or call this in a flow."
        )
    return Origin(named_scope(scope), _PROCESS, run=(_PROCESS_STARTED,))


async def _flow_runs() -> list[FlowRun]:
    """Return the flow runs around the call up to the one whose run is the scope."""
    runs = []
    for context in enclosing(FlowRunContext.get()):
        if context.flow_run is None:
            continue
        runs.append(context.flow_run)
        if _is_scope(context.flow_run):
            return runs
    if runs:
        runs += await flow_runs_above(runs[-1])
    return runs


def _is_scope(flow_run: FlowRun) -> bool:
    return flow_run.deployment_id is not None or flow_run.parent_task_run_id is None


async def flow_runs_above(flow_run: FlowRun) -> list[FlowRun]:
    """Ask the API for the flow runs above one whose parent runs in another process."""
    above: list[FlowRun] = []
    async with get_client() as client:
        while not _is_scope(flow_run) and flow_run.parent_task_run_id is not None:
            parent_task = await client.read_task_run(flow_run.parent_task_run_id)
            if parent_task.flow_run_id is None:
                break
            flow_run = await client.read_flow_run(parent_task.flow_run_id)
            above.append(flow_run)
    return above


def _within(flow_runs: list[FlowRun]) -> Origin:
    innermost, outermost = flow_runs[0], flow_runs[-1]
    tasks = [context.task_run for context in enclosing(TaskRunContext.get())]
    state = outermost.state
    return Origin(
        scope=flow_run_scope(str(outermost.id)),
        execution=f"{state.id if state else outermost.state_id}:{_engine_process()}",
        chain=_links(reversed(flow_runs)) + _links(reversed(tasks)),
        run=tuple(run.run_count for run in reversed(flow_runs)),
        flow_run_id=str(innermost.id),
        task_run_id=str(tasks[0].id) if tasks else None,
    )


def _engine_process() -> str:
    """Name the process that runs the flow: this one, or the one whose pool this one works in.

    Of two processes that run one flow run at once, both may read the later one's state.
    """
    if not any(context.detached for context in enclosing(FlowRunContext.get())):
        return f"{socket.gethostname()}:{os.getpid()}"
    parent = multiprocessing.parent_process()
    return f"{socket.gethostname()}:{parent.pid}" if parent is not None else ""


def _links(runs: Iterable[object]) -> tuple[Link, ...]:
    return tuple(Link(str(run.id), run.run_count) for run in runs)  # type: ignore[attr-defined]
