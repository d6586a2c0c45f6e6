"""Show how the demo gets on: a line that changes in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

#: Seconds between two lines where the output is no terminal.
EVERY = 2.0


class Ticker:
    """Show the latest news of one step.

    Args:
        console: where to show them.
        step: the step's name.
    """

    def __init__(self, console: Console, step: str) -> None:
        self._console = console
        self._step = step
        self._started = time.monotonic()
        self._shown_at = 0.0
        self._status = console.status(f"{step}: starting")

    def show(self, news: str) -> None:
        """Show *news*."""
        seconds = time.monotonic() - self._started
        line = f"{self._step}: {news} ({seconds:.0f} s)"
        if self._console.is_terminal:
            self._status.update(line)
        elif seconds - self._shown_at >= EVERY:
            self._shown_at = seconds
            self._console.print(line)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._status.stop()
