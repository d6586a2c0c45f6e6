"""End flow runs at every crash point in every way, run them again, and count what was paid for.

It takes minutes, so it is no part of the gate. It ends with 1 if a cell is not as promised.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from databases import OwnPostgres  # noqa: E402 - beside us, as the tests import it
from lab import Lab  # noqa: E402
from long_stream import Facts, Shape, follow_and_kill  # noqa: E402
from matrix_cells import TOLD, Cell, Way, cells_of, promise_of  # noqa: E402
from matrix_counts import bench_of, kill_and_run_all_again  # noqa: E402
from matrix_page import facts_table, table_of, write_between  # noqa: E402
from matrix_workers import CellLab, WorkerRuns  # noqa: E402
from nursery import Nursery  # noqa: E402
from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: E402
from rich.progress import TimeElapsedColumn as Elapsed  # noqa: E402
from rich.table import Table  # noqa: E402

from flows.demo.servers import Servers  # noqa: E402
from prefect_responses.clock import SystemClock  # noqa: E402
from prefect_responses.emulator.server import EmulatorThread  # noqa: E402
from prefect_responses.ledger import upgrade  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matrix_cells import Found

#: The ways that need no worker.
DIRECT = {Way.FLOW_KILLED: "kill", Way.FLOW_TERMINATED: "term"}
STREAM = Shape(words=20_000, kills=10, rate=1000.0)
STREAM_NAME = "a long stream"


class Matrix:
    """Run the whole and remember what came of it.

    Args:
        api_url: the Prefect server's API.
        folder: where everything is written.
        progress: shows how far it is.
        database: URL of the PostgreSQL that holds the ledgers; without one they are files.
    """

    def __init__(self, api_url: str, folder: Path, progress: Progress, database: str = "") -> None:
        self.found: dict[Cell, Found] = {}
        self.breaches: list[str] = []
        self.facts: Facts | None = None
        self._api_url = api_url
        self._folder = folder
        self._progress = progress
        self._database = database

    def run_way(self, way: Way) -> None:
        """Run all cells of one way."""
        cells = cells_of(way)
        lost = self._run_directly(way, cells) if way in DIRECT else self._run_workers(way, cells)
        self.breaches += [f"{cell.point}, {cell.mode}, {way}: not ended there" for cell in lost]

    def _run_directly(self, way: Way, cells: Sequence[Cell]) -> list[Cell]:
        with self._nursery() as nursery, self._bar(way, len(cells)) as tell:
            folder = self._new_folder(way)
            lab = Lab(self._api_url, None, folder, nursery, database=self._database)
            with bench_of(lab, lab, lab) as bench:
                codes = kill_and_run_all_again(bench, cells, DIRECT[way], lambda _: tell())
                self._judge({cell: bench.found(cell) for cell in cells})
        return [cell for cell, code in codes.items() if code == 0 or (way not in TOLD and code > 0)]

    def _run_workers(self, way: Way, cells: Sequence[Cell]) -> list[Cell]:
        with self._bar(way, 2 * len(cells)) as tell, ExitStack() as stack:
            folder = self._new_folder(way)
            lab = CellLab(self._api_url, None, folder, None, database=self._database)
            stack.callback(lab.stop_all)
            with bench_of(lab, lab, lab) as bench:
                bench.own_ledgers = True
                lost = WorkerRuns(bench, way, tuple(cells), lambda _: tell()).run()
                self._judge({cell: bench.found(cell) for cell in cells})
        return lost

    def run_stream(self) -> None:
        """Run the long stream."""
        with ExitStack() as stack:
            nursery = stack.enter_context(self._nursery())
            emulator = stack.enter_context(EmulatorThread(seed=1))
            tell = stack.enter_context(self._bar(STREAM_NAME, STREAM.kills))
            folder = self._new_folder("stream")
            lab = Lab(self._api_url, emulator, folder, nursery, database=self._database)
            stack.callback(lab.stop_all)
            self.facts = follow_and_kill(lab, STREAM, lambda _: tell())
            self.breaches += [f"{STREAM_NAME}: {each}" for each in self.facts.breaches(STREAM)]

    def _judge(self, found: dict[Cell, Found]) -> None:
        self.found |= found
        for cell, each in found.items():
            if broken := promise_of(cell).breaches(each):
                what = f"{cell.point}, {cell.mode}, {cell.way}: {', '.join(broken)}: {each!r}"
                self.breaches.append(what)

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / name.replace(" ", "-")
        folder.mkdir()
        return folder

    @contextmanager
    def _nursery(self) -> Iterator[Nursery]:
        nursery = Nursery(self._api_url)
        try:
            yield nursery
        finally:
            nursery.close()

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        task = self._progress.add_task(name, total=total)
        yield lambda: self._progress.advance(task)


def main() -> int:
    """Run it; return 0 if all is as promised."""
    options = _options()
    console, began = Console(), time.monotonic()
    with ExitStack() as stack:
        folder = Path(options.folder or stack.enter_context(_temporary_folder()))
        database = stack.enter_context(_postgresql(folder)) if options.postgresql else ""
        matrix = stack.enter_context(_matrix(folder, console, database))
        for way in options.ways:
            matrix.run_way(way)
        if options.stream:
            matrix.run_stream()
    _report(matrix, console, time.monotonic() - began, is_written=options.write)
    return 1 if matrix.breaches else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kill_matrix.py", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables into the page")
    parser.add_argument("--way", dest="ways", action="append", type=Way, help="only this way")
    parser.add_argument("--no-stream", dest="stream", action="store_false", help="no long stream")
    parser.add_argument("--postgresql", action="store_true", help="ledgers on a PostgreSQL")
    parser.add_argument("--folder", help="where ledgers and logs are kept; by default nowhere")
    options = parser.parse_args()
    if options.write and options.postgresql:
        parser.error("The page shows what was counted with files: give --write or --postgresql.")
    options.ways = options.ways or list(Way)
    return options


@contextmanager
def _temporary_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="kill-matrix-", ignore_cleanup_errors=True) as folder:
        yield folder


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL with a ledger on it; give its URL."""
    server = OwnPostgres(folder / "postgresql")
    try:
        asyncio.run(upgrade(server.url, SystemClock()))
        yield server.url
    finally:
        server.close()


