"""Write the crash matrix, as it was measured, into the page that explains it, and read it there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from matrix_cells import Cell, Mode, Way, points_of, promise_of

from prefect_responses.engine.crash_points import CrashPoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matrix_cells import Found

PAGE = Path(__file__).parents[2] / "docs/explanation/what-happens-when.md"
_ROW = re.compile(r"^\| `(?P<point>\w+)` \| (?P<mode>\w+) \| (?P<cells>.+) \|$", re.MULTILINE)


def table_of(found: Mapping[Cell, Found]) -> str:
    """Return the matrix: a row for each point and mode, a column for each way."""
    head = ("ended at", "waits by", *Way)
    rows = [head, ("---",) * len(head)]
    for point in CrashPoint:
        for mode in Mode:
            if point in points_of(mode):
                cells = (found.get(Cell(point, mode, way)) for way in Way)
                shown = (str(each) if each else "not run" for each in cells)
                rows.append((f"`{point}`", mode.value, *shown))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def facts_table(facts: Mapping[str, str]) -> str:
    """Return a table of what was counted."""
    rows = ["| counted | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in facts.items())]
    return "\n".join(rows)


def write_between(name: str, text: str) -> None:
    """Replace what stands between the markers called *name* in the page."""
    begin, end = _markers(name)
    before, _, rest = PAGE.read_text().partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def read_between(name: str) -> str:
    """Return what stands between the markers called *name* in the page."""
    begin, end = _markers(name)
    return PAGE.read_text().partition(begin)[2].partition(end)[0]


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: measured by make kill-matrix -->", f"<!-- {name}: end -->"


def broken_in(table: str) -> Iterator[str]:
    """Say which cells of a table are missing, or not as is promised."""
    shown: dict[tuple[str, str], list[str]] = {
        (row["point"], row["mode"]): row["cells"].split(" | ") for row in _ROW.finditer(table)
    }
    for mode in Mode:
        for point in points_of(mode):
            given = shown.get((point.value, mode.value), [])
            for index, way in enumerate(Way):
                cell = Cell(point, mode, way)
                if index >= len(given) or not _is_promised(cell, given[index]):
                    yield f"{point}, {mode}, {way}"


def _is_promised(cell: Cell, shown: str) -> bool:
    promise, counts = promise_of(cell), re.findall(r"\d+", shown)
    if len(counts) != len(("posts", "cancels", "adopted")):
        return False
    posts, cancels, adopted = (int(count) for count in counts)
    is_known = posts == promise.posts and cancels in promise.cancels
    return is_known and bool(adopted) in promise.adopted
