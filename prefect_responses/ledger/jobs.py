"""Jobs, their passes and shards: who goes over which rows, on however many machines.

Nothing here is on the path of a row, so each call is a transaction of its own. What keeps a row
from being paid twice is the claim on its attempt; shards only divide the work.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from prefect_responses.identity import job_scope
from prefect_responses.job_errors import JobTakenOver
from prefect_responses.ledger import job_statements as statements
from prefect_responses.ledger.accounts import NO_RESERVATION, reservations
from prefect_responses.ledger.dialects import translated
from prefect_responses.ledger.outages import outlasting
from prefect_responses.ledger.passes import (
    Entry,
    Job,
    Pass,
    PassFound,
    Shard,
    pass_of,
    shard_rows_of,
)
from prefect_responses.ledger.rows import read_charge
from prefect_responses.ledger.tables import jobs
from prefect_responses.statuses import PassEnd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import Executable, Update
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from prefect_responses.ledger.dialects import Dialect
    from prefect_responses.ledger.passes import PassProposal


T = TypeVar("T")


class Owners(Protocol):
    """Who this process is, and who else lives."""

    @property
    def owner_id(self) -> str:
        """Return the ID of this process as an owner."""

    async def owner_is_alive(self, owner_id: str) -> bool:
        """Tell whether an owner may still be at work; one that is found dead stays dead."""


class JobBook:
    """The jobs of a ledger.

    Args:
        reads: connections that only read.
        writes: connections whose transactions take the write lock.
        dialect: what kind of database it is.
        owners: who this process is, and who else lives.
    """

    def __init__(
        self, reads: AsyncEngine, writes: AsyncEngine, dialect: Dialect, owners: Owners
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._dialect = dialect
        self._owners = owners
        # What this process knows that it holds. It may hold more: the answer to a commit can be
        # lost, and a caller can be cancelled.
        self._held: set[Shard] = set()
        self._taking = asyncio.Lock()

    # --- jobs -------------------------------------------------------------------------------------

    async def job(self, name: str) -> Job | None:
        """Return a job, or None if it was neither run nor parked."""
        rows = await self._read(statements.job_named(name))
        return Job(*rows[0]) if rows else None

    async def list_jobs(self) -> list[Job]:
        """Return all jobs by name."""
        return [Job(*row) for row in await self._read(statements.all_jobs())]

    async def park(self, job: str, kind: str, reason: str, at: float) -> None:
        """Say why a job cannot go on for now; opening or joining a pass takes it back.

        Args:
            job: its name.
            kind: what kind of reason it is.
            reason: the reason in words.
            at: seconds since the epoch.
        """
        parked = {"parked_at": at, "parked_kind": kind, "parked_reason": reason}

        async def change(connection: AsyncConnection) -> None:
            await self._lock_job(connection, job, at)
            await connection.execute(statements.change_job(job, parked))

        await self._write(change)

    async def _lock_job(self, connection: AsyncConnection, job: str, at: float) -> None:
        new = {"name": job, "created_at": at}
        await connection.execute(statements.add_unless_there(self._dialect, jobs), new)
        await connection.execute(statements.lock_job(job))

    # --- passes -----------------------------------------------------------------------------------

    async def open_pass(self, job: str, proposal: PassProposal, at: float) -> PassFound:
        """Open a pass, or join the one that is open and asks for the same.

        One that asks for something else is closed as superseded, unless a living process opened it
        or holds a shard of it: then it is returned as `BUSY`, and nothing is changed. A job that
        is opened or joined is not parked any more. After a crash of the caller, who calls again
        joins what was opened.

        Args:
            job: name of the job.
            proposal: what to go over.
            at: seconds since the epoch.
        """
        dead: set[str] = set()
        while True:
            found, holders = await self._try_to_enter(job, proposal, at, dead)
            if found.how is not Entry.BUSY or await self._any_lives(holders):
                return found
            dead |= holders

    async def _any_lives(self, owner_ids: set[str]) -> bool:
        for owner_id in sorted(owner_ids):
            if await self._owners.owner_is_alive(owner_id):
                return True
        return False

    async def _try_to_enter(
        self, job: str, proposal: PassProposal, at: float, dead: set[str]
    ) -> tuple[PassFound, set[str]]:
        async def enter(connection: AsyncConnection) -> tuple[PassFound, set[str]]:
            await self._lock_job(connection, job, at)
            return await self._enter(connection, job, proposal, at, dead)

        return await self._write(enter)

    async def _enter(
        self,
        connection: AsyncConnection,
        job: str,
        proposal: PassProposal,
        at: float,
        dead: set[str],
    ) -> tuple[PassFound, set[str]]:
        last = await self._locked_pass(connection, job)
        if last is not None and last.is_open:
            if last.is_of(proposal):
                await connection.execute(statements.change_job(job, _UNPARKED))
                return PassFound(last, Entry.JOINED), set()
            if holders := await _holders(connection, last) - dead:
                return PassFound(last, Entry.BUSY), holders
            await connection.execute(statements.close(last, PassEnd.SUPERSEDED, at, None))
        return PassFound(
            await self._begin(connection, job, proposal, at, last), Entry.OPENED
        ), set()

    async def _begin(
        self,
        connection: AsyncConnection,
        job: str,
        proposal: PassProposal,
        at: float,
        last: Pass | None,
    ) -> Pass:
        """Write a new pass and its shards down."""
        number, opened_at = (1, at) if last is None else (last.number + 1, max(at, last.opened_at))
        begun = Pass(
            job,
            number,
            proposal.definition,
            proposal.table_digest,
            proposal.selection,
            proposal.rows,
            proposal.shard_rows,
            self._owners.owner_id,
            proposal.plan,
            report=None,
            opened_at=opened_at,
        )
        await connection.execute(statements.add_pass(), asdict(begun))
        await connection.execute(statements.add_shards(), shard_rows_of(begun))
        changes = {"definition": proposal.definition} | _UNPARKED
        await connection.execute(statements.change_job(job, changes))
        await _recount(connection, job_scope(job))
        return begun

    async def _locked_pass(
        self, connection: AsyncConnection, job: str, number: int | None = None
    ) -> Pass | None:
        # Whoever takes a shard locks the pass too: it is not superseded under his hands.
        locking = statements.passes_of(job, number).with_for_update()
        row = (await connection.execute(locking)).one_or_none()
        return None if row is None else pass_of(row)

    async def latest_pass(self, job: str) -> Pass | None:
        """Return the pass of a job that was opened last."""
        rows = await self._read(statements.passes_of(job))
        return pass_of(rows[0]) if rows else None

    async def read_pass(self, job: str, number: int) -> Pass | None:
        """Return a pass as it stands now."""
        rows = await self._read(statements.passes_of(job, number))
        return pass_of(rows[0]) if rows else None

    async def leave_pass(self, pass_: Pass) -> bool:
        """Leave a pass open that this process opened, so that another one may supersede it.

        Shards are released one by one. Returns whether this process was its opener.
        """
        return await self._moves(statements.leave(pass_, self._owners.owner_id))

    async def close_pass(self, pass_: Pass, report: str, at: float) -> bool:
        """Close a pass whose results are written, and finish its last shard in the same commit.

        Args:
            pass_: the pass.
            report: JSON of what came of it.
            at: seconds since the epoch.

        Returns:
            Whether it is closed by this: false if it was closed otherwise before.
        """

        async def close(connection: AsyncConnection) -> bool:
            closing = statements.close(pass_, PassEnd.DONE, at, report)
            if (await connection.execute(closing)).rowcount == 1:
                await connection.execute(statements.finish_last(pass_, at))
                return True
            # An outage may have swallowed the answer to the commit that closed it.
            now = await self._locked_pass(connection, pass_.job, pass_.number)
            ended = (PassEnd.DONE, at, report)
            return now is not None and (now.closed_as, now.closed_at, now.report) == ended

        return await self._write(close)

    # --- shards -----------------------------------------------------------------------------------

    async def shards(self, pass_: Pass) -> list[Shard]:
        """Return the shards of a pass in their order."""
        return [Shard(*row) for row in await self._read(statements.shards_of(pass_))]

    async def take_shard(self, pass_: Pass) -> Shard | None:
        """Take the first shard that nobody living holds, or None if there is none now.

        The last one, which writes the results, is there only when all others are done. What a
        process held that dies is there again.

        Raises:
            JobTakenOver: the pass was superseded.
        """
        async with self._taking:
            while free := await self._free_shards(pass_):
                for shard in free:
                    if taken := await self._take(pass_, shard):
                        self._held.add(taken)
                        return taken
            return None

    async def _free_shards(self, pass_: Pass) -> list[Shard]:
        if not _can_go_on(await self.read_pass(pass_.job, pass_.number)):
            return []
        undone = [Shard(*row) for row in await self._read(statements.shards_of(pass_, undone=True))]
        ready = [shard for shard in undone if not shard.is_last] or undone
        others = {shard.owner_id for shard in ready} - {None, self._owners.owner_id}
        living = {id_ for id_ in others if id_ and await self._owners.owner_is_alive(id_)}
        return [
            shard for shard in ready if shard.owner_id not in living and shard not in self._held
        ]

    async def _take(self, pass_: Pass, shard: Shard) -> Shard | None:
        taking = statements.take(shard, self._owners.owner_id, self._dialect.now())

        async def take(connection: AsyncConnection) -> Shard | None:
            now = await self._locked_pass(connection, pass_.job, pass_.number)
            if not _can_go_on(now):
                return None
            row = (await connection.execute(taking)).one_or_none()
            return None if row is None else Shard(*row)

        return await self._write(take)

    async def release_shard(self, shard: Shard) -> bool:
        """Give a shard back unfinished; returns whether it was still held as it was taken."""
        self._held.discard(shard)
        return await self._moves(statements.release(shard))

    async def finish_shard(self, shard: Shard, counts: str, at: float) -> bool:
        """Finish a shard; one that is finished stays so, with its counts.

        Args:
            shard: as it was taken.
            counts: JSON of what came of its rows.
            at: seconds since the epoch.

        Returns:
            Whether it is finished as it was taken: if not, another process drives it or did.
        """

        async def finish(connection: AsyncConnection) -> bool:
            finishing = statements.finish(shard, counts, at)
            if (await connection.execute(finishing)).rowcount == 1:
                return True
            # An outage may have swallowed the answer to the commit that finished it.
            return (await connection.execute(statements.finished(shard))).first() is not None

        finished = await self._write(finish)
        self._held.discard(shard)
        return finished

    async def _moves(self, change: Update) -> bool:
        async def move(connection: AsyncConnection) -> bool:
            return (await connection.execute(change)).rowcount == 1

        return await self._write(move)

    async def _write(self, do: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do it in a transaction, and again if the server goes away meanwhile.

        If the first one was committed all the same, a shard that was taken is found to be ours and
        nobody's, and is taken once more; what was finished, released or closed is so already.
        """

        async def transaction() -> T:
            async with self._writes.begin() as connection:
                return await do(connection)

        with translated():
            return await outlasting(transaction)

    async def _read(self, statement: Executable) -> Sequence[Any]:
        with translated():
            return await outlasting(lambda: self._rows(statement))

    async def _rows(self, statement: Executable) -> Sequence[Any]:
        async with self._reads.connect() as connection:
            return (await connection.execute(statement)).all()


