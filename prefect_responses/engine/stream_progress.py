"""Keep how far a stream was followed, for the process that comes after this one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import orjson

from prefect_responses.decisions.fold_snapshots import from_snapshot, snapshot
from prefect_responses.decisions.progress_pace import ProgressPace
from prefect_responses.decisions.stream_fold import Fold
from prefect_responses.engine.crash_points import CrashPoint, reach
from prefect_responses.errors import LedgerError
from prefect_responses.ledger import RecordProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.ledger import Ledger

#: Seconds that a follower which is interrupted waits for its last commit.
_LAST_COMMIT = 2.0


class StreamProgress:
    """What is known of one stream, and how much of it is kept.

    Commits are spaced by `ProgressPace`: what was heard since the last one is heard again by the
    process after a crash. A commit that fails is made up for by the next.

    Args:
        ledger: where it is kept.
        clock: the time.
        attempt: whose response is followed.
        pace: how the commits are spaced.
        clean: takes secrets out of the text that is kept, and leaves its length; a server may echo
            a key in pieces, of which no single event has it.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        attempt: Attempt,
        pace: ProgressPace | None = None,
        *,
        clean: Callable[[str], str] = str,
    ) -> None:
        self.state = Fold()
        self._ledger = ledger
        self._clock = clock
        self._attempt = attempt
        self._pace = pace or ProgressPace()
        self._clean = clean
        self._unsaved = 0
        self._heard = asyncio.Event()
        self._is_much = asyncio.Event()

    async def load(self) -> None:
        """Go on from what an earlier process kept; what cannot be read is as nothing."""
        kept = await self._ledger.progress(self._attempt.id)
        if kept is not None and kept.snapshot is not None:
            with suppress(orjson.JSONDecodeError):
                self.state = from_snapshot(orjson.loads(kept.snapshot))

    def note(self, state: Fold) -> None:
        """Take in what is known after an event."""
        self.state = state
        self._unsaved += 1
        self._heard.set()
        if self._unsaved >= self._pace.most_events(self.state.length):
            self._is_much.set()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep what is noted in the block, and what is left at its end."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._save()), _LAST_COMMIT)

    async def _keep(self) -> None:
        while True:
            await self._heard.wait()
            with suppress(TimeoutError):  # `wait_for` would swallow a cancel that comes just then
                async with asyncio.timeout(self._pace.wait(self.state.length)):
                    await self._is_much.wait()
            await self._save()
            reach(CrashPoint.WHILE_STREAMING)

    async def _save(self) -> None:
        self._heard.clear()
        self._is_much.clear()
        if not self._unsaved or self.state.response is not None:
            return
        self._unsaved = 0
        kept = orjson.dumps(snapshot(self.state, self._clean))
        verb = RecordProgress(self._attempt.id, self.state.cursor, kept, self._clock.now())
        with suppress(LedgerError):
            await self._ledger.do(verb)
