"""Harvests that are killed between two durable steps: the next one goes on, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from prefect.client.orchestration import get_client
from pydantic import SecretStr

from flows import harvest as harvests
from prefect_responses.attempt import Draft, Endpoint, Origin
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.clock import SystemClock
from prefect_responses.engine.calls import Call
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.observers import Silent
from prefect_responses.identity import canonical_json
from prefect_responses.ledger import Ledger, SetDeadline, WantCancel
from prefect_responses.statuses import CancelReason
from prefect_responses.wire.requests import OPENAI

ENDED, RUNNING = ("ended 1", "ended 2"), ("owed", "overdue")
#: The owed cancel has arrived; its end is read; the next cancel is wanted and was not sent.
POINTS = ("after_cancel", "before_settling", "before_cancel")


def test_a_harvest_that_is_killed_anywhere_loses_nothing(lab):
    lab.control.set_latency("constant:3600")
    ids = asyncio.run(left_behind(lab, RUNNING, owed="owed", overdue="overdue"))
    lab.control.set_latency("instant")
    asyncio.run(left_behind(lab, ENDED))

    ends = [harvest(lab, crash=f"{point}:kill") for point in POINTS]
    assert ends == [-signal.SIGKILL] * len(POINTS), lab.all_logs()
    assert lab.attempts("overdue", "cancel_reason, cancel_answer") == [("deadline", None)]
    assert harvest(lab) == 0, lab.all_logs()

    assert [lab.attempts(text) for text in RUNNING] == [["cancelled"]] * 2
    assert [lab.attempts(text) for text in ENDED] == [["completed"]] * 2
    assert set(lab.cancelled_ids()) == set(ids)
    assert sum(lab.posted().values()) == 4


def harvest(lab, crash="") -> int:
    """Run the flow of the deployment in a process; return its exit code."""
    with get_client(sync_client=True) as client:
        run_id = str(client.create_flow_run(harvests.harvest).id)
    entrypoint = f"{Path(harvests.__file__)}:harvest"
    env = lab._environment(run_id, crash, lab.ledger_url)
    process = lab.nursery.start(entrypoint, lab.folder / f"{run_id}.log", env)
    lab.started.append(process)
    return process.wait(60)


async def left_behind(lab, texts, *, owed="", overdue="") -> list[str]:
    """Submit *texts* as a process would that is gone then; return the response IDs."""
    ledger = await Ledger.open(lab.ledger_url, clock=SystemClock())
    api = HttpResponsesApi(Endpoint(lab.emulator.url), SecretStr("sk-lab"))
    engine, now = DurableResponses(ledger, api, SystemClock(), OPENAI, Silent()), time.time()
    ids = []
    try:
        for text in texts:
            attempt = await engine.create(call(lab, text))
            ids.append(attempt.response_id)
            if text == owed:
                await ledger.do(WantCancel(attempt.id, CancelReason.ASKED, now))
            if text == overdue:
                await ledger.do(SetDeadline(attempt.id, now - 1, now))
    finally:
        await api.aclose()
        await ledger.aclose()
    return ids


def call(lab, text) -> Call:
    request = {"model": "echo", "input": text}
    endpoint, body = Endpoint(lab.emulator.url), canonical_json(request)
    draft = Draft(
        "scope:left", f"key:{text}", f"d-{text}", endpoint, "environment", body, ordinal=0
    )
    return Call(draft, request, Origin("scope:left", "e1"))
