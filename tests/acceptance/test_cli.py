"""The command as people and scripts meet it: a process, its output, its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_responses.clock import SystemClock
from prefect_responses.ledger import Ledger


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prefect_responses.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def url(tmp_path):
    """Give the URL of a ledger that holds nothing."""
    url = f"sqlite:///{tmp_path / 'responses.db'}"

    async def make() -> None:
        await (await Ledger.open(url, clock=SystemClock())).aclose()

    asyncio.run(make())
    return url


def test_version():
    assert run("--version").stdout.strip() == "0.1.0"


def test_the_installed_command_is_the_same():
    command = Path(sys.executable).with_name("prefect-responses")

    result = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "0.1.0"


def test_the_default_is_the_ledger_of_the_settings(url):
    result = run("audit", PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL=url)

    assert result.returncode == 0
    assert "Nothing is recorded here" in result.stdout


def test_a_block_that_is_not_there_is_named(prefect_server):
    result = run("audit", "--ledger", "nobody", PREFECT_API_URL=prefect_server)

    assert result.returncode == 1
    assert "nobody" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_block_says_where_the_ledger_is(prefect_server, url):
    from prefect_responses import ResponseLedger  # noqa: PLC0415 - after the server is up

    ResponseLedger(url=url).save("cli-test", overwrite=True)

    result = run("audit", "--ledger", "cli-test", PREFECT_API_URL=prefect_server)

    assert result.returncode == 0
    assert "Nothing is recorded here" in result.stdout


@pytest.mark.parametrize(
    "command",
    [("prefect_responses.cli", "emulator", "serve"), ("prefect_responses.emulator",)],
    ids=["command", "module"],
)
def test_the_emulator_serves_until_it_is_told_to_stop(command, tmp_path):
    port_file = tmp_path / "port"
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port-file", str(port_file), "--latency", "instant"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line == f"Responses API emulator on http://127.0.0.1:{port_file.read_text()}/v1\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_the_emulator_loads_neither_prefect_nor_sqlalchemy():
    code = (
        "import sys\n"
        "from prefect_responses.cli.__main__ import make_app\n"
        "try:\n"
        "    make_app()(['emulator', 'serve', '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "assert 'prefect_responses.emulator.server' in sys.modules\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'prefect', 'sqlalchemy'})\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.splitlines()[-1] == "set()"


def test_a_port_that_is_taken_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("emulator", "serve", "--port", str(taken.getsockname()[1]))

    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
