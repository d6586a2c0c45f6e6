"""Passes and shards: opened, joined, superseded, taken, taken over, finished."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from prefect_responses.charges import AccountLimit, Charge
from prefect_responses.clock import SystemClock
from prefect_responses.job_errors import JobTakenOver
from prefect_responses.ledger import Account, Claim, Entry, Job, Ledger, PassProposal, Shard
from prefect_responses.statuses import PassEnd

PROPOSAL = PassProposal('{"prompt":1}', "sha256:t", "due", rows=5, shard_rows=2, plan='{"new":5}')
OTHER = replace(PROPOSAL, definition='{"prompt":2}')


async def opened(ledger, proposal=PROPOSAL, at=10.5, job="j"):
    found = await ledger.jobs.open_pass(job, proposal, at)
    assert found.how is Entry.OPENED
    return found.pass_


# --- passes ---------------------------------------------------------------------------------------


async def test_a_pass_is_opened_with_its_shards(ledger):
    pass_ = await opened(ledger)

    assert (pass_.number, pass_.run, pass_.is_open) == (1, (10, 1), True)
    assert (pass_.owner_id, pass_.plan, pass_.report) == (ledger.owner_id, '{"new":5}', None)
    assert await ledger.jobs.latest_pass("j") == pass_
    assert await ledger.jobs.read_pass("j", 1) == pass_
    assert await ledger.jobs.read_pass("j", 2) is None
    assert await ledger.jobs.latest_pass("k") is None
    shards = await ledger.jobs.shards(pass_)
    assert [(one.number, one.first, one.rows) for one in shards] == [
        (0, 0, 2),
        (1, 2, 2),
        (2, 4, 1),
        (3, 5, 0),
    ]
    assert [one.is_last for one in shards] == [False, False, False, True]
    assert not any(one.is_done or one.owner_id for one in shards)
    assert await ledger.jobs.job("j") == Job("j", 10.5, PROPOSAL.definition)


async def test_a_table_without_rows_has_its_last_shard_alone(ledger):
    pass_ = await opened(ledger, replace(PROPOSAL, rows=0))

    assert [shard.is_last for shard in await ledger.jobs.shards(pass_)] == [True]
    assert (await ledger.jobs.take_shard(pass_)).is_last


async def test_who_proposes_the_same_joins(ledger, other):
    pass_ = await opened(ledger)

    for one in (ledger, other):
        found = await one.jobs.open_pass("j", replace(PROPOSAL, plan="{}"), at=11.0)
        assert (found.how, found.pass_) == (Entry.JOINED, pass_)


async def test_many_who_propose_at_once_find_one_pass(ledger, other):
    proposals = (one.jobs.open_pass("j", PROPOSAL, at=10.0) for one in (ledger, other) * 4)

    found = await asyncio.gather(*proposals)

    assert sorted(one.how for one in found) == [Entry.JOINED] * 7 + [Entry.OPENED]
    assert {one.pass_.number for one in found} == {1}


async def test_a_pass_that_is_done_is_followed_by_a_later_one(ledger):
    first = await opened(ledger, at=10.0)

    assert await ledger.jobs.close_pass(first, '{"rows":5}', at=20.0)
    assert await ledger.jobs.close_pass(first, '{"rows":5}', at=20.0)  # the answer was lost
    assert not await ledger.jobs.close_pass(first, "{}", at=20.0)
    assert not await ledger.jobs.close_pass(first, '{"rows":5}', at=21.0)

    closed = await ledger.jobs.read_pass("j", 1)
    ended = (closed.closed_as, closed.closed_at, closed.report, closed.is_open)
    assert ended == (PassEnd.DONE, 20.0, '{"rows":5}', False)
    assert (await ledger.jobs.shards(first))[-1].done_at == 20.0
    assert await ledger.jobs.take_shard(first) is None
    second = await opened(ledger, at=9.0)
    assert (second.number, second.run) == (2, (10, 2))
    assert await ledger.jobs.latest_pass("j") == second


@pytest.mark.parametrize(
    "change", [{"definition": "2"}, {"table_digest": "2"}, {"selection": "2"}], ids=str
)
async def test_another_one_waits_for_who_opened_it(ledger, other, change):
    pass_, proposal = await opened(ledger), replace(PROPOSAL, **change)

    busy = await other.jobs.open_pass("j", proposal, at=11.0)
    assert (busy.how, busy.pass_) == (Entry.BUSY, pass_)
    assert not await other.jobs.leave_pass(pass_)
    assert await ledger.jobs.leave_pass(pass_)

    taking_over = await opened(other, proposal, at=12.0)
    assert (taking_over.number, taking_over.owner_id) == (2, other.owner_id)
    assert (await ledger.jobs.read_pass("j", 1)).closed_as is PassEnd.SUPERSEDED
    with pytest.raises(JobTakenOver, match="began anew"):
        await ledger.jobs.take_shard(pass_)
    assert not await ledger.jobs.close_pass(pass_, "{}", at=13.0)


async def test_another_one_waits_for_who_holds_a_shard(url, ledger, other):
    pass_ = await opened(ledger)
    await ledger.jobs.leave_pass(pass_)
    helper = await Ledger.open(url, clock=SystemClock())
    shard = await helper.jobs.take_shard(pass_)

    assert (await other.jobs.open_pass("j", OTHER, at=11.0)).how is Entry.BUSY

    await helper.aclose()  # it leaves without a word, as a crash does
    await opened(other, OTHER, at=12.0)
    assert not (await ledger.jobs.read_pass("j", 1)).is_open
    assert (await ledger.jobs.shards(pass_))[0] == shard


async def test_jobs_are_apart(ledger):
    pass_ = await opened(ledger)
    other = await opened(ledger, OTHER, at=11.0, job="k")

    await ledger.jobs.take_shard(pass_)

    assert [shard.fence for shard in await ledger.jobs.shards(other)] == [0] * 4
    assert [job.name for job in await ledger.jobs.list_jobs()] == ["j", "k"]


# --- parking --------------------------------------------------------------------------------------


async def test_a_job_is_parked_until_somebody_goes_on(ledger):
    assert await ledger.jobs.job("j") is None
    await ledger.jobs.park("j", "quota", "Nothing is left.", at=5.0)
    parked = Job("j", 5.0, None, 5.0, "quota", "Nothing is left.")
    assert await ledger.jobs.job("j") == parked

    await opened(ledger)
    assert await ledger.jobs.job("j") == Job("j", 5.0, PROPOSAL.definition)
    await ledger.jobs.park("j", "model", "There is none.", at=6.0)
    assert (await ledger.jobs.job("j")).parked_kind == "model"
    busy = await ledger.jobs.open_pass("j", OTHER, at=7.0)
    assert busy.how is Entry.BUSY
    assert (await ledger.jobs.job("j")).parked_at == 6.0
    await ledger.jobs.open_pass("j", PROPOSAL, at=8.0)
    assert await ledger.jobs.list_jobs() == [Job("j", 5.0, PROPOSAL.definition)]


# --- shards ---------------------------------------------------------------------------------------


async def test_shards_are_taken_in_order_and_the_last_when_the_others_are_done(ledger, other):
    pass_ = await opened(ledger)

    first, second = [await one.jobs.take_shard(pass_) for one in (ledger, other)]
    third = await ledger.jobs.take_shard(pass_)
    assert [shard.number for shard in (first, second, third)] == [0, 1, 2]
    assert (first.owner_id, second.owner_id, first.fence) == (ledger.owner_id, other.owner_id, 1)
    assert first.taken_at is not None
    assert await ledger.jobs.take_shard(pass_) is None
    for holder, shard in ((ledger, first), (other, second)):
        assert await holder.jobs.finish_shard(shard, '{"rows":2}', at=20.0)
        assert await holder.jobs.take_shard(pass_) is None
    await ledger.jobs.finish_shard(third, "{}", at=20.0)

    last = await other.jobs.take_shard(pass_)

    assert (last.number, last.is_last) == (3, True)
    assert await ledger.jobs.take_shard(pass_) is None
    assert (await ledger.jobs.shards(pass_))[0] == replace(first, done_at=20.0, counts='{"rows":2}')


async def test_a_released_shard_is_taken_again_and_its_old_holder_can_do_nothing(ledger, other):
    pass_ = await opened(ledger)
    shard = await ledger.jobs.take_shard(pass_)

    assert await ledger.jobs.release_shard(shard)
    assert not await ledger.jobs.release_shard(shard)
    again = await other.jobs.take_shard(pass_)

    assert (again.number, again.fence) == (0, 2)
    assert not await ledger.jobs.finish_shard(shard, "{}", at=20.0)
    assert not await ledger.jobs.release_shard(shard)
    assert await other.jobs.finish_shard(again, "{}", at=20.0)
    assert await other.jobs.finish_shard(again, "{}", at=21.0)  # the answer was lost
    assert (await ledger.jobs.shards(pass_))[0].done_at == 20.0
    assert not await ledger.jobs.finish_shard(shard, "{}", at=22.0)


async def test_lanes_that_ask_at_once_take_one_each(ledger, other):
    pass_ = await opened(ledger, replace(PROPOSAL, rows=4))

    taken = await asyncio.gather(*(one.jobs.take_shard(pass_) for one in (ledger, other) * 4))

    assert sorted(shard.number for shard in taken if shard is not None) == [0, 1]
    assert taken.count(None) == 6


async def test_a_shard_that_was_taken_since_it_was_seen_is_not_taken_twice(ledger, other):
    pass_ = await opened(ledger)
    seen = (await ledger.jobs.shards(pass_))[0]
    await other.jobs.take_shard(pass_)

    assert await ledger.jobs._take(pass_, seen) is None
    assert (await ledger.jobs.take_shard(pass_)).number == 1


async def test_a_shard_is_not_taken_of_a_pass_that_was_closed_since_it_was_seen(ledger):
    pass_ = await opened(ledger)
    seen = (await ledger.jobs.shards(pass_))[0]
    await ledger.jobs.close_pass(pass_, "{}", at=20.0)

    assert await ledger.jobs._take(pass_, seen) is None


async def test_a_process_that_was_taken_for_dead_loses_its_shards_to_others(ledger, other):
    pass_ = await opened(ledger)
    kept, lost = [await ledger.jobs.take_shard(pass_) for _ in range(2)]
    await ledger.register_again()

    assert (await ledger.jobs.take_shard(pass_)).number == 2  # it is still at work on the two
    assert await ledger.jobs.finish_shard(kept, "{}", at=20.0)
    assert (await other.jobs.take_shard(pass_)).number == lost.number

    assert not await ledger.jobs.finish_shard(lost, "{}", at=20.0)


async def test_a_shard_whose_taking_was_never_answered_is_taken_by_its_holder(ledger, other):
    """A connection may break at its commit, and a caller may be cancelled."""
    pass_ = await opened(ledger)
    seen = (await ledger.jobs.shards(pass_))[0]
    lost = await ledger.jobs._take(pass_, seen)

    assert (await other.jobs.take_shard(pass_)).number == 1
    taken = await ledger.jobs.take_shard(pass_)

    assert (taken.number, taken.fence) == (0, lost.fence + 1)
    assert (await ledger.jobs.take_shard(pass_)).number == 2


TAKE = """
import asyncio, os, signal, sys
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import Ledger

