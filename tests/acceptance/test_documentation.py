"""The documentation: its programs run, its links lead somewhere, its reference is current."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from documents import ROOT, programs_of

from prefect_responses.emulator.server import EmulatorThread

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deployments/*.md")]
TUTORIAL = "docs/tutorial/first-durable-flow.md"


def test_the_tutorial_ends_with_one_response(prefect_server, tmp_path):
    (tmp_path / "story.py").write_text(programs_of(TUTORIAL)["story.py"])
    with EmulatorThread(seed=1, latency="constant:6") as emulator:
        told = {
            "cwd": tmp_path,
            "text": True,
            "env": {
                **os.environ,
                "PREFECT_API_URL": prefect_server,
                "PREFECT_HOME": str(tmp_path / "prefect"),
                "OPENAI_BASE_URL": emulator.url,
                "OPENAI_API_KEY": "emulator",
            },
        }
        with subprocess.Popen([sys.executable, "story.py"], **told) as first:
            wait_for_a_stored_id(told)
            first.send_signal(signal.SIGKILL)

        second = subprocess.run(
            [sys.executable, "story.py"], capture_output=True, check=False, timeout=90, **told
        )

        assert second.returncode == 0, second.stderr
        assert "Once upon a time." in second.stdout
        accepted = [entry["accepted"] for entry in emulator.control.journal(method="POST")]
        assert accepted == [True]
    [sentence] = re.findall(r"^Proven: .*$", (ROOT / TUTORIAL).read_text(), re.MULTILINE)
    assert sentence in command("audit", **told)


def wait_for_a_stored_id(told) -> None:
    end = time.monotonic() + 60
    while "resp_" not in command("ledger show", **told):
        assert time.monotonic() < end


def command(line: str, **told) -> str:
    return subprocess.run(
        [sys.executable, "-m", "prefect_responses.cli", *shlex.split(line)],
        capture_output=True,
        check=False,
        **told,
    ).stdout


def test_the_test_of_the_howto_passes(tmp_path):
    document = "docs/howto/test-on-the-emulator.md"
    (tmp_path / "test_my_flow.py").write_text(programs_of(document)["test_my_flow.py"])

    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout


def test_the_reference_is_current():
    result = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(document):
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"`make ([\w.-]+)", document.read_text())) <= targets
