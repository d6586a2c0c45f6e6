"""The demo, as a newcomer runs it, on fewer rows."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_demo_proves_what_it_promises(tmp_path):
    command = [
        sys.executable,
        "-m",
        "flows.demo",
        "--folder",
        str(tmp_path / "demo"),
        "--rows",
        "40",
    ]

    told = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert "killed (SIGKILL)" in told.stdout
    assert "PROVEN" in told.stdout
    assert "NOT PROVEN" not in told.stdout
    with (tmp_path / "demo" / "enriched.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 40
