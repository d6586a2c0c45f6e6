"""A row job as a flow, for a test or for processes of their own, which a killed one has to be."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import BaseModel

from prefect_responses import EnrichReport, Prompt, enrich
from prefect_responses.engine import crash_points
from prefect_responses.engine.runtime import close_runtime

#: Imports once what every process needs, and forks. It finds nothing in folders of tests, and says
#: nothing of what it does not find: each process would import it all by itself then.
_BORN = multiprocessing.get_context("forkserver")
_BORN.set_forkserver_preload(
    [
        "pytest",
        "prefect.task_engine",
        "prefect_responses.client.on_aiohttp",
        "prefect_responses.tasks.enrich_run",
    ]
)


class Facts(BaseModel):
    summary: str


def table(folder: Path, rows, name="table.csv") -> Path:
    path = folder / name
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "unused"))
        writer.writerows(rows)
    return path


def rows_of(count: int, **changed: str) -> list[tuple[str, str, str]]:
    return [(f"r{i}", changed.get(f"r{i}", f"Text number {i}."), "x") for i in range(count)]


def read(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def ask(source, sink=None, version="1", **more: Any) -> EnrichReport:
    """Run the job outside flows, which is quicker."""
    given = {"job": "facts", "key": "id", "output_type": Facts, "model": "extract", **more}
    prompt = Prompt("Summarise.\n---\n{text}", version=version)
    return enrich(rows=source, sink=sink, prompt=prompt, **given)


@flow
def job(source, sink, **how: Any) -> EnrichReport:
    """Run the job as a flow."""
    return ask(source, sink, **how)


class Process:
    """The job, run by a process of its own.

    Args:
        world: what it runs against.
        folder: where its report lies.
        crash: the point at which it dies, if it does.
        run: what runs the job.
        how: the arguments of the job.
    """

    def __init__(
        self, world, folder: Path, *, crash: str | None = None, run=ask, **how: Any
    ) -> None:
        self._file = folder / f"report-{time.monotonic_ns()}.json"
        environment = {**world.environment, "PREFECT_LOGGING_LEVEL": "ERROR"}
        if crash is not None:
            environment[crash_points.VARIABLE] = crash
        order = (environment, PREFECT_API_URL.value(), self._file, run, how)
        self._process = _BORN.Process(target=_run, args=order)
        self._process.start()

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, "It did not end."
        return self._process.exitcode

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self.wait()

    def go_on(self) -> bool:
        """Let it go on if it has stopped at its point; return whether it had."""
        state = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2][0]
        if state == "T":
            os.kill(self._process.pid, signal.SIGCONT)
        return state == "T"

    def report(self) -> EnrichReport:
        """Wait for its end, and return what it reported."""
        assert self.wait() == 0
        return EnrichReport.model_validate_json(self._file.read_text())

    def error(self) -> dict[str, str]:
        """Wait for its end, and return what it raised."""
        assert self.wait() == 1
        return json.loads(self._file.read_text())


def _run(environment: dict[str, str], api_url: str, file: Path, run, how: dict[str, Any]) -> None:
    os.environ |= environment
    crash_points._armed = crash_points._read(environment.get(crash_points.VARIABLE))
    code = 0
    with temporary_settings({PREFECT_API_URL: api_url}):
        try:
            file.write_text(run(**how).model_dump_json())
        except Exception as error:  # noqa: BLE001 - the test is told of it
            code = 1
            file.write_text(json.dumps({"error": type(error).__name__, "message": str(error)}))
    close_runtime()
    os._exit(code)  # Prefect would take another second


def wait_until(is_so, seconds: float = 30.0):
    """Return what *is_so* returns as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(AssertionError):
            if found := is_so():
                return found
        time.sleep(0.02)
    raise TimeoutError("It did not come about.")
