"""Time as a port, so that decisions can be tested with a clock that a test moves."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Tell the time and wait; times are seconds since the epoch, UTC."""

    def now(self) -> float:
        """Return the wall-clock time, seconds since the epoch."""

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds* of this clock's time."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return the wall-clock time, seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*, at least until the loop has run once."""
        await asyncio.sleep(max(0.0, seconds))
