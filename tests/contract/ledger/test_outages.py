"""The server of a ledger goes away for a moment: what was asked is done once, and is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

from prefect_responses.errors import LedgerUnavailable
from prefect_responses.ledger import Entry, PassProposal, Plan, outages
from prefect_responses.ledger.dialects import is_outage, parse_url

pytestmark = pytest.mark.parametrize("url", ["postgresql"], indirect=True)

CUT = text(
    "SELECT pid FROM pg_locks JOIN pg_database ON database = oid "
    "WHERE datname = current_database() AND relation = to_regclass(:table) AND NOT granted "
    "AND pg_terminate_backend(pid)"
)


@contextmanager
def losing_the_first_answer(ledger):
    """Break the connection right after its first commit was done."""
    lost = []

    def committed(connection):
        if not lost:
            lost.append(connection)
            connection.exec_driver_sql("COMMIT")
            connection.invalidate()
            raise ConnectionResetError

    event.listen(ledger._writes.sync_engine, "commit", committed)
    yield
    event.remove(ledger._writes.sync_engine, "commit", committed)
    assert lost


@asynccontextmanager
async def cutting(url, times, table="attempts"):
    """Keep everybody from a table, and cut so many connections of those who wait for it."""
    engine, locked = create_async_engine(parse_url(url)), asyncio.Event()

    async def cut():
        async with engine.begin() as connection:
            await connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            locked.set()
            done = set()
            while len(done) < times:
                done |= set((await connection.execute(CUT, {"table": table})).scalars())
                await asyncio.sleep(0.01)  # the server tells nobody that somebody waits

    task = asyncio.create_task(cut())
    await locked.wait()
    yield
    await task
    await engine.dispose()


async def test_a_write_whose_connection_is_cut_is_done_once(url, ledger, draft):
    async with cutting(url, times=1):
        verdict = await ledger.do(Plan(draft(), at=1.0))

    assert verdict.moved
    assert len(await ledger.history("s", "n", 0)) == 1


async def test_a_read_whose_connection_is_cut_is_done_again(url, ledger, stage):
    planned = await stage.planned()

    async with cutting(url, times=2):
        assert await ledger.attempt(planned.id) == planned


async def test_a_shard_that_is_taken_while_connections_are_cut_is_taken_once(url, ledger):
    proposal = PassProposal("{}", "digest", "{}", rows=2, shard_rows=1, plan="{}")
    async with cutting(url, times=1, table="passes"):
        found = await ledger.jobs.open_pass("job", proposal, at=1.0)
    async with cutting(url, times=2, table="shards"):
        first = await ledger.jobs.take_shard(found.pass_)
    async with cutting(url, times=1, table="shards"):
        assert await ledger.jobs.finish_shard(first, "{}", at=2.0)

    second = await ledger.jobs.take_shard(found.pass_)
    assert (found.how, first.number, second.number) == (Entry.OPENED, 0, 1)


async def test_a_shard_and_a_pass_that_were_ended_by_a_commit_without_an_answer_are_ended(ledger):
    """What is done again after an outage finds that it did it."""
    proposal = PassProposal("{}", "digest", "{}", rows=1, shard_rows=1)
    found = await ledger.jobs.open_pass("job", proposal, at=1.0)
    shard = await ledger.jobs.take_shard(found.pass_)
    with losing_the_first_answer(ledger):
        assert await ledger.jobs.finish_shard(shard, "{}", at=2.0)
    with losing_the_first_answer(ledger):
        assert await ledger.jobs.close_pass(found.pass_, "{}", at=3.0)


async def test_a_server_that_stays_away_is_named(url, ledger, draft, monkeypatch):
    monkeypatch.setattr(outages, "PAUSES", (0.0, 0.0))

    async with cutting(url, times=3):
        with pytest.raises(LedgerUnavailable):
            await ledger.do(Plan(draft(), at=1.0))

    assert await ledger.history("s", "n", 0) == []


def test_no_route_to_a_server_is_an_outage(url):
    del url
    assert is_outage(ConnectionRefusedError())
    assert not is_outage(ValueError())
