"""Come into a pass of a job, take its shards, and leave it: by one process or by many.

Everything here runs in the loop that the ledger was opened in.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from prefect_responses.enrichment.surveys import survey
from prefect_responses.errors import ResponsesError
from prefect_responses.job_errors import JobTakenOver, TableChanged
from prefect_responses.ledger import Entry
from prefect_responses.statuses import PassEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect_responses.attempt import Endpoint
    from prefect_responses.enrichment.job import EnrichJob
    from prefect_responses.enrichment.plans import JobPlan
    from prefect_responses.enrichment.reports import ShardCounts
    from prefect_responses.enrichment.rows import Row
    from prefect_responses.enrichment.surveys import PassTerms, Survey
    from prefect_responses.ledger import Job, JobBook, Ledger, Pass, Shard

#: Seconds between two looks at a pass in which others are at work.
WATCH_EVERY = 1.0
#: Beyond every row, so that the table is read from its beginning.
_NOWHERE = 2**63


class Waiting(Protocol):
    """Who is told that another run has to end first."""

    def __call__(self, other: Pass) -> None:
        """Take note that *other* is open, and that somebody is at work on it."""


@dataclass(frozen=True, slots=True)
class Entered:
    """Say which pass a run takes part in.

    Args:
        pass_: the pass.
        survey: what is to be done of it now.
        parked: the job as it was parked before, or None.
    """

    pass_: Pass
    survey: Survey
    parked: Job | None


@dataclass(frozen=True, slots=True)
class Entrance:
    """Look at the table and the ledger, and come into a pass.

    Args:
        job: what is asked.
        ledger: the record.
        endpoint: where it is asked.
        terms: which rows the pass is about.
        now: reads the time, in seconds since the epoch.
        agree: is shown each plan before anything is written, and may refuse it.
        waiting: see `Waiting`.
    """

    job: EnrichJob
    ledger: Ledger
    endpoint: Endpoint
    terms: PassTerms
    now: Callable[[], float]
    agree: Callable[[JobPlan], None]
    waiting: Waiting

    async def look(self) -> tuple[Survey, tuple[int, ...]]:
        """Return what a run that came into a pass now would do, and the run of that pass.

        An open pass with the same table, prompt and selection would be gone on with.
        """
        latest = await self.ledger.jobs.latest_pass(self.job.name)
        next_run = (int(self.now()), 1 if latest is None else latest.number + 1)
        if latest is not None and latest.is_open:
            found = await self._survey(latest.run)
            if latest.is_of(found.proposal):
                return found, latest.run
        return await self._survey(next_run), next_run

    async def enter(self) -> Entered:
        """Open a pass, or join the one that is open; wait for the end of one that differs."""
        found, run = await self.look()
        self.agree(found.plan)
        parked = await self.ledger.jobs.job(self.job.name)
        pass_, is_as_seen = await self._open(found, run)
        if not is_as_seen:
            found = await self._survey(pass_.run)
            self.agree(found.plan)
        was_parked = parked is not None and parked.parked_at is not None
        return Entered(pass_, found, parked if was_parked else None)

    async def _open(self, found: Survey, run: tuple[int, ...]) -> tuple[Pass, bool]:
        """Return the pass, and whether the survey still says what is to be done in it."""
        is_first = True
        while True:
            answer = await self.ledger.jobs.open_pass(self.job.name, found.proposal, self.now())
            if answer.how is not Entry.BUSY:
                is_new = answer.how is Entry.OPENED and answer.pass_.number == run[1]
                is_known = answer.how is Entry.JOINED and answer.pass_.run == run
                return answer.pass_, is_first and (is_new or is_known)
            if is_first:
                self.waiting(answer.pass_)
            is_first = False
            await asyncio.sleep(WATCH_EVERY)

    async def _survey(self, run: tuple[int, ...]) -> Survey:
        return await survey(self.job, self.ledger, self.endpoint, self.terms, run)


class WrittenByOthers(Exception):
    """The results of a pass are another run's to write, or it has written them."""