_UNPARKED = dict.fromkeys(("parked_at", "parked_kind", "parked_reason"))


def _can_go_on(pass_: Pass | None) -> bool:
    if pass_ is not None and pass_.closed_as is PassEnd.SUPERSEDED:
        raise JobTakenOver
    return pass_ is not None and pass_.is_open


async def _holders(connection: AsyncConnection, pass_: Pass) -> set[str]:
    """Return who may be at work on a pass: who opened it, and who holds its shards."""
    rows = await connection.execute(statements.holders_of(pass_))
    return {row[0] for row in rows} | ({pass_.owner_id} if pass_.owner_id else set())


async def _recount(connection: AsyncConnection, scope: str) -> None:
    """Count again what is reserved on the account of a job, and on those of its days and runs.

    Code that is older than accounts settles without knowing of them. Whoever reserves or settles
    waits for the accounts that are locked here, so what is read is all that counts.
    """
    locking = statements.accounts_ending(scope).with_for_update()
    known = {row.name for row in await connection.execute(locking)}
    if not known:
        return
    charges = (read_charge(row[0]) for row in await connection.execute(statements.sent_charges()))
    counted = reservations(charges)
    recounted = [{"account": name, **counted.get(name, NO_RESERVATION)} for name in sorted(known)]
    await connection.execute(statements.keep_accounts(frozenset(NO_RESERVATION)), recounted)
