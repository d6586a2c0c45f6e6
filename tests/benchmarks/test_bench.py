"""The benchmark runs and writes its figures; what they come to is no matter of the gate."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/explanation/performance.md"
#: Those that start few processes.
PARTS = ("rows", "polls")


def test_figures_are_measured_and_written_where_they_belong(prefect_server, tmp_path):
    page = tmp_path / "performance.md"
    shutil.copy(PAGE, page)

    options = ("--quick", "--write", "--page", page, "--prefect", prefect_server)
    command = (sys.executable, "bench.py", *PARTS, *options)
    ended = subprocess.run(command, cwd=HERE, capture_output=True, check=False)

    assert ended.returncode == 0, ended.stderr.decode()
    for part in PARTS:
        assert re.search(r"\| (met|\*\*missed\*\*) \|", between(part, page))
        assert "nan" not in between(part, page)
    assert between("scale", page) == between("scale", PAGE)


def between(part: str, page: Path) -> str:
    """Return what *page* shows of *part*."""
    _, shown, _ = re.split(f"<!-- {part}: .*-->", page.read_text())
    return shown
