"""The programs of the pages on deadlines and on streams, run as they stand."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time

import pytest
from documents import programs_of

from prefect_responses.emulator.server import EmulatorThread

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def emulator():
    with EmulatorThread(seed=1, latency="constant:5") as emulator:
        yield emulator


@pytest.fixture
def program(prefect_server, emulator, tmp_path, monkeypatch):
    """Write a program of a page into an empty folder, where it finds the emulator."""
    environment = {
        "PREFECT_API_URL": prefect_server,
        "OPENAI_BASE_URL": emulator.url,
        "OPENAI_API_KEY": "emulator",
        "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": f"sqlite:///{tmp_path / 'responses.db'}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def program(page: str, name: str) -> str:
        (tmp_path / name).write_text(programs_of(f"docs/howto/{page}.md")[name])
        return name

    return program


def paths(emulator: EmulatorThread) -> list[str]:
    return [entry["path"] for entry in emulator.control.journal(method="POST")]


def test_the_deadlines_end_what_they_should(program, emulator, capsys):
    runpy.run_path(program("set-a-deadline", "deadline.py"), run_name="__main__")

    alone, together = capsys.readouterr().out.splitlines()[-2:]
    assert alone.startswith("cancelled: Once upon a time.")
    assert "'cancelled'" in together
    assert "'not_sent'" in together
    assert paths(emulator).count("/v1/responses") == 2
    assert sum(path.endswith("/cancel") for path in paths(emulator)) == 2


def test_each_character_is_used_once_across_a_kill(program, emulator, tmp_path):
    command = [sys.executable, program("follow-a-stream", "follow.py")]
    told, end = tmp_path / "told-0.txt", time.monotonic() + 60
    with subprocess.Popen(command) as first:
        while not told.exists() or not told.read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
    before = told.read_text()

    second = subprocess.run(
        command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True
    )

    assert first.returncode == -signal.SIGKILL
    assert 0 < len(before) < len(told.read_text())
    assert told.read_text() == second.stdout.strip("\n")
    assert paths(emulator) == ["/v1/responses"]
