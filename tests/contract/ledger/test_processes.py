"""Many processes on one ledger: each attempt is claimed exactly once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from prefect_responses.ledger import Plan

CLAIM = """
import asyncio, sys
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import Claim, Ledger

async def main(url, me):
    ledger = await Ledger.open(url, clock=SystemClock())
    ids = [attempt.id async for attempt in ledger.attempts("s")]
    print("ready", flush=True)
    sys.stdin.readline()
    claims = (Claim(id_, f"request-{me}-{id_}", at=2.0) for id_ in ids)
    callers = [asyncio.ensure_future(ledger.do(claim)) for claim in claims]
    for caller in asyncio.as_completed(callers):
        verdict = await caller
        if verdict.moved:
            assert verdict.attempt.owner_id == ledger.owner_id
            print(verdict.attempt.id)
    await ledger.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_eight_processes_claim_each_attempt_once(url, ledger, draft):
    planned = await ledger.do_all(Plan(draft(f"row-{i}"), at=1.0) for i in range(100))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIM, url, str(me)], **pipes) for me in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"

    for process in processes:
        process.stdin.write("\n")
    won = [id_ for process in processes for id_ in process.communicate()[0].split()]

    assert [process.returncode for process in processes] == [0] * 8
    assert Counter(won) == Counter(verdict.attempt.id for verdict in planned)