@contextmanager
def _matrix(folder: Path, console: Console, database: str) -> Iterator[Matrix]:
    """Start a Prefect server for a matrix, and show its progress."""
    os.environ |= {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), Elapsed())
    console.print("starting a Prefect server ...")
    with Servers(folder) as servers:
        url = servers.start_prefect()
        with (
            temporary_settings({PREFECT_API_URL: url}),
            Progress(*columns, console=console) as bars,
        ):
            yield Matrix(url, folder, bars, database)


def _report(matrix: Matrix, console: Console, seconds: float, *, is_written: bool) -> None:
    facts = matrix.facts.report(STREAM) if matrix.facts else {}
    for breach in matrix.breaches:
        console.print(f"[bold red]not as promised[/] {breach}")
    console.print(_shown(table_of(matrix.found)), _shown(facts_table(facts)))
    held = "all as promised" if not matrix.breaches else f"{len(matrix.breaches)} not as promised"
    console.print(f"{len(matrix.found)} cells, {held}, {seconds:.0f} seconds")
    if is_written:
        write_between("kill matrix", f"{table_of(matrix.found)}\n\n{_conditions(matrix, held)}")
        write_between("long stream", facts_table(facts))


def _shown(markdown: str) -> Table:
    """Return a table of the page for the screen."""
    head, _, *rows = (line.strip("| ").split(" | ") for line in markdown.splitlines())
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    return table


def _conditions(matrix: Matrix, held: str) -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    prefect = version("prefect")
    return f"{len(matrix.found)} cells, {held}; Prefect {prefect}, Python {python}."


if __name__ == "__main__":
    sys.exit(main())
