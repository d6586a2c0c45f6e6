"""The ledger as the engine sees it: verbs go in, verdicts and records come out."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from prefect_responses.ledger import owners, statements
from prefect_responses.ledger.dialects import PATIENCE, connect, dialect_of, parse_url, translated
from prefect_responses.ledger.jobs import JobBook
from prefect_responses.ledger.opening import locks_folder, prepare
from prefect_responses.ledger.outages import outlasting
from prefect_responses.ledger.owner_locks import is_locked
from prefect_responses.ledger.pruning import Pruned, prune_batch, prune_owners
from prefect_responses.ledger.rate_limits import SharedLimits
from prefect_responses.ledger.reads import LedgerReads
from prefect_responses.ledger.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

    from prefect_responses.clock import Clock
    from prefect_responses.ledger.pruning import PruneChoice
    from prefect_responses.ledger.verbs import Verb, Verdict


class Ledger(LedgerReads):
    """The record of all attempts, shared by processes and surviving them.

    Open it with `Ledger.open`, in the event loop that will use it.
    """

    def __init__(self, url: URL, uuid: str, lease_seconds: float, patience: float) -> None:
        super().__init__(connect(url, writes=False, busy=patience))
        self.uuid = uuid
        self._url = url
        self._dialect = dialect_of(url)
        self._locks = locks_folder(url)
        self._lease_seconds = lease_seconds
        self._shards = 0
        self._writes = connect(url, writes=True, busy=patience)
        #: The row jobs.
        self.jobs = JobBook(self._reads, self._writes, self._dialect, self)
        #: How fast all who share an account may send.
        self.rate_limits = SharedLimits(self._reads, self._writes, self._dialect)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock,
        lease_seconds: float = 60.0,
        linger: float = 0.0,
        patience: float = PATIENCE,
    ) -> Self:
        """Open the ledger at *url* and register this process as an owner.

        A SQLite file is made and migrated on first use. See `upgrade` for PostgreSQL.

        Args:
            url: `sqlite:///` and a path, or `postgresql://`.
            clock: what time it is.
            lease_seconds: for how long others believe that this process lives without news of it.
            linger: how long the writer waits for more verbs before a commit; see `linger`.
            patience: how long to wait for another process's lock before `LedgerLocked`.

        Raises:
            LedgerUnavailable: it cannot be reached, or it is not there and cannot be made.
            LedgerLocked: another process kept it locked.
            LedgerNewer: it needs newer code.
            LedgerNotDurable: it is on a network file system.
        """
        parsed = parse_url(url)
        uuid = await prepare(parsed, clock, patience)
        ledger = cls(parsed, uuid, lease_seconds, patience)
        try:
            await ledger._begin(linger)
        except BaseException:
            await ledger._disconnect()
            raise
        return ledger

    async def _begin(self, linger: float) -> None:
        self._owner = await self._register()
        self._writer = Writer(self._writes, self._dialect, self._owner.lease, linger)

    async def _register(self) -> owners.OwnOwner:
        lease = owners.Lease(self._lease_seconds)
        with translated():
            owner = owners.OwnOwner(self._url, self._dialect, self._locks, lease)
            await owner.register(self._writes)
        return owner

    async def aclose(self) -> None:
        """Commit what is queued, retire the owner, and let go of the database."""
        await self._writer.aclose()
        try:
            with translated():
                await self._owner.retire(self._writes)
        finally:
            await self._disconnect()

    async def _disconnect(self) -> None:
        await self._reads.dispose()
        await self._writes.dispose()

    # --- verbs ------------------------------------------------------------------------------------

    @property
    def linger(self) -> float:
        """Return for how long the writer waits for more verbs before a commit."""
        return self._writer.linger

    @linger.setter
    def linger(self, seconds: float) -> None:
        self._writer.linger = seconds

    @contextmanager
    def lingering(self, seconds: float) -> Iterator[None]:
        """Let the writer wait for more verbs while a shard, or several, are being driven."""
        self._shards += 1
        self.linger = seconds
        try:
            yield
        finally:
            self._shards -= 1
            if self._shards == 0:
                self.linger = 0.0

    async def do(self, verb: Verb) -> Verdict:
        """Give *verb* to the writer and wait until it is committed.

        If this call is cancelled, the verb is committed nevertheless.
        """
        return await self._writer.ask(verb)

    async def do_all(self, verbs: Iterable[Verb]) -> list[Verdict]:
        """Give many verbs at once; wait for all, then raise the first error if there is one."""
        answers = [self._writer.ask(verb) for verb in verbs]
        await asyncio.gather(*answers, return_exceptions=True)
        return [answer.result() for answer in answers]

    async def prune(self, choice: PruneChoice) -> Pruned:
        """Delete what has ended long ago, and return how much that was.

        It goes in batches, so that no other process waits for long; after a crash, what is left
        goes the next time. The file of a SQLite ledger keeps its size, and uses the room again.
        """
        pruned, batch = Pruned(), Pruned(attempts=1)
        while batch.attempts or batch.bodies:
            batch = await self._written(lambda connection: prune_batch(connection, choice))
            pruned += batch
        if choice.bodies_only:
            return pruned
        gone = await self._written(lambda connection: prune_owners(connection, choice))
        return pruned + gone

    async def _written(self, write: Callable[[AsyncConnection], Awaitable[Pruned]]) -> Pruned:
        with translated():
            async with self._writes.begin() as connection:
                return await write(connection)

    # --- owners -----------------------------------------------------------------------------------

    @property
    def owner_id(self) -> str:
        """Return the ID of this process as an owner."""
        return self._owner.lease.id

    def holds_lease(self, owner_id: str | None = None) -> bool:
        """Tell, without I/O, whether no one can have taken this process for dead.

        Args:
            owner_id: the owner of the attempt that is about to be sent. One that this process was
                before `register_again` has lost its lease for good.
        """
        return self.lease_left(owner_id) > 0

    @property
    def lease_seconds(self) -> float:
        """Return for how long others believe that this process lives without news of it."""
        return self._lease_seconds

    def lease_left(self, owner_id: str | None = None) -> float:
        """Return for how many seconds no one can take this process for dead: a POST must fit in."""
        return self._owner.lease.left() if owner_id in {None, self.owner_id} else 0.0

    async def register_again(self) -> str:
        """Become a new owner after the lease was lost, and return its ID.

        What the old owner was submitting stays with the old one, to be doubted by whoever finds it.
        """
        lost, self._owner = self._owner, await self._register()
        self._writer.owner = self._owner.lease
        with translated():
            await lost.retire(self._writes)
        return self.owner_id

    async def owner_is_alive(self, owner_id: str) -> bool:
        """Tell whether an owner may still be submitting.

        One that is found dead is buried: it cannot come back, even if a clock is set back.
        """
        with translated():
            rows = await self._read(statements.owner_is_fresh(self._dialect, owner_id))
            locked = self._locks is None or is_locked(self._locks, owner_id)
            if rows and rows[0][0] and locked:
                return True
            await outlasting(lambda: self._bury(owner_id))
            return False

    async def _bury(self, owner_id: str) -> None:
        async with self._writes.begin() as connection:
            await connection.execute(statements.retire_owner(self._dialect, owner_id))

    def forget_owner(self) -> None:
        """Stop being this owner without a word: to be called in the child of a fork.

        The child must not use this ledger, nor close it: its connections are the parent's.
        """
        self._owner.forget()
