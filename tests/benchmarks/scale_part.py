"""What a big table takes in one worker, and a bigger one in the ledger alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from results import Figures, Part, Target, number
from row_part import pace_cells

if TYPE_CHECKING:
    from bench_lab import BenchLab


def scale(lab: BenchLab) -> Part:
    """Measure a big table in one worker, and a bigger one in the ledger alone."""
    size = lab.size
    run = partial(lab.enrich, in_flight=size.in_flight, latency=size.many_latency)
    few = lab.median(f"{size.rows:,} rows", partial(run, size.rows))
    lab.say(f"{size.many:,} rows")
    many = run(size.many)
    lab.say(f"the ledger alone, {size.most:,} rows")
    alone = lab.measured().run("ours.py", "ledger", ledger="book/ledger.db", rows=size.most)
    head = ("rows", "client CPU, ms a row", "server CPU, ms a row", "polls a row", "rows a second")
    cells = [
        (f"{rows:,}", number(each["cpu"]), number(each["server"]), f"{each['polls']:.2f}",
         *pace_cells(each))
        for rows, each in ((size.rows, few), (size.many, many))
    ]  # fmt: skip
    return Part(
        "scale",
        [
            Figures(
                (*head, "memory, MB"),
                cells,
                f"`enrich` in one worker, {size.in_flight:,} in flight, {size.many_latency:g} s of "
                "latency, polling as it learns.",
            ),
            _a_million(size.most, alone, many),
        ],
        [
            Target(f"memory at {size.many:,} rows", many["rss"], 400.0, " MB"),
            Target(
                f"rows a second at {size.many:,}, of those at {size.rows:,}",
                many["rate"] / few["rate"],
                0.9,
                at_least=True,
            ),
        ],
    )


def _a_million(most: int, alone: dict[str, Any], many: dict[str, Any]) -> Figures:
    """Return the run of the ledger alone, and what the whole would take by what was measured."""
    gigabytes = alone["file"] / 1e9
    hours = most / many["rate"] / 3600.0
    cells = [
        ("ledger alone: CPU, ms a row", number(1000.0 * alone["cpu"] / most)),
        ("ledger alone: rows a second", number(round(most / alone["seconds"]))),
        ("ledger alone: memory, MB", number(round(alone["rss"]))),
        ("ledger alone: its files, GB", number(gigabytes)),
        ("on paper: hours of one worker, no latency left to wait for", number(hours)),
        ("on paper: its CPU, hours", number(most * many["cpu"] / 3.6e6)),
        ("on paper: keys that are checked for doubles, MB", number(8.0 * most / 1e6)),
    ]
    note = (
        "Each row: a plan, a claim, an ID and an end with a body of two kilobytes, in groups. "
        "On paper: by the rate and the costs of the bigger table above."
    )
    return Figures((f"{most:,} rows", ""), cells, note)
