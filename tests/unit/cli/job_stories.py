"""Jobs whose rows have ended in several ways, written to a ledger without sending anything."""

from __future__ import annotations

import asyncio
import hashlib

import orjson

from prefect_responses.attempt import Draft, Endpoint
from prefect_responses.charges import AccountLimit, Charge, Price
from prefect_responses.clock import SystemClock
from prefect_responses.identity import job_scope, row_name
from prefect_responses.ledger import (
    Claim,
    Classify,
    Ledger,
    PassProposal,
    Plan,
    RecordAccepted,
    Settle,
)
from prefect_responses.statuses import Outcome, ResponseStatus

ENDPOINT = Endpoint("https://api.example.com/v1")
#: 1 USD a million tokens read, 4 USD written.
PRICE = Price(input=1_000_000, cached_input=1_000_000, output=4_000_000)
NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC
USAGE = {"input_tokens": 1000, "output_tokens": 500}


def draft_of(job, key, **options) -> Draft:
    request = orjson.dumps({"model": "m", "input": f"the secret of {key}", **options})
    digest = f"r1:sha256:{hashlib.sha256(request).hexdigest()}"
    scope, name = job_scope(job), row_name(key)
    return Draft(scope, name, digest, ENDPOINT, "environment", request, ordinal=0, model="m")


def charge_of(job, price=PRICE) -> Charge:
    accounts = (AccountLimit(job_scope(job)), AccountLimit(f"day:2026-11-21:{job_scope(job)}"))
    return Charge(accounts, usd=9_000_000, tokens=5000, price=price)


async def in_flight(ledger: Ledger, job: str, key: str, *, charge=None, **options) -> str:
    attempt_id = (await ledger.do(Plan(draft_of(job, key, **options), NOON))).attempt.id
    await ledger.do(Claim(attempt_id, "client-1", NOON, charge=charge))
    status = ResponseStatus.IN_PROGRESS
    await ledger.do(RecordAccepted(attempt_id, f"resp_{key}", status, "req_1", None, NOON))
    return attempt_id


async def ended(  # noqa: PLR0913 - the facts of a row, all named
    ledger: Ledger, job: str, key: str, row_class=None, *, usage=USAGE, text="{}", **more
) -> str:
    attempt_id = await in_flight(ledger, job, key, **more)
    part = {"type": "output_text", "text": text}
    message = {"type": "message", "role": "assistant", "content": [part]}
    body = orjson.dumps({"id": f"resp_{key}", "status": "completed", "output": [message]})
    outcome = Outcome.FAILED if row_class == "failed" else Outcome.COMPLETED
    status = ResponseStatus(outcome.value)
    await ledger.do(Settle(attempt_id, outcome, NOON + 5, status, body, usage))
    if row_class is not None:
        await ledger.do(Classify(attempt_id, row_class, NOON + 6))
    return attempt_id


async def a_pass(ledger: Ledger, job: str, rows: int):
    proposal = PassProposal("{}", "digest", "{}", rows, shard_rows=2)
    return (await ledger.jobs.open_pass(job, proposal, NOON)).pass_


def write(url: str, story):
    """Let a *story*, an async function of a ledger, happen."""

    async def happen():
        ledger = await Ledger.open(url, clock=SystemClock())
        try:
            return await story(ledger)
        finally:
            await ledger.aclose()

    return asyncio.run(happen())


async def reviews(ledger: Ledger) -> None:
    """Two rows are answered, three are dead, one is in flight."""
    begun = await a_pass(ledger, "reviews", 6)
    charge = charge_of("reviews")
    await ended(ledger, "reviews", "a", charge=charge)
    await ended(ledger, "reviews", "b", charge=charge)
    await ended(ledger, "reviews", "c", "schema", charge=charge)
    await ended(ledger, "reviews", "d", "truncated", charge=charge)
    await ended(ledger, "reviews", "e", "failed", charge=charge, usage=None)
    await in_flight(ledger, "reviews", "f", charge=charge)
    shard = await ledger.jobs.take_shard(begun)
    await ledger.jobs.finish_shard(shard, "{}", NOON + 7)
