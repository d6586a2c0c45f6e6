"""Ledgers in which something has happened."""

from __future__ import annotations

import asyncio
import hashlib
import time

import orjson

from prefect_responses.attempt import Draft, Endpoint
from prefect_responses.clock import SystemClock
from prefect_responses.identity import job_scope, key_name
from prefect_responses.ledger import (
    Claim,
    Ledger,
    MarkInDoubt,
    Plan,
    RecordAccepted,
    Resubmit,
    Settle,
)
from prefect_responses.statuses import Outcome, ResponseStatus

ENDPOINT = Endpoint("https://api.example.com/v1")


def draft_of(key: str, job: str = "demo") -> Draft:
    request = orjson.dumps({"model": "echo", "input": f"the secret of {key}"})
    digest = f"r1:sha256:{hashlib.sha256(request).hexdigest()}"
    return Draft(job_scope(job), key_name(key), digest, ENDPOINT, "environment", request)


async def planned(ledger: Ledger, key: str) -> str:
    return (await ledger.do(Plan(draft_of(key), time.time()))).attempt.id


async def sent(ledger: Ledger, key: str) -> str:
    attempt_id = await planned(ledger, key)
    await ledger.do(Claim(attempt_id, "client-1", time.time()))
    return attempt_id


async def answered(ledger: Ledger, key: str) -> str:
    attempt_id, now = await sent(ledger, key), time.time()
    status = ResponseStatus.IN_PROGRESS
    await ledger.do(RecordAccepted(attempt_id, f"resp_{key}", status, "req_1", None, now))
    body = orjson.dumps({"id": f"resp_{key}", "text": "the answer"})
    await ledger.do(
        Settle(attempt_id, Outcome.COMPLETED, now, ResponseStatus.COMPLETED, response=body)
    )
    return attempt_id


async def doubted(ledger: Ledger, key: str) -> str:
    attempt_id = await sent(ledger, key)
    error = {"error": "AnswerAmbiguous", "message": "No answer came."}
    verb = MarkInDoubt(attempt_id, ledger.owner_id, 1, error, time.time())
    assert (await ledger.do(verb)).moved
    return attempt_id


async def given_up(ledger: Ledger, key: str) -> str:
    attempt_id = await doubted(ledger, key)
    await ledger.do(Resubmit(attempt_id, draft_of(key), time.time()))
    return attempt_id


def write(url: str, *stories) -> list[str]:
    """Let each (story, key) happen in a ledger; return the attempts' IDs."""

    async def happen() -> list[str]:
        ledger = await Ledger.open(url, clock=SystemClock())
        try:
            return [await story(ledger, key) for story, key in stories]
        finally:
            await ledger.aclose()

    return asyncio.run(happen())
