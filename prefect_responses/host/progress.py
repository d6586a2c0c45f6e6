"""Show how a job gets on, in the terminal. What cannot be shown is not worth a failure."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.errors import LiveError
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.style import Style
from rich.table import Column

from prefect_responses.enrichment.rows import DEAD, RowOutcome
from prefect_responses.enrichment.samples import duration, usd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from prefect_responses.engine.in_flight import InFlight
    from prefect_responses.enrichment.reports import ShardCounts
    from prefect_responses.enrichment.rows import RowResult

#: Seconds between two lines where the output is no terminal.
EVERY = 2.0
#: Seconds between two looks at the numbers for the bar.
_BAR_EVERY = 0.2
#: Seconds from which on a rate says something.
_LEAST_SECONDS = 0.5
#: Columns of a terminal from which on a bar has room beside the words.
_WIDE = 100


@dataclass(frozen=True, slots=True)
class ProgressNow:
    """How far a job is.

    Args:
        total: rows that were to be driven when this run began.
        outcomes: how many of them ended how, by this run and by others.
        in_flight: rows that this process has under way.
        cost: nano-USD of the rows that have ended, as far as it is known.
        seconds: how long this run has taken.
        own: rows that this run drove to their ends.
        waiting: what rows are waiting for that have not begun, in a few words, or empty.
    """

    total: int
    outcomes: Mapping[RowOutcome, int]
    in_flight: int
    cost: int
    seconds: float
    own: int
    waiting: str = ""

    @property
    def ended(self) -> int:
        """Return how many rows have ended, by whomever."""
        return min(self.total, sum(self.outcomes.values()))

    @property
    def dead(self) -> int:
        """Return how many rows ended without a usable answer."""
        return sum(number for outcome, number in self.outcomes.items() if outcome in DEAD)

    @property
    def percent(self) -> float:
        """Return how much is done, 0 to 100."""
        return 100.0 * self.ended / self.total if self.total else 100.0

    @property
    def rate(self) -> float:
        """Return the rows a second, by all who take part."""
        return self.ended / self.seconds if self.seconds > _LEAST_SECONDS else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Return about how long it will take yet, or None if that cannot be told."""
        return (self.total - self.ended) / self.rate if self.rate else None

    def words(self) -> str:
        """Return all of it in one line."""
        parts = [
            f"{self.outcomes.get(RowOutcome.OK, 0):,} ok",
            f"{self.dead:,} dead",
            f"{self.in_flight:,} in flight",
            f"{self.rate:,.1f} rows/s",
        ]
        if self.seconds_left is not None:
            parts.append(f"{duration(round(self.seconds_left))} left")
        if self.cost:
            parts.append(usd(self.cost))
        if self.waiting:
            parts.append(self.waiting)
        return ", ".join(parts)


class RowProgress:
    """Count the rows of a job as they end: a bar in a terminal, a line now and then elsewhere.

    Args:
        job: the job's name.
        total: rows that are to be driven.
        gate: how many rows are under way.
    """

    def __init__(self, job: str, total: int, gate: InFlight) -> None:
        self.job = job
        self._total = total
        self._gate = gate
        self._outcomes: Counter[RowOutcome] = Counter()
        self._cost = 0
        self._others: tuple[Mapping[RowOutcome, int], int] = ({}, 0)
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, name="row-progress", daemon=True)

    def row_ended(self, result: RowResult) -> None:
        """Count a row; called from the runtime's thread."""
        self._outcomes[result.outcome] += 1
        self._cost += result.cost or 0

    def others_ended(self, counts: ShardCounts) -> None:
        """Take in what other runs have done of the same pass so far."""
        self._others = (counts.outcomes, counts.cost)

    def now(self) -> ProgressNow:
        """Return how far the job is."""
        outcomes, cost = self._others
        own, held = dict(self._outcomes), self._gate.held
        return ProgressNow(
            total=self._total,
            outcomes=Counter(own) + Counter(outcomes),
            in_flight=self._gate.taken,
            cost=self._cost + cost,
            seconds=time.monotonic() - self._started,
            own=sum(own.values()),
            waiting="" if held is None else held.words(),
        )

    def __enter__(self) -> Self:
        self._started = time.monotonic()
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
            if not console.is_terminal:
                self._show_lines(console)
            elif self._total:
                self._show_bar(_console_of_the_log() or console)

    def _show_bar(self, console: Console) -> None:
        # Where another job of this process has a bar, an older rich allows no second one.
        with suppress(LiveError), Progress(*self._columns(console), console=console) as progress:
            bar = progress.add_task(self.job, total=self._total, words="")
            is_over = False
            while not is_over:
                is_over = self._stop.wait(_BAR_EVERY)
                now = self.now()
                progress.update(bar, completed=now.ended, words=now.words())

    def _columns(self, console: Console) -> list[ProgressColumn]:
        digits = Column(no_wrap=True, min_width=2 * len(str(self._total)) + 1)
        name = TextColumn("{task.description}", markup=False)
        count = MofNCompleteColumn(table_column=digits)
        words = TextColumn("{task.fields[words]}", markup=False)
        if console.width < _WIDE:
            return [name, count, words]
        # By value: the console of Prefect's log has no theme with the names of these styles.
        bar = BarColumn(
            style=Style(color="grey23"),
            complete_style=Style(color="cyan"),
            finished_style=Style(color="green"),
        )
        return [name, bar, count, words, TimeElapsedColumn()]

    def _show_lines(self, console: Console) -> None:
        while not self._stop.wait(EVERY):
            now = self.now()
            line = f"{self.job}: {now.ended:,} of {now.total:,} rows ended, {now.words()}"
            console.print(f"{line} ({now.seconds:.0f} s)", markup=False, highlight=False)


def _console_of_the_log() -> Console | None:
    """Return the console that Prefect logs to, so that lines of the log stand above the bar."""
    for handler in (*logging.getLogger("prefect").handlers, *logging.getLogger().handlers):
        if isinstance(handler, PrefectConsoleHandler) and handler.console.is_terminal:
            return handler.console
    return None
