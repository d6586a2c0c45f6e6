"""Many processes on one ledger: each attempt is claimed exactly once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter

from prefect_responses.ledger import Plan, Resubmit
from prefect_responses.statuses import AttemptState, Outcome

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


def claimer(url, me):
    """A process that claims all it finds as soon as it reads a line."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    return subprocess.Popen([sys.executable, "-c", CLAIM, url, str(me)], **pipes)


async def test_eight_processes_claim_each_attempt_once(url, ledger, draft):
    planned = await ledger.do_all(Plan(draft(f"row-{i}"), at=1.0) for i in range(100))
    processes = [claimer(url, me) for me in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"

    for process in processes:
        process.stdin.write("\n")
    won = [id_ for process in processes for id_ in process.communicate()[0].split()]

    assert [process.returncode for process in processes] == [0] * 8
    assert Counter(won) == Counter(verdict.attempt.id for verdict in planned)


async def test_of_two_ids_stored_at_once_by_two_owners_one_is_surplus(ledger, other, stage, draft):
    pairs = []
    for i in range(20):
        first = await stage.doubted(f"n{i}")
        second = (await ledger.do(Resubmit(first.id, draft(f"n{i}"), at=4.0))).attempt
        pairs.append((first, await stage.claimed(second)))

    for first, second in pairs:
        ours, theirs = await asyncio.gather(
            ledger.do(stage.acceptance(first)), other.do(stage.acceptance(second))
        )

        outcomes = {ours.attempt.outcome, theirs.attempt.outcome}
        assert outcomes == {None, Outcome.SURPLUS}


ACCEPT_AND_DIE = """
import asyncio, os, signal, sys
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import Claim, Ledger, RecordAccepted

async def main(url, attempt_id):
    ledger = await Ledger.open(url, clock=SystemClock())
    await ledger.do(Claim(attempt_id, "request-1", at=2.0))
    await ledger.do(RecordAccepted(attempt_id, "resp_1", None, None, None, at=3.0))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_was_answered_outlives_the_process(url, ledger, stage):
    planned = await stage.planned()
    command = [sys.executable, "-c", ACCEPT_AND_DIE, url, planned.id]

    process = await asyncio.create_subprocess_exec(*command)

    assert await process.wait() == -signal.SIGKILL
    accepted = await ledger.attempt(planned.id)
    assert (accepted.state, accepted.response_id) == (AttemptState.SUBMITTED, "resp_1")
