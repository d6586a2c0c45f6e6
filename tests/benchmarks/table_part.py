"""What reading and writing tables takes in memory: not more for a bigger one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results import Figures, Part, number

if TYPE_CHECKING:
    from bench_lab import BenchLab

FORMATS = {
    "CSV": "results.csv",
    "JSONL": "results.jsonl",
    "Parquet": "results.parquet",
    "SQL (SQLite)": "sqlite:///results.db?table=results",
}
#: How many times bigger the bigger table is.
BIGGER = 20


def tables(lab: BenchLab) -> Part:
    """Measure sinks and sources, with a small table and a big one."""
    rows = (lab.size.streamed // BIGGER, lab.size.streamed)
    cells = [_cells(name, [_run(lab, address, each) for each in rows]) for name, address in
             FORMATS.items()]  # fmt: skip
    head = ("format", "writes: MB", "writes: us a row", "reads: MB", "reads: us a row")
    note = (
        f"Memory of the whole process with {rows[0]:,} rows and with {rows[1]:,}, and CPU of the "
        "latter. 300 characters a row, and every column of a result."
    )
    return Part("tables", [Figures(head, cells, note)])


def _run(lab: BenchLab, address: str, rows: int) -> list[dict[str, Any]]:
    lab.say(f"{address}, {rows:,} rows")
    measured = lab.measured()
    told = {"address": address, "rows": rows}
    return [
        {**took, "each": 1e6 * took["cpu"] / rows}
        for took in (measured.run("tables.py", kind, **told) for kind in ("write", "read"))
    ]


def _cells(name: str, runs: list[list[dict[str, Any]]]) -> tuple[str, ...]:
    few, many = runs
    shown = []
    for small, big in zip(few, many, strict=True):
        shown += [f"{small['rss']:.0f} → {big['rss']:.0f}", number(big["each"])]
    return (name, *shown)
