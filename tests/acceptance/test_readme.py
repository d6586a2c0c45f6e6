"""The README's programs, run as they stand by a reader who has the emulator and nothing else."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys

import pytest
from documents import ROOT, programs_of

from prefect_responses.emulator.server import EmulatorThread

PROGRAMS = programs_of("README.md")


@pytest.fixture
def emulator():
    with EmulatorThread(seed=1) as emulator:
        yield emulator


@pytest.fixture
def run(prefect_server, emulator, tmp_path):
    """Run a program of the README in a folder and a Prefect home of its own."""

    def run(name: str) -> str:
        (tmp_path / name).write_text(PROGRAMS[name])
        result = subprocess.run(
            [sys.executable, name],
            cwd=tmp_path,
            env={
                **os.environ,
                "PREFECT_API_URL": prefect_server,
                "PREFECT_HOME": str(tmp_path / "prefect"),
                "PREFECT_LOGGING_LEVEL": "INFO",
                "OPENAI_BASE_URL": emulator.url,
                "OPENAI_API_KEY": "emulator",
            },
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    return run


def accepted(emulator: EmulatorThread) -> int:
    return sum(entry["accepted"] for entry in emulator.control.journal(method="POST"))


def test_all_programs_are_run_here():
    assert set(PROGRAMS) == {"hello.py", "reviews.py"}


def test_the_example_is_short():
    assert len([line for line in PROGRAMS["hello.py"].splitlines() if line.strip()]) <= 20


def test_the_example_submits_once(run, emulator):
    first, second = run("hello.py"), run("hello.py")

    [line] = [line for line in first.splitlines() if line.startswith("resp_")]
    assert line in second
    assert accepted(emulator) == 1


def test_the_table_is_paid_for_once(run, emulator, tmp_path):
    [table] = re.findall(r"```\n(id,text\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "reviews.csv").write_text(table)

    first, second = run("reviews.py"), run("reviews.py")

    assert "submitted 2" in first
    assert "reused 2, adopted 0, submitted 0" in second
    assert accepted(emulator) == 2
    with (tmp_path / "verdicts.csv").open(newline="") as file:
        assert [row["mood"] for row in csv.DictReader(file)] == ["pleased", "angry"]
