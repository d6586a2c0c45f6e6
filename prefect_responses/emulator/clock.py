"""The emulator's time: the machine's, or one that only moves when told to."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum


class ClockMode(StrEnum):
    """How time passes."""

    REAL = "real"
    VIRTUAL = "virtual"


class ClockStoppedError(Exception):
    """The emulator is stopping: the moment waited for will not come."""


class Clock:
    """Tell the time in Unix seconds and wait for a moment to come.

    A virtual clock stands still between two calls of `advance`; both kinds can be advanced.
    """

    def __init__(self) -> None:
        self.mode = ClockMode.REAL
        self._ahead = 0.0
        self._stopped_at = 0.0
        self._ended = False
        self._waiting: set[asyncio.Future[None]] = set()

    def now(self) -> float:
        """Tell the time."""
        return self._stopped_at if self.mode is ClockMode.VIRTUAL else time.time() + self._ahead

    def set_mode(self, mode: ClockMode, at: float | None = None) -> None:
        """Change how time passes, going on from now or from the moment given."""
        moment = self.now() if at is None else at
        self.mode = mode
        self._stopped_at = moment
        self._ahead = moment - time.time()
        self._wake()

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        self._stopped_at += seconds
        self._ahead += seconds
        self._wake()

    def restart(self) -> None:
        """Show the machine's time again."""
        self.mode = ClockMode.REAL
        self._ahead = 0.0
        self._wake()

    def end(self) -> None:
        """Let nobody wait any longer."""
        self._ended = True
        self._wake()

    async def wait_until(self, moment: float) -> None:
        """Return as soon as the clock shows the moment or a later one; raise once it has ended."""
        while (remaining := moment - self.now()) > 0:
            if self._ended:
                raise ClockStoppedError
            await self._changed(within=remaining if self.mode is ClockMode.REAL else None)

    async def wait(self, seconds: float) -> None:
        """Return when so many seconds of this clock have passed."""
        await self.wait_until(self.now() + seconds)

    async def wait_for_change(self, until: float) -> None:
        """Return at a moment, or earlier when time was moved or a change announced."""
        if self._ended:
            raise ClockStoppedError
        if (remaining := until - self.now()) > 0:
            await self._changed(within=remaining if self.mode is ClockMode.REAL else None)

    def announce_change(self) -> None:
        """Wake all that wait: something other than the time has changed."""
        self._wake()

    async def _changed(self, within: float | None) -> None:
        loop = asyncio.get_running_loop()
        change = loop.create_future()
        alarm = None if within is None else loop.call_later(within, _settle, change)
        self._waiting.add(change)
        try:
            await change
        finally:
            self._waiting.discard(change)
            if alarm is not None:
                alarm.cancel()

    def _wake(self) -> None:
        for change in self._waiting:
            _settle(change)


def _settle(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)
