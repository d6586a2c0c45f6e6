"""Bound how many rows of a process are under way at once, over all the shards that it drives."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_responses.engine.unattended import Holders

#: POSTs between intent and ID at once, where thousands of rows are in flight.
MOST_ON_THE_WIRE = 64


def on_the_wire_for(max_in_flight: int, least: int) -> int:
    """Return how many POSTs may be between intent and ID at once; a kill leaves these in doubt.

    Args:
        max_in_flight: rows under way at once.
        least: as many as for single calls.
    """
    return max(least, min(MOST_ON_THE_WIRE, max_in_flight // 16))


class InFlight:
    """Let new rows in while there is room; rows that were submitted before are only counted.

    Use one for all shards of a run, within one event loop. Who waits comes in in order.

    Args:
        limit: rows under way at once. Rows that are adopted may exceed it: their responses are at
            work already, whoever waits for them.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Who holds the room that rows wait for, for people to see; None while there is room.
        self.held: Holders | None = None
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def taken(self) -> int:
        """Return how many rows are under way."""
        return self._taken

    async def enter(self) -> None:
        """Wait for room for a new row, and take it."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.leave()  # the room was given to who is gone
            raise

    def adopt(self) -> None:
        """Count a row that an earlier process submitted."""
        self._taken += 1

    def leave(self) -> None:
        """Give back the room of a row that has ended."""
        self._taken -= 1
        while self._waiting and self._taken < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
