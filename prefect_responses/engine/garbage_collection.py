"""Let Python look for garbage less often while thousands of rows are in flight.

By default it looks at all young objects again after every few hundred new ones. A row in flight is
dozens of objects that stay for minutes, so that a third of a job's CPU time would go into finding
that nothing is garbage.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: New objects after which it looks; some ten megabytes at most that are freed later.
RARELY = 20_000


class _Collector:
    """Count the blocks that want it to look rarely; there is one collector a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._before: tuple[int, int, int] | None = None

    def slow_down(self) -> None:
        with self._lock:
            self._blocks += 1
            usual = gc.get_threshold()
            if self._blocks == 1 and 0 < usual[0] < RARELY:
                self._before = usual
                gc.set_threshold(RARELY, *usual[1:])

    def go_on(self) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0 and self._before is not None:
                if gc.get_threshold()[0] == RARELY:  # else somebody else has set it
                    gc.set_threshold(*self._before)
                self._before = None


_collector = _Collector()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage rarely until the last of these blocks ends.

    Nothing changes in a process that looks as rarely already, or never.
    """
    _collector.slow_down()
    try:
        yield
    finally:
        _collector.go_on()
