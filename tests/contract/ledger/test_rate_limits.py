"""The limits that processes share: one row, changed by one at a time, by the database's clock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from prefect_responses.attempt import Endpoint
from prefect_responses.decisions.rate_limits import Bucket
from prefect_responses.ledger.rate_limits import limit_name

ENDPOINT = Endpoint("https://api.example.com/v1", "org", "proj")
FULL = Bucket(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


async def test_what_was_never_shared_is_empty(ledger):
    bucket, now = await ledger.rate_limits.read("m")
    assert bucket == Bucket()
    assert now == pytest.approx(time.time(), abs=5)


async def test_what_one_decides_the_others_find(ledger, other):
    found = []

    def decide(bucket, now):
        found.append((bucket, now))
        return FULL, "told"

    assert await ledger.rate_limits.change("m", decide, now=9.0) == "told"
    assert found == [(Bucket(), 9.0)]
    assert (await other.rate_limits.read("m"))[0] == FULL
    assert (await other.rate_limits.read("another"))[0] == Bucket()


async def test_who_changes_nothing_writes_nothing(ledger, other):
    await ledger.rate_limits.change("m", lambda _, now: (FULL, now))
    now = await other.rate_limits.change("m", lambda bucket, now: (bucket, now))
    assert now == pytest.approx(time.time(), abs=5)
    assert (await ledger.rate_limits.read("m"))[0] == FULL


async def test_what_cannot_be_decided_changes_nothing(ledger):
    def fail(bucket, now):
        raise ArithmeticError(bucket, now)

    await ledger.rate_limits.change("m", lambda _, now: (FULL, now))
    with pytest.raises(Exception, match="cannot store a value"):
        await ledger.rate_limits.change("m", fail)
    assert (await ledger.rate_limits.read("m"))[0] == FULL


async def test_of_many_at_once_none_overwrites_another(ledger, other):
    def count(bucket, _now):
        return replace(bucket, requests_at=bucket.requests_at + 1), None

    both = (ledger.rate_limits, other.rate_limits)
    await asyncio.gather(*(shared.change("m", count) for shared in both for _ in range(6)))
    assert (await ledger.rate_limits.read("m"))[0].requests_at == 12


def test_each_model_of_each_account_has_limits_of_its_own():
    names = {
        limit_name(ENDPOINT, "m"),
        limit_name(ENDPOINT, None),
        limit_name(Endpoint("https://api.example.com/v1", "org", ""), "m"),
        limit_name(Endpoint("https://api.example.com/v1", "", "org"), "m"),
        limit_name(Endpoint("https://eu.example.com/v1", "org", "proj"), "m"),
    }
    assert len(names) == 5


SENDER = """
import asyncio, sys, time
from types import SimpleNamespace as Any
from prefect_responses.attempt import Endpoint
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.rate_limits import RateLimits
from prefect_responses.engine.admission import SharedAdmission
from prefect_responses.ledger import Ledger

async def main(url, rate, seconds):
    ledger = await Ledger.open(url, clock=SystemClock())
    endpoint, limits = Endpoint("https://api.example.com/v1"), RateLimits(float(rate))
    admission = SharedAdmission(ledger.rate_limits, endpoint, SystemClock(), limits)
    call = Any(draft=Any(model="m"), tokens=0)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.time() + float(seconds)

    async def send():
        while True:
            async with admission.admit(call):
                print(time.time())

    senders = [asyncio.create_task(send()) for _ in range(20)]
    await asyncio.sleep(end - time.time())
    for sender in senders:
        sender.cancel()
    ended, _ = await asyncio.wait(senders)
    assert all(sender.cancelled() for sender in ended)
    await ledger.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


def sender(url, *numbers):
    """A process that sends as fast as it is let, as soon as it reads a line."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    return subprocess.Popen([sys.executable, "-c", SENDER, url, *map(str, numbers)], **pipes)


def test_processes_share_the_limit_and_each_gets_some_of_it(url):
    """Four of them, each of which alone could use the whole limit, for three seconds."""
    rate, seconds = 1200, 3.0
    processes = [sender(url, rate, seconds) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
    sent = [list(map(float, process.communicate()[0].split())) for process in processes]

    assert [process.returncode for process in processes] == [0] * 4
    times = sorted(moment for one in sent for moment in one)
    allowed = rate / 60 * (times[-1] - times[0] + 1.5)
    assert allowed / 3 < len(times) <= allowed
    assert all(len(one) > len(times) / 20 for one in sent)
