"""Who is alive: processes that are really killed, stopped, blocked and forked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from prefect_responses.clock import SystemClock
from prefect_responses.errors import OwnerLost
from prefect_responses.ledger import Claim, Ledger

SERVE = """
import asyncio, sys, time
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import Ledger

async def main(url, lease, how):
    ledger = await Ledger.open(url, clock=SystemClock(), lease_seconds=float(lease))
    print(ledger.owner_id, flush=True)
    if how == "block":
        sys.stdin.readline()  # and with it the whole event loop
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(ledger.holds_lease(), flush=True)
    await ledger.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def owner(url, *, lease=60.0, how="wait"):
    """A process that is an owner; gives the process and the owner's ID."""
    command = [sys.executable, "-c", SERVE, url, str(lease), how]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


async def until_dead(ledger, owner_id, within):
    """Wait until an owner is found dead; return after how many seconds."""
    start = time.monotonic()
    while await ledger.owner_is_alive(owner_id):
        assert time.monotonic() - start < within
        await asyncio.sleep(0.02)
    return time.monotonic() - start


def lock_owners(url):
    """Who has a lock file beside a SQLite ledger."""
    locks = Path(url.removeprefix("sqlite:///") + ".owners")
    return [lock.stem for lock in locks.iterdir()]


async def test_this_process_is_alive_until_it_leaves(url, ledger):
    other = await Ledger.open(url, clock=SystemClock())

    assert other.owner_id != ledger.owner_id
    assert await ledger.owner_is_alive(other.owner_id)
    assert await other.owner_is_alive(other.owner_id)
    assert other.holds_lease()
    await other.aclose()
    assert not await ledger.owner_is_alive(other.owner_id)


async def test_nobody_is_not_alive(ledger):
    assert not await ledger.owner_is_alive("nobody")


async def test_a_process_that_leaves_well_is_gone_at_once(url, ledger):
    with owner(url) as (process, owner_id):
        assert await ledger.owner_is_alive(owner_id)

        assert process.communicate("\n")[0] == "True\n"

        assert not await ledger.owner_is_alive(owner_id)


async def test_a_killed_process_is_found_dead(url, ledger):
    """At once on SQLite, by its lock; within its lease on PostgreSQL."""
    sqlite = url.startswith("sqlite")
    with owner(url, lease=60.0 if sqlite else 1.0) as (process, owner_id):
        process.send_signal(signal.SIGKILL)
        process.wait()

        await until_dead(ledger, owner_id, within=0.5 if sqlite else 5.0)

    if sqlite:
        assert lock_owners(url) == [ledger.owner_id]


async def test_a_stopped_process_is_dead_when_its_lease_ends_and_stays_dead(url, ledger):
    with owner(url, lease=1.0) as (process, owner_id):
        process.send_signal(signal.SIGSTOP)

        waited = await until_dead(ledger, owner_id, within=5.0)
        process.send_signal(signal.SIGCONT)
        held, _ = process.communicate("\n")

        assert waited > 0.1
        assert held == "False\n"
        assert not await ledger.owner_is_alive(owner_id)


async def test_a_process_whose_event_loop_is_blocked_is_alive(url, ledger):
    with owner(url, lease=0.8, how="block") as (process, owner_id):
        await asyncio.sleep(1.6)

        assert await ledger.owner_is_alive(owner_id)
        assert process.communicate("\n\n")[0] == "True\n"


async def test_a_heartbeat_that_is_too_old_ends_an_owner_for_good(url, ledger):
    """Its own renewal is refused: somebody may have seen it dead."""
    other = await Ledger.open(url, clock=SystemClock(), lease_seconds=4.0)
    async with ledger._writes.begin() as connection:
        late = "UPDATE owners SET heartbeat_at = heartbeat_at - 60 WHERE id = :id"
        await connection.execute(text(late), {"id": other.owner_id})

    async with asyncio.timeout(3.0):  # a renewal comes after one second
        while other.holds_lease():  # noqa: ASYNC110 - a thread notices, and sets no event
            await asyncio.sleep(0.01)

    assert not await ledger.owner_is_alive(other.owner_id)
    await other.aclose()


async def test_a_renewal_that_fails_is_tried_again(url, ledger):
    if not url.startswith("sqlite"):
        pytest.skip("the lock of a SQLite ledger is the plainest way to make one fail")
    other = await Ledger.open(url, clock=SystemClock(), lease_seconds=1.2)
    async with ledger._writes.begin():
        await asyncio.sleep(0.7)  # longer than one renewal waits for the lock

    await asyncio.sleep(0.7)

    assert other.holds_lease()
    assert other.lease_left() > 0.3
    await other.aclose()


async def test_a_lost_owner_registers_again_as_another(ledger, other, stage):
    claimed = await stage.claimed("ours")
    planned = await stage.planned("theirs")
    lost = other.owner_id
    other._owner.lease.lose()
    with pytest.raises(OwnerLost):
        await other.do(Claim(planned.id, "request-1", at=2.0))

    fresh = await other.register_again()
    verdict = await other.do(Claim(planned.id, "request-2", at=3.0))

    assert fresh == other.owner_id == verdict.attempt.owner_id != lost
    assert other.holds_lease()
    assert other.holds_lease(fresh)
    assert not other.holds_lease(lost)
    assert other.lease_left(lost) == 0.0
    assert not await ledger.owner_is_alive(lost)
    assert await ledger.owner_is_alive(fresh)
    assert not other.holds_lease(claimed.owner_id)


async def test_the_child_of_a_fork_is_not_its_parent(ledger, stage):
    planned = await stage.planned()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        ledger.forget_owner()
        os.write(writing, b"lost" if not ledger.holds_lease() else b"held")
        os._exit(0)

    assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
    assert os.read(reading, 4) == b"lost"
    os.close(reading)
    os.close(writing)
    assert ledger.holds_lease()
    assert await ledger.owner_is_alive(ledger.owner_id)
    assert (await ledger.do(Claim(planned.id, "request-1", at=2.0))).moved


async def test_leaving_lets_go_of_the_lock_even_if_the_ledger_is_gone(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = await Ledger.open(url, clock=SystemClock(), patience=0.05)
    other = await Ledger.open(url, clock=SystemClock())

    async with other._writes.begin():
        with pytest.raises(Exception, match="lock"):
            await ledger.aclose()

    assert not await other.owner_is_alive(ledger.owner_id)
    await other.aclose()
