"""Show how a job gets on, in the terminal. What cannot be shown is not worth a failure."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from types import TracebackType

    from prefect_responses.engine.shards import RowEnd

#: Seconds between two lines where the output is no terminal.
EVERY = 2.0


class RowProgress:
    """Count the rows of a job as they end: a bar in a terminal, a line now and then elsewhere.

    Args:
        job: the job's name.
        total: rows of the table.
    """

    def __init__(self, job: str, total: int) -> None:
        self._job = job
        self._total = total
        self._ended = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, name="row-progress", daemon=True)

    def row_ended(self, end: RowEnd) -> None:
        """Count a row; called from the runtime's thread."""
        del end
        self._ended += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        # A process whose console is gone gets SystemExit from rich and OSError from a pipe.
        with suppress(OSError, ValueError, SystemExit):
            console = Console(file=sys.stderr)
            if console.is_terminal:
                self._show_bar(console)
            else:
                self._show_lines(console)

    def _show_bar(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(self._job, total=self._total)
            while not self._stop.wait(0.2):
                progress.update(bar, completed=self._ended)
            progress.update(bar, completed=self._ended)

    def _show_lines(self, console: Console) -> None:
        started = time.monotonic()
        while not self._stop.wait(EVERY):
            seconds = time.monotonic() - started
            line = f"{self._job}: {self._ended} of {self._total} rows ended ({seconds:.0f} s)"
            console.print(line, markup=False, highlight=False)