async def main(url, stays):
    ledger = await Ledger.open(url, clock=SystemClock(), lease_seconds=1.0)
    pass_ = await ledger.jobs.latest_pass("j")
    print("ready", flush=True)
    sys.stdin.readline()
    while shard := await ledger.jobs.take_shard(pass_):
        print(shard.number, flush=True)
        if stays == "stays":
            await asyncio.sleep(60)
        assert await ledger.jobs.finish_shard(shard, "{}", 1.0)
        if shard.is_last:
            assert await ledger.jobs.close_pass(pass_, "{}", 2.0)
    await ledger.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


def taker(url, stays="goes"):
    """A process that takes and finishes shards as soon as it reads a line, or stays with one."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    return subprocess.Popen([sys.executable, "-c", TAKE, url, stays], **pipes)


async def test_eight_processes_take_each_shard_once(url, ledger):
    await opened(ledger, replace(PROPOSAL, rows=60, shard_rows=2))
    processes = [taker(url) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"

    for process in processes:
        process.stdin.write("\n")
    taken = [int(line) for process in processes for line in process.communicate()[0].split()]

    assert [process.returncode for process in processes] == [0] * 8
    assert sorted(taken) == list(range(len(taken)))
    assert len(taken) in {30, 31}  # all may leave while the last of the others is being finished
    undone = (await ledger.jobs.shards(await ledger.jobs.latest_pass("j")))[:-1]
    assert all(shard.is_done for shard in undone)


async def test_the_shard_of_a_killed_process_is_taken_over_and_of_a_living_one_is_not(url, ledger):
    pass_ = await opened(ledger, replace(PROPOSAL, rows=4))
    holders = [taker(url, "stays") for _ in range(2)]
    for number, holder in enumerate(holders):
        assert holder.stdout.readline() == "ready\n"
        holder.stdin.write("\n")
        assert holder.stdout.readline() == f"{number}\n"
    assert await ledger.jobs.take_shard(pass_) is None

    holders[0].kill()
    holders[0].wait()
    taken = None
    while taken is None:  # on PostgreSQL its lease must run out
        taken = await ledger.jobs.take_shard(pass_)
        await asyncio.sleep(0.05)

    assert (taken.number, taken.fence) == (0, 2)
    assert await ledger.jobs.take_shard(pass_) is None
    holders[1].kill()
    for holder in holders:
        holder.communicate()


# --- accounts -------------------------------------------------------------------------------------


async def test_a_new_pass_counts_the_reservations_of_its_job_again(ledger, stage):
    """Code that is older than accounts settles without knowing of them."""
    charge = Charge((AccountLimit("job:j"), AccountLimit("day:1:job:j")), usd=100, tokens=7)
    elsewhere = Charge((AccountLimit("job:j:day:1"),), usd=100, tokens=7)
    for name in ("flying", "planned", "settled"):
        planned = await stage.planned(name)
        await ledger.do(Claim(planned.id, f"request-{name}", at=2.0, charge=charge))
    planned = await stage.planned("elsewhere")
    await ledger.do(Claim(planned.id, "request-e", at=2.0, charge=elsewhere))
    settled = "UPDATE attempts SET state = 'settled', outcome = 'failed' WHERE name = 'settled'"
    async with ledger._writes.begin() as connection:
        await connection.exec_driver_sql(settled)
        await connection.exec_driver_sql(
            "UPDATE attempts SET state = 'planned' WHERE name = 'planned'"
        )
        await connection.exec_driver_sql("UPDATE accounts SET spent_usd = 50, spent_tokens = 5")
    assert (await ledger.account("job:j")).in_flight == 3

    await opened(ledger)

    spent = {"spent_usd": 50, "spent_tokens": 5}
    assert await ledger.accounts("job:j") == [
        Account("job:j", 1, 100, 7, **spent),
        Account("day:1:job:j", 1, 100, 7, **spent),
    ]
    async with ledger._writes.begin() as connection:
        await connection.exec_driver_sql("UPDATE attempts SET state = 'planned', outcome = NULL")
    await ledger.jobs.close_pass(await ledger.jobs.latest_pass("j"), "{}", at=20.0)
    await opened(ledger, at=21.0)
    assert await ledger.account("job:j") == Account("job:j", **spent)
    assert (await ledger.account("job:j:day:1")).in_flight == 1


def test_a_shard_is_a_value():
    assert Shard("j", 1, 0, first=0, rows=2) == Shard("j", 1, 0, 0, 2, None, 0)
