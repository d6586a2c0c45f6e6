"""How soon a new process has polled all that a killed one had in flight."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING

from results import Figures, Part, Target, number

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from bench_lab import BenchLab
    from machines import Measured


def reattach(lab: BenchLab) -> Part:
    """Kill a process with many responses in flight; see how soon the next has polled them all."""
    size, found = lab.size, []
    for turn in range(size.times):
        lab.say(f"re-attach ({turn + 1} of {size.times})")
        found.append(_reattach_once(lab, size.reattached))
    first, last = (median(each[i] for each in found) for i in (0, 1))
    return Part(
        "re-attach",
        [
            Figures(
                ("after the new process was started", "seconds"),
                [("first poll", number(first)), (f"last of {size.reattached:,}", number(last))],
            )
        ],
        [Target(f"{size.reattached:,} responses polled again", last, 10.0, " s")],
    )


def _reattach_once(lab: BenchLab, rows: int) -> tuple[float, float]:
    lab.stub.reset(median=3600.0)
    measured = lab.measured(prefect=True)
    told = {
        "table": lab.table(rows),
        "sink": "results.csv",
        "rows": rows,
        "in_flight": rows,
        "job": "bench",
    }
    first = measured.start("ours.py", "enrich", poll=3600.0, **told)
    _wait_until(measured, first, lambda: _submitted(measured.folder / "ledger.db") == rows)
    _end(first)
    lab.stub.forget_counts()
    began = time.time()
    second = measured.start("ours.py", "enrich", poll=None, **told)
    _wait_until(measured, second, lambda: lab.stub.stats()["polled"] == rows)
    _end(second)
    asked = lab.stub.stats()
    if asked["posts"]:
        raise RuntimeError(f"{asked['posts']} rows were submitted again.")
    return asked["first_get_at"] - began, asked["last_first_get_at"] - began


def _submitted(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        try:
            query = "SELECT count(*) FROM attempts WHERE response_id IS NOT NULL"
            [(count,)] = connection.execute(query).fetchall()
        except sqlite3.OperationalError:  # it is being made
            return 0
    return int(count)


def _wait_until(
    measured: Measured,
    process: subprocess.Popen[str],
    happened: Callable[[], bool],
    seconds: float = 180.0,
) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if process.poll() is not None or time.monotonic() > end:
            _end(process)
            raise measured.failure(process)
        time.sleep(0.25)


def _end(process: subprocess.Popen[str]) -> None:
    with process:
        process.kill()
