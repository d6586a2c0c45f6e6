"""Run a cell of the crash matrix, and count what came of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lab import ABREAST
from matrix_cells import Found

from prefect_responses.emulator.server import EmulatorThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lab import Lab
    from matrix_cells import Cell

#: Seconds until the response of a cell with a deadline is cancelled.
DEADLINE = 1.5
#: Seconds that responses take, by what is to be seen of them: their end, that they are at work (on
#: a busy machine too), or that a deadline ends them.
LATENCIES = {"ending": 0.8, "at work": 4.0, "endless": 3600.0}
STORY = "cell"


@dataclass
class Bench:
    """Labs for cells, each with an API of its own.

    Args:
        labs: by what is to be seen of their responses.
        own_ledgers: each cell has a ledger of its own.
        first_ids: the response IDs that the first process of a cell submitted.
    """

    labs: dict[str, Lab]
    own_ledgers: bool = False
    first_ids: dict[Cell, set[str]] = field(default_factory=dict)

    def lab(self, cell: Cell) -> Lab:
        """Return the lab of *cell*."""
        if cell.has_deadline:
            return self.labs["endless"]
        return self.labs["at work" if cell.is_amid else "ending"]

    def ledger(self, cell: Cell) -> Lab:
        """Return a lab whose ledger is that of *cell*."""
        lab = self.lab(cell)
        if not self.own_ledgers:
            return lab
        folder = lab.folder / f"{cell.point}-{cell.mode}"
        folder.mkdir(exist_ok=True)
        return replace(lab, folder=folder)

    def note_first(self, cell: Cell) -> None:
        """Remember what was submitted for *cell* until now."""
        self.first_ids[cell] = self._ids(cell)

    def found(self, cell: Cell) -> Found:
        """Count what came of *cell*, whose runs have ended."""
        lab, ids = self.lab(cell), self._ids(cell)
        ends = [fact for fact in lab.notes("ended") if fact[0] == cell.text]
        return Found(
            posts=lab.posts(cell.text),
            cancels=sum(cancelled in ids for cancelled in lab.cancelled_ids()),
            adopted=bool(ends) and ends[-1][1] in self.first_ids[cell],
            outcomes=tuple(self.ledger(cell).attempts(cell.text)),
            told=tuple(fact[2] for fact in ends),
        )

    def _ids(self, cell: Cell) -> set[str]:
        creates = self.lab(cell).creates(cell.text)
        return {entry["response_id"] for entry in creates if entry["accepted"]}


def parameters_of(cell: Cell) -> dict[str, Any]:
    """Return what the story of *cell* is called with."""
    seconds = DEADLINE if cell.has_deadline else 0.0
    return {"text": cell.text, "stream": cell.mode == "stream", "seconds": seconds}


@contextmanager
def bench_of(*labs: Lab) -> Iterator[Bench]:
    """Give a bench of three labs, whose emulators are replaced."""
    with ExitStack() as stack:
        emulators = {
            name: stack.enter_context(EmulatorThread(seed=seed, latency=f"constant:{seconds}"))
            for seed, (name, seconds) in enumerate(LATENCIES.items())
        }
        yield Bench(
            {
                name: replace(lab, emulator=emulator)
                for lab, (name, emulator) in zip(labs, emulators.items(), strict=True)
            }
        )


def kill_and_run_all_again(
    bench: Bench, cells: Iterable[Cell], action: str, tell: Callable[[Cell], None] = lambda _: None
) -> dict[Cell, int]:
    """Let the process of each cell end at its point, and run it again, some side by side.

    Args:
        bench: where they run.
        cells: what is run.
        action: `kill` or `term`.
        tell: hears of each cell that is done.

    Returns:
        The exit codes of the first processes.
    """
    # Here, not in the threads: which server is Prefect's is said in a context that they lack.
    runs = {cell: bench.lab(cell).plan(STORY, **parameters_of(cell)) for cell in cells}

    def twice(cell: Cell, run: str) -> int:
        code = bench.lab(cell).finish(run, STORY, crash=f"{cell.point}:{action}")
        bench.note_first(cell)
        bench.lab(cell).finish(run, STORY)
        tell(cell)
        return code

    with ThreadPoolExecutor(ABREAST) as threads:
        ends = {cell: threads.submit(twice, cell, run) for cell, run in runs.items()}
        return {cell: end.result() for cell, end in ends.items()}
