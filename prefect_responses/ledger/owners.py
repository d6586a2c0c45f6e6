"""Owners: the processes that submit, and how others know that one of them is gone.

An owner is alive while its row is not retired, its heartbeat is younger than its lease by the clock
of the database, and, on SQLite, it holds a lock on a file of its own. The lock tells of a killed
process at once; the heartbeat tells of a stopped one, which keeps its lock for ever.

An owner that was late once is lost for good: others may have taken it for dead and doubted what it
was submitting, so it must not go on as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from prefect_responses.errors import LedgerError
from prefect_responses.ledger import statements
from prefect_responses.ledger.dialects import connect, translated
from prefect_responses.ledger.owner_locks import OwnerLock
from prefect_responses.ledger.tables import READER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from prefect_responses.ledger.dialects import Dialect

#: Renewals within one lease: so many may fail before it is lost.
RENEWALS = 4

#: Seconds between two looks at a thread that is stopping.
_LOOK_AGAIN = 0.005


def ticks() -> float:
    """Return seconds on a clock that nobody sets and that runs on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass
class Lease:
    """This process's own row, and how long it is certain to count.

    Args:
        id: the owner's ID.
        seconds: how long a heartbeat counts.
        clock: a monotonic clock.
    """

    seconds: float
    clock: Callable[[], float] = ticks
    id: str = field(default_factory=lambda: str(uuid4()))
    _until: float = float("-inf")
    _lost: bool = False

    def left(self) -> float:
        """Return for how many seconds no one can take this owner for dead; 0 once it is lost."""
        remaining = self._until - self.clock()
        if remaining <= 0:
            # What ends once has ended: a renewal that comes too late must not bring it back.
            self._lost = self._lost or self._until > float("-inf")
            return 0.0
        return 0.0 if self._lost else remaining

    def holds_lease(self) -> bool:
        """Tell whether no one can have taken this owner for dead."""
        return self.left() > 0

    def renewed(self, asked_at: float) -> None:
        """Note a renewal that was asked for at *asked_at* and has been committed."""
        self.left()
        self._until = asked_at + self.seconds

    def lose(self) -> None:
        """Give the lease up for good."""
        self._lost = True


class OwnOwner:
    """This process as an owner: registered once, renewed from a thread, retired on the way out.

    The thread has an event loop and connections of its own, so that the lease is renewed also while
    the loop of the process is blocked.

    Args:
        url: the ledger's URL.
        dialect: what kind of database it is.
        locks: the folder of locks beside a SQLite ledger.
        lease: the lease to keep.
    """

    def __init__(self, url: URL, dialect: Dialect, locks: Path | None, lease: Lease) -> None:
        self.lease = lease
        self._url = url
        self._dialect = dialect
        self._lock = None if locks is None else OwnerLock(locks, lease.id)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._keep, name="prefect-responses ledger lease", daemon=True
        )

    async def register(self, engine: AsyncEngine) -> None:
        """Write the owner's row and start to renew it."""
        asked_at = self.lease.clock()
        registration = statements.register_owner(
            self._dialect,
            id=self.lease.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            reader=READER,
            lease_seconds=self.lease.seconds,
        )
        try:
            async with engine.begin() as connection:
                await connection.execute(registration)
        except BaseException:
            self._unlock()
            raise
        self.lease.renewed(asked_at)
        self._thread.start()

    async def retire(self, engine: AsyncEngine) -> None:
        """End this owner for good, so that nobody waits for it. The lock goes in any case."""
        self.lease.lose()
        self._stop.set()
        try:
            # No executor: it takes nothing any more when the interpreter is shutting down.
            while self._thread.is_alive():  # noqa: ASYNC110 - a thread sets no asyncio event
                await asyncio.sleep(_LOOK_AGAIN)
            async with engine.begin() as connection:
                await connection.execute(statements.retire_owner(self._dialect, self.lease.id))
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def forget(self) -> None:
        """Stop being this owner without telling anyone: the child of a fork is not its parent.

        No lock of Python is touched: in a child it may be held by a thread that does not exist.
        """
        self.lease.lose()
        if self._lock is not None:
            self._lock.forget()

    def _keep(self) -> None:
        pause = self.lease.seconds / RENEWALS
        while not self._stop.wait(pause) and self.lease.holds_lease():
            # A renewal that fails is tried again while the lease lasts.
            with suppress(LedgerError):
                asyncio.run(self._renew(pause))

    async def _renew(self, patience: float) -> None:
        engine = connect(self._url, writes=True, pooled=False, busy=patience)
        asked_at = self.lease.clock()
        with translated():
            async with engine.begin() as connection:
                renewal = statements.renew_owner(self._dialect, self.lease.id)
                renewed = (await connection.execute(renewal)).rowcount == 1
        if renewed:
            self.lease.renewed(asked_at)
        else:
            self.lease.lose()
