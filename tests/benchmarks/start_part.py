"""What importing the package adds to importing Prefect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from results import Figures, Part, Target, number

if TYPE_CHECKING:
    from bench_lab import BenchLab

HERE = Path(__file__).parent
#: What a user of the package and its errors has imported in any case, and what is measured then.
IMPORTS = {
    "`import prefect_responses` after `import prefect`": (
        "import prefect",
        "import prefect_responses",
    ),
    "`from prefect_responses import enrich` after `from prefect import flow`": (
        "from prefect import flow",
        "from prefect_responses import enrich",
    ),
    "`from prefect import flow`, to compare": ("", "from prefect import flow"),
}


def start(lab: BenchLab) -> Part:
    """Measure what imports add."""
    found = {}
    for name, (before, then) in IMPORTS.items():
        lab.say(name)
        found[name] = [_import(lab, before, then) for _ in range(lab.size.imports)]
    cells = [
        (name, *(number(1000.0 * median(each[of] for each in runs)) for of in ("wall", "cpu")))
        for name, runs in found.items()
    ]
    head = ("import, in a fresh process", "ms", "CPU, ms")
    first, runs = next(iter(found.items()))
    took = 1000.0 * median(each["wall"] for each in runs)
    note = "Names are loaded when they are first used; the second line is what the first use takes."
    return Part("start", [Figures(head, cells, note)], [Target(first, took, 60.0, " ms")])


def _import(lab: BenchLab, before: str, then: str) -> dict[str, float]:
    said = subprocess.run(
        [sys.executable, str(HERE / "import_time.py"), before, then],
        env=lab.measured().environment,
        capture_output=True,
        check=True,
        text=True,
    )
    return json.loads(said.stdout)
