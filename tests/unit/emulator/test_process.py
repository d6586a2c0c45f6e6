"""The emulator as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADERS = {"authorization": "Bearer k"}
_LOADED = """
import json, sys
import prefect_responses.emulator.__main__
print(json.dumps([name for name in sys.modules]))
"""


def until_written(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "prefect_responses.emulator", "--latency", "constant:30"]
    command += ["--port-file", str(tmp_path / "port"), "--journal-file", str(tmp_path / "journal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def test_it_says_where_it_is_and_stops_when_told(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{until_written(tmp_path / 'port')}/v1"
    assert process.stdout is not None
    assert process.stdout.readline() == f"Responses API emulator on {url}\n"
    assert httpx.get(f"{url}/models", headers=_HEADERS).status_code == 200

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert time.monotonic() - began < 1.5


def test_held_connections_do_not_hold_it(process: subprocess.Popen[str], tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{until_written(tmp_path / 'port')}/v1"
    with httpx.Client(base_url=url, headers=_HEADERS) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/responses", json={"model": "echo", "input": "Hi."}, timeout=0.3)
        client.post("/responses", json={"model": "echo", "input": "Hi.", "background": True})
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0

    assert time.monotonic() - began < 1.5
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    assert {line["n"] for line in lines if line["accepted"]} == {1, 2}


def test_it_loads_neither_prefect_nor_a_client_nor_a_database() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(ran.stdout)}
    ours = {name for name in json.loads(ran.stdout) if name.startswith("prefect_responses.")}

    assert loaded.isdisjoint({"prefect", "sqlalchemy", "httpx", "httpx2", "openai"})
    assert {name.split(".")[1] for name in ours} == {"emulator"}


def test_an_unreadable_profile_is_refused_at_the_door() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "prefect_responses.emulator", "--latency", "slow"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 2
    assert "'slow' is no latency profile" in ran.stderr