class OpenPass:
    """The part that one run takes in a pass: the shards that it holds, and those it finished.

    Args:
        ledger: where shards are taken and finished.
        pass_: the pass.
        now: reads the time, in seconds since the epoch.
    """

    def __init__(self, ledger: Ledger, pass_: Pass, now: Callable[[], float]) -> None:
        self.pass_ = pass_
        self.finished: set[int] = set()
        self._ledger = ledger
        self._now = now
        self._done_before: frozenset[int] = frozenset()
        self._held: dict[int, Shard] = {}
        self._taking: set[asyncio.Task[Shard | None]] = set()

    async def begin(self) -> None:
        """Take note of what others finished before."""
        shards = await self._book.shards(self.pass_)
        self._done_before = frozenset(shard.number for shard in shards if shard.is_done)

    @property
    def _book(self) -> JobBook:
        return self._ledger.jobs

    def go_on_with(self, ledger: Ledger) -> None:
        """Go on as another owner: what the former one held is free for whoever takes it."""
        if ledger is not self._ledger:
            self._ledger = ledger
            self._held.clear()

    async def take(self) -> Shard | None:
        """Take the next shard, or None if none is free.

        Raises:
            JobTakenOver: the pass was superseded.
        """
        taking = asyncio.create_task(self._take())
        # One that was taken must be known here, or nobody could give it back while this process
        # lives: so a caller that leaves does not interrupt it.
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)
        return await asyncio.shield(taking)

    async def _take(self) -> Shard | None:
        shard = await self._book.take_shard(self.pass_)
        if shard is not None:
            self._held[shard.number] = shard
        return shard

    async def finish(self, shard: Shard, counts: ShardCounts) -> None:
        """Finish a shard; nothing happens if another process drives it by now."""
        await self._book.finish_shard(shard, counts.model_dump_json(), self._now())
        self.finished.add(shard.number)
        self._held.pop(shard.number, None)

    async def closed(self) -> Pass | None:
        """Return the pass as it was closed, or None while it is open."""
        now = await self._book.read_pass(self.pass_.job, self.pass_.number)
        return now if now is not None and not now.is_open else None

    async def check_open(self) -> None:
        """Check that the results of the pass may still be written.

        Raises:
            JobTakenOver: the pass was superseded.
            WrittenByOthers: another run closed it.
        """
        if (closed := await self.closed()) is not None:
            raise _left(closed)

    async def check_held(self, last: Shard) -> None:
        """Check that the results are this run's to write: `check_open`, and it holds *last*.

        Raises:
            JobTakenOver: the pass was superseded.
            WrittenByOthers: another run closed it, or has the last shard by now.
        """
        await self.check_open()
        now = (await self._book.shards(self.pass_))[-1]
        if (now.owner_id, now.fence) != (last.owner_id, last.fence):
            raise WrittenByOthers

    async def close(self, report: str) -> None:
        """Close the pass, whose results are written, unless another run did.

        Raises:
            JobTakenOver: the pass was superseded.
        """
        if not await self._book.close_pass(self.pass_, report, self._now()):
            with suppress(WrittenByOthers):
                await self.check_open()

    async def leave(self) -> None:
        """Give back what is held, so that others, or the next run, may take it at once."""
        if self._taking:
            await asyncio.wait(self._taking)
        held, self._held = list(self._held.values()), {}
        for shard in held:
            with suppress(ResponsesError):
                await self._book.release_shard(shard)
        with suppress(ResponsesError):
            await self._book.leave_pass(self.pass_)

    async def by_others(self) -> list[Shard]:
        """Return the shards that others finished since this run began."""
        return [
            shard
            for shard in await self.done()
            if shard.number not in self.finished and shard.number not in self._done_before
        ]

    async def done(self) -> list[Shard]:
        """Return the shards of rows that are finished, by whomever and whenever."""
        shards = await self._book.shards(self.pass_)
        return [shard for shard in shards if shard.is_done and not shard.is_last]


def _left(closed: Pass) -> JobTakenOver | WrittenByOthers:
    return JobTakenOver() if was_superseded(closed) else WrittenByOthers()


def was_superseded(pass_: Pass) -> bool:
    """Tell whether a closed pass was taken over by another one."""
    return pass_.closed_as is PassEnd.SUPERSEDED


class ShardReader:
    """Read slices of the table, in whatever order; forward is cheap. To be used by any thread.

    Args:
        job: whose table.
    """

    def __init__(self, job: EnrichJob) -> None:
        self._job = job
        self._rows: Iterator[Row] = iter(())
        self._place = _NOWHERE
        self._lock = Lock()

    def read(self, first: int, count: int) -> list[Row]:
        """Return *count* rows from the one at *first* on, counted from 0.

        Raises:
            TableChanged: the table has fewer rows than it had.
        """
        with self._lock:
            if first < self._place:
                self._begin()
            place, self._place = self._place, _NOWHERE  # for a table that cannot be read
            rows = list(islice(self._rows, first - place, first - place + count))
            self._place = first + len(rows)
        if len(rows) < count:
            raise TableChanged(
                f"The table has only {first + len(rows):,} rows by now: it changed while the job "
                "read it. Run the job again."
            )
        return rows

    def _begin(self) -> None:
        self._rows, self._place = self._job.rows(), 0
