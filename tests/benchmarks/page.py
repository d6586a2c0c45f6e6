"""Write what was measured into the page that explains it, between markers of its own."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from results import Part

PAGE = Path(__file__).parents[2] / "docs/explanation/performance.md"
TARGET_HEAD = ("target", "measured", "bound", "")
LIBRARIES = ("prefect", "httpx", "aiohttp", "httpx-aiohttp", "openai", "sqlalchemy", "orjson")


def part_as_markdown(part: Part) -> str:
    """Return the targets of a part, then its figures."""
    targets = [target.as_cells() for target in part.targets]
    blocks = [_table(TARGET_HEAD, targets)] if targets else []
    for figures in part.figures:
        blocks.append(_table(figures.head, figures.rows))
        blocks += [figures.note] if figures.note else []
    return "\n\n".join([*blocks, f"Measured on {time.strftime('%Y-%m-%d')} on {machine()}."])


def machine() -> str:
    """Return what the figures were measured on, without any name or path of it."""
    gibibytes = psutil.virtual_memory().total / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} shared cores ({_processor()}), {gibibytes:.0f} GiB, "
        f"{platform.system()}, {platform.python_implementation()} {platform.python_version()}; "
        f"{libraries}"
    )


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_part(part: Part, page: Path) -> None:
    """Replace what *page* shows of *part*.

    Raises:
        ValueError: the page has no place for it.
    """
    begin, end = _markers(part.name)
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page.name} has no place for {part.name!r}.")
    page.write_text(f"{before}{begin}\n\n{part_as_markdown(part)}\n\n{end}{after}")


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: measured by make bench -->", f"<!-- {name}: end -->"
