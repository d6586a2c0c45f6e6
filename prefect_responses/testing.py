"""What tests of durable flows start from: a clock that a test moves.

Use the emulator (`prefect_responses.emulator.server.EmulatorThread`) beside it.
"""

from __future__ import annotations

import asyncio


class ManualClock:
    """A clock that stands still until a test moves it; a `Clock` in all other respects.

    Use it within one event loop. A sleep ends when `advance` has moved the clock far enough; with
    *jumps*, a sleep moves the clock itself and ends at once, and `slept` says how long each was.

    Args:
        now: the time it shows first, in seconds since the epoch.
        jumps: let every sleep move the clock instead of waiting for `advance`.

    Examples:
        ```python
        clock = ManualClock()
        waiting = asyncio.create_task(clock.sleep(3600))
        await clock.until_asleep()
        await clock.advance(3600)
        await waiting
        ```
    """

    def __init__(self, now: float = 1_700_000_000.0, *, jumps: bool = False) -> None:
        self.jumps = jumps
        #: Seconds of each sleep that was asked for, in order.
        self.slept: list[float] = []
        self._now = now
        self._moved = asyncio.Condition()
        self._asleep = 0

    def now(self) -> float:
        """Return the time that the clock shows, seconds since the epoch."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by *seconds*."""
        self.slept.append(seconds)
        if self.jumps:
            self._now += max(0.0, seconds)
            await asyncio.sleep(0)
            return
        await self._until(self._now + seconds)

    async def _until(self, moment: float) -> None:
        async with self._moved:
            self._asleep += 1
            self._moved.notify_all()
            try:
                await self._moved.wait_for(lambda: self._now >= moment)
            finally:
                self._asleep -= 1

    async def advance(self, seconds: float) -> None:
        """Move the clock forward and let those run on whose time has come."""
        async with self._moved:
            self._now += seconds
            self._moved.notify_all()

    async def until_asleep(self, sleepers: int = 1) -> None:
        """Return as soon as at least so many are asleep on this clock."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._asleep >= sleepers)
