"""Drive the rows that are named on the input, with whatever version of the package is found.

Run as `python row_worker.py LEDGER API`. A line is printed for each row that has ended, and one as
soon as rows are taken. It ends with its input, when all of them have ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from pydantic import SecretStr

from prefect_responses.attempt import Draft, Endpoint, Origin
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.clock import SystemClock
from prefect_responses.engine.calls import Call
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.observers import Silent
from prefect_responses.identity import canonical_json
from prefect_responses.ledger import Ledger
from prefect_responses.ledger.tables import REVISIONS
from prefect_responses.wire.requests import OPENAI


async def main(ledger_url: str, api_url: str) -> None:
    ledger = await Ledger.open(ledger_url, clock=SystemClock(), lease_seconds=3.0)
    api = HttpResponsesApi(Endpoint(api_url), SecretStr("sk-lab"))
    engine = DurableResponses(ledger, api, SystemClock(), OPENAI, Silent(), post_timeout=1.0)
    say(ready=REVISIONS[-1])
    try:
        async with asyncio.TaskGroup() as rows:
            async for text in lines():
                rows.create_task(drive(engine, api_url, text))
    finally:
        await api.aclose()
        await ledger.aclose()


async def drive(engine: DurableResponses, api_url: str, text: str) -> None:
    try:
        settled = await engine.drive_row(row(api_url, text))
    except Exception as error:  # noqa: BLE001 - the test reads what it was
        say(row=text, end=repr(error))
    else:
        attempt = settled.attempt
        say(row=text, end=str(attempt.outcome), response_id=attempt.response_id)


def row(api_url: str, text: str) -> Call:
    request = {"model": "echo", "input": text}
    body = canonical_json(request)
    draft = Draft(
        "job:upgraded", text, f"digest of {text}", Endpoint(api_url), "environment", body, ordinal=0
    )
    return Call(draft, request, Origin("job:upgraded", "row"))


async def lines() -> Any:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.rstrip("\n")


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
