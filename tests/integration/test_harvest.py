"""The harvest under a real Prefect: by its command and its flow, told by events, and killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Running, Suspended

from flows.harvest import harvest
from prefect_responses.attempt import Draft, Endpoint, Origin
from prefect_responses.cli.__main__ import main
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.policies import CallPolicy
from prefect_responses.engine.calls import Call
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.observers import Silent
from prefect_responses.host.report_artifacts import HARVEST_KEY
from prefect_responses.identity import canonical_json, flow_run_scope, named_scope
from prefect_responses.ledger import Ledger, WantCancel
from prefect_responses.statuses import CancelReason, Outcome
from prefect_responses.wire.requests import OPENAI

SECRET = "the secret that was asked"  # noqa: S105 - a text to be searched for
HOUR = "constant:3600"


@flow
def leaves_its_response() -> None:
    """Stand for any flow."""


def submit(world, *, scope=None, flow_run_id=None, execution="e1", texts=("one",)):
    """Submit *texts* as a process would that is gone then; return the attempts."""

    async def leave():
        ledger = await Ledger.open(world.ledger_url, clock=SystemClock())
        credentials = world.blocks["credentials"]
        api = HttpResponsesApi(Endpoint(world.emulator.url), credentials.api_key)
        try:
            engine = DurableResponses(ledger, api, SystemClock(), OPENAI, Silent())
            calls = [_call(world, text, scope, flow_run_id, execution) for text in texts]
            return [await engine.create(call) for call in calls]
        finally:
            await api.aclose()
            await ledger.aclose()

    return asyncio.run(leave())


def _call(world, text, scope, flow_run_id, execution):
    request = {"model": "echo", "input": f"{SECRET}: {text}"}
    scope = scope or named_scope("harvest")
    draft = Draft(
        scope,
        f"key:{text}",
        f"d-{text}",
        Endpoint(world.emulator.url),
        "environment",
        canonical_json(request),
        ordinal=0,
        flow_run_id=flow_run_id,
        model="echo",
    )
    return Call(draft, request, Origin(scope, execution, flow_run_id=flow_run_id), CallPolicy())


def in_ledger(world, *verbs):
    """Write *verbs*; return all attempts by key."""

    async def happen():
        ledger = await Ledger.open(world.ledger_url, clock=SystemClock())
        try:
            for verb in verbs:
                await ledger.do(verb)
            return {
                attempt.name.removeprefix("key:"): attempt async for attempt in ledger.attempts()
            }
        finally:
            await ledger.aclose()

    return asyncio.run(happen())


def run(capsys, *arguments):
    """Run the command in this process; return its exit code and its report."""
    try:
        main(["harvest", "--json", *arguments])
        code = 0
    except SystemExit as left:
        code = left.code or 0
    return code, json.loads(capsys.readouterr().out)


def events_of(label, text):
    """Return our events whose resource has *text* as *label*, as soon as the server has one."""
    wanted = EventFilter(
        event=EventNameFilter(prefix=["prefect-responses."]),
        resource=EventResourceFilter(labels={label: text}),
    )
    with get_client(sync_client=True) as client:
        for _ in range(100):
            if events := client.read_events(filter=wanted, limit=9).events:
                return events
            time.sleep(0.1)
    return []


def flow_run(*states) -> str:
    with get_client(sync_client=True) as client:
        run_id = client.create_flow_run(leaves_its_response).id
        for state in states:
            client.set_flow_run_state(run_id, state, force=True)
    return str(run_id)


def cancels(world):
    return [e for e in world.control.journal(method="POST") if e["path"].endswith("/cancel")]


# --- flow runs and events -------------------------------------------------------------------------


def test_what_a_suspended_flow_run_left_is_cancelled_with_it(world, capsys):
    world.control.set_latency(HOUR)
    run_id = flow_run(Running(), Suspended())
    [attempt] = submit(world, scope=flow_run_scope(run_id), flow_run_id=run_id)
    assert run(capsys)[1]["counts"] == {"read": 1, "at_work": 1}

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Cancelled(), force=True)
    code, report = run(capsys)

    assert (code, report["counts"]["cancelled"], len(cancels(world))) == (0, 1, 1)
    [event] = events_of("prefect-responses.attempt", attempt.id)
    assert event.event == "prefect-responses.response.cancelled"
    assert event.resource.id == f"prefect-responses.response.{attempt.response_id}"
    assert event.resource["prefect-responses.model"] == "echo"
    assert event.resource["prefect-responses.name"] == "key:one"
    assert event.resource["prefect-responses.scope"] == flow_run_scope(run_id)
    # Its own flow run is related and no other: automations act on the first one that they find.
    assert [each.id for each in event.related] == [f"prefect.flow-run.{run_id}"]
    assert event.payload["cancel_reason"] == "flow_run_cancelled"


def test_what_a_completed_flow_run_did_not_ask_for_is_an_orphan(world, capsys):
    world.control.set_latency(HOUR)
    run_id = flow_run(Running(), Running(), Completed())
    with get_client(sync_client=True) as client:
        first, last = (
            state.id for state in client.read_flow_run_states(run_id) if state.is_running()
        )
    scope = flow_run_scope(run_id)
    [orphan] = submit(world, scope=scope, execution=f"{first}:host:1", texts=["orphan"])
    submit(world, scope=scope, execution=f"{last}:host:2", texts=["asked for"])

    code, report = run(capsys)

    assert (code, cancels(world)) == (0, [])
    assert [one["attempt_id"] for one in report["orphaned"]["named"]] == [orphan.id]


def test_one_warning_for_all_that_may_be_lost_and_no_text_in_any_event(world, capsys):
    first, second = submit(world, texts=["one", "two"])
    world.control.add_fault("gone", match={"method": "GET"}, times=None)

    # As time goes by: right after its acceptance a 404 may be read-after-write lag.
    in_ledger(world)
    backdate(world)
    code, report = run(capsys)
    run(capsys)

    assert (code, report["missing"]["count"], report["counts"]["warned"]) == (3, 2, 2)
    world.control.clear_faults()
    assert run(capsys)[1]["counts"]["completed"] == 2
    [ended] = events_of("prefect-responses.attempt", first.id)
    assert ended.event == "prefect-responses.response.completed"
    assert ended.payload["total_tokens"] > 0
    [event] = events_of("prefect.resource.id", f"prefect-responses.ledger.{uuid_of(world)}")
    assert event.event == "prefect-responses.responses.expiring"
    assert set(event.payload["response_ids"]) == {first.response_id, second.response_id}
    assert SECRET not in event.model_dump_json() + ended.model_dump_json()


def backdate(world):
    import sqlite3  # noqa: PLC0415 - nothing of ours lets time pass

    with sqlite3.connect(world.ledger_file) as database:
        database.execute("UPDATE attempts SET submitted_at = submitted_at - 3600")
    database.close()


def uuid_of(world) -> str:
    async def read():
        ledger = await Ledger.open(world.ledger_url, clock=SystemClock())
        await ledger.aclose()
        return ledger.uuid

    return asyncio.run(read())


def test_a_prefect_that_is_away_costs_the_harvest_nothing(world, capsys):
    submit(world, scope=flow_run_scope(str(uuid4())))

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        code, report = run(capsys)

    assert (code, report["counts"]["completed"]) == (0, 1)
    assert report["seconds"] < 5
    assert [sentence.split(":")[0] for sentence in report["skipped"]] == [
        "Flow runs were not looked at",
        "1 events could not be sent to Prefect; the ledger has the facts.",
    ]


# --- the flow -------------------------------------------------------------------------------------


def test_the_flow_shows_its_report(world):
    world.control.set_latency(HOUR)
    [attempt] = submit(world)
    in_ledger(world, WantCancel(attempt.id, CancelReason.ASKED, time.time()))

    state = asyncio.run(harvest(return_state=True))

    assert state.is_completed()
    assert "cancelled 1" in state.message
    with get_client(sync_client=True) as client:
        run_id = state.state_details.flow_run_id
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        [artifact] = client.read_artifacts(artifact_filter=of_run)
    assert artifact.key == HARVEST_KEY
    assert "| cancelled | 1 |" in artifact.data


@pytest.mark.usefixtures("world")
def test_the_flow_fails_where_there_is_no_ledger(monkeypatch, tmp_path):
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    monkeypatch.setenv("PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL", url)

    state = asyncio.run(harvest(return_state=True))

    assert state.is_failed()
    assert "There is no ledger" in state.message


# --- again and again ------------------------------------------------------------------------------


def test_it_harvests_until_it_is_told_to_stop(world):
    submit(world)
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect_responses.cli", "harvest", "--every", "0.05"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        told = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert "completed 1" in told[0]
    assert "nothing was due" in told[2]
    assert in_ledger(world)["one"].outcome is Outcome.COMPLETED
