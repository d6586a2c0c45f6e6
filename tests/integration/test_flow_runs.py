"""How flow runs ended, as Prefect's API tells it; and what it means when it tells nothing."""

from __future__ import annotations

import socket
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Running

from prefect_responses.errors import PrefectUnavailable
from prefect_responses.host import flow_runs
from prefect_responses.host.flow_runs import EndedRun, FlowRunEnd, descendants, ended_runs

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ENDS = {
    FlowRunEnd.COMPLETED: Completed,
    FlowRunEnd.CANCELLED: Cancelled,
    FlowRunEnd.FAILED: Failed,
    FlowRunEnd.CRASHED: Crashed,
}


@flow
def nothing() -> None:
    """A flow whose runs are only ever put into states."""


async def run_in(*states) -> tuple[str, list[str]]:
    """Create a flow run and put it through *states*; return its ID and theirs."""
    async with get_client() as client:
        run = await client.create_flow_run(nothing)
        for state in states:
            await client.set_flow_run_state(run.id, state(), force=True)
        given = await client.read_flow_run_states(run.id)
    return str(run.id), [str(state.id) for state in given if state.type.value == "RUNNING"]


@pytest.fixture
def nobody_listens():
    """Prefect's API is at a port where nothing answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            yield


@pytest.mark.parametrize("end", list(ENDS))
async def test_a_flow_run_that_has_ended_says_how(end):
    run, running = await run_in(Running, ENDS[end])

    last = running[0] if end is FlowRunEnd.COMPLETED else None
    assert await ended_runs([run]) == {run: EndedRun(end, last)}


@pytest.mark.parametrize("states", [(), (Running,), (Running, Cancelling)])
async def test_a_flow_run_that_may_go_on_has_not_ended(states):
    run, _ = await run_in(*states)

    assert await ended_runs([run]) == {}


async def test_the_attempt_that_completed_is_the_last_one():
    run, running = await run_in(Running, Failed, Running, Completed)

    assert len(running) == 2
    assert (await ended_runs([run]))[run].last_running_state_id == running[1]


async def test_a_completed_flow_run_may_never_have_run():
    run, _ = await run_in(Completed)

    assert await ended_runs([run]) == {run: EndedRun(FlowRunEnd.COMPLETED, None)}


async def test_a_deleted_flow_run_is_gone():
    run, _ = await run_in(Running)
    async with get_client() as client:
        await client.delete_flow_run(run)

    assert await ended_runs([run]) == {run: EndedRun(FlowRunEnd.DELETED)}


async def test_what_prefect_cannot_have_made_is_not_gone():
    assert await ended_runs(["flow-run:1", "", "x"]) == {}


async def test_many_are_read_in_pages(monkeypatch):
    monkeypatch.setattr(flow_runs, "PAGE", 2)
    runs = [(await run_in(Running, Cancelled))[0] for _ in range(3)]
    gone = [str(uuid4()) for _ in range(3)]

    ended = await ended_runs([*runs, *gone, *runs])

    assert [ended[run].state for run in runs] == [FlowRunEnd.CANCELLED] * 3
    assert [ended[run].state for run in gone] == [FlowRunEnd.DELETED] * 3
    assert len(ended) == 6


@pytest.mark.usefixtures("nobody_listens")
async def test_silence_is_no_answer():
    with pytest.raises(PrefectUnavailable, match="no usable answer"):
        await ended_runs([str(uuid4())])
    with pytest.raises(PrefectUnavailable):
        await descendants(str(uuid4()))


# --- descendants ----------------------------------------------------------------------------------


async def test_descendants_are_subflow_runs_and_theirs(monkeypatch):
    monkeypatch.setattr(flow_runs, "PAGE", 1)
    made = {}

    def note(name):
        from prefect.runtime import flow_run  # noqa: PLC0415 - it is of the run that notes

        made.setdefault(name, []).append(flow_run.id)

    @flow
    def grandchild():
        note("grandchild")

    @flow
    def child(*, below: bool):
        note("child")
        if below:
            grandchild()

    @task
    def in_a_task():
        child(below=False)

    @flow
    def parent():
        note("parent")
        child(below=True)
        in_a_task.submit().result()

    parent()

    [top] = made["parent"]
    found = await descendants(top)
    assert set(found[:2]) == set(made["child"])
    assert found[2:] == made["grandchild"]
    assert await descendants(found[2]) == []
