"""A ledger is upgraded while code that knows only the revision before is at work, and goes on.

`package_of_0002.tar.xz` is the package as it was at revision 0002, without its emulator; it runs as
processes of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from prefect_responses.emulator.remote_control import RemoteControl
from prefect_responses.emulator.server import EmulatorThread
from prefect_responses.ledger.tables import REVISIONS, VERSION_TABLE

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "chaos"))

from databases import new_database, read  # noqa: E402 - it lies there

WORKER = HERE / "row_worker.py"
POSTGRES = os.environ.get("PREFECT_RESPONSES_TEST_POSTGRES_URL", "")
PATIENCE = 60.0


class Worker:
    """A process that drives rows with one version of the package."""

    def __init__(self, package: Path, ledger: str, api: str) -> None:
        self.ends: dict[str, tuple[str, str | None]] = {}
        self.revision = ""
        self._begun: set[str] = set()
        self._heard = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), ledger, api],
            env={**os.environ, "PYTHONPATH": str(package)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._wait_for(lambda: bool(self.revision))

    def drive(self, rows: list[str]) -> None:
        """Begin with rows."""
        self._begun.update(rows)
        self._process.stdin.write("".join(f"{row}\n" for row in rows))
        self._process.stdin.flush()

    def wait_for_all(self) -> None:
        """Wait until all its rows have ended."""
        self._wait_for(lambda: self.ends.keys() == self._begun)

    def kill(self) -> None:
        """Kill it, and leave its rows to others."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        self._process.stdin.close()
        self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout:
            facts = json.loads(line)
            with self._heard:
                if "ready" in facts:
                    self.revision = facts["ready"]
                else:
                    self.ends[facts["row"]] = (facts["end"], facts.get("response_id"))
                self._heard.notify_all()

    def _wait_for(self, what) -> None:
        with self._heard:
            assert self._heard.wait_for(what, PATIENCE), self.ends


@pytest.fixture(scope="module")
def old_package(tmp_path_factory):
    """Unpack the package of revision 0002; return the folder that it lies in."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(HERE / "package_of_0002.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def api():
    with EmulatorThread(seed=1, latency="constant:1") as emulator:
        yield emulator


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path, old_package):
    """The URL of a ledger that the old code has made."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with new_database(POSTGRES) as url:
        upgrade(old_package, url)
        yield url


@pytest.fixture
def start(url, api):
    workers = []

    def start(package):
        workers.append(Worker(package, url, api.url))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


NEW_PACKAGE = HERE.parents[1]


def upgrade(package: Path, url: str) -> None:
    """Run `prefect-responses ledger upgrade` of a version of the package."""
    command = ("-m", "prefect_responses.cli", "ledger", "upgrade", "--url", url)
    environment = {**os.environ, "PYTHONPATH": str(package)}
    subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)


def rows(what: str, count: int = 10) -> list[str]:
    return [f"{what} {number}" for number in range(count)]


def accepted(api) -> Counter[str]:
    """Return how often each row was accepted, which is how often it was paid for."""
    entries = RemoteControl(api.control_url).journal(method="POST")
    return Counter(entry["body"]["input"] for entry in entries if entry["accepted"])


def wait_until_submitted(url: str, rows: list[str]) -> None:
    end = time.monotonic() + PATIENCE
    stored = "SELECT name FROM attempts WHERE response_id IS NOT NULL"
    while not {name for (name,) in read(url, stored)} >= set(rows):
        assert time.monotonic() < end
        time.sleep(0.02)


def upgrade_beneath(url: str, start: Any, old: Worker) -> list[str]:
    """Upgrade the ledger, and let *old* begin rows meanwhile; return the rows."""
    is_file = url.startswith("sqlite")  # the first process that opens one upgrades it
    way = (start, (NEW_PACKAGE,)) if is_file else (upgrade, (NEW_PACKAGE, url))
    with ThreadPoolExecutor(1) as thread:
        upgrading, begun = thread.submit(way[0], *way[1]), []
        while not upgrading.done():
            begun.append(f"during {len(begun)}")
            old.drive(begun[-1:])
            time.sleep(0.02)
        upgrading.result()
    return begun


def test_both_go_on_when_the_ledger_is_upgraded_beneath_them(url, api, start, old_package):
    old = start(old_package)
    old.drive(rows("before"))
    wait_until_submitted(url, rows("before"))
    during = upgrade_beneath(url, start, old)
    assert read(url, f"SELECT * FROM {VERSION_TABLE}") == [(REVISIONS[-1],)]
    new, later = start(NEW_PACKAGE), start(old_package)
    assert (old.revision, new.revision, later.revision) == ("0002", REVISIONS[-1], "0002")

    # All three begin rows of their own, and watch one another's.
    for worker, theirs in ((old, "of old"), (new, "of new"), (later, "of later")):
        worker.drive(rows(theirs))
    for worker, others in ((old, "of new"), (new, "of later"), (later, "of old")):
        worker.drive(rows(others))
    for worker in (old, new, later):
        worker.wait_for_all()
    # Each version takes over what the other one had in flight when it was killed.
    for dying, heir, left in ((old, new, "left by old"), (new, later, "left by new")):
        dying.drive(rows(left))
        wait_until_submitted(url, rows(left))
        dying.kill()
        heir.drive(rows(left))
        heir.wait_for_all()

    every = during + [row for what in WHATS for row in rows(what)]
    assert accepted(api) == dict.fromkeys(every, 1)
    ends = {row: end for worker in (old, new, later) for row, end in worker.ends.items()}
    stored = "SELECT name, outcome, response_id FROM attempts"
    found = {name: (outcome, id_) for name, outcome, id_ in read(url, stored)}
    assert found.keys() == set(every)
    assert {outcome for outcome, _ in found.values()} == {"completed"}
    assert ends == found


WHATS = ("before", "of old", "of new", "of later", "left by old", "left by new")
