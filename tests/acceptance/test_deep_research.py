"""The flow `deep-research` as people run it: answered, out of time, and killed amid its stream."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from documents import ROOT
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows.deep_research import Report, deep_research
from prefect_responses import ResponseResult
from prefect_responses.emulator.server import EmulatorThread

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FLOW = ROOT / "flows" / "deep_research.py"
PATIENCE = 60.0
SHORT = "Sources say <b>yes</b>. " * 5
LONG = "One finding follows another. " * 500
KILLED = "What is told is told once. " * 60


@dataclass
class Story:
    """One flow run that is over, and what it left behind."""

    run_id: UUID
    emulator: EmulatorThread
    question: str

    @property
    def state(self) -> Any:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(self.run_id).state

    def artifacts(self, key: str) -> list[str]:
        """Return the texts of its artifacts with that key."""
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[self.run_id]))
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(artifact_filter=of_run)
        return [artifact.data for artifact in found if artifact.key == key]

    def posts(self) -> int:
        """Return how often its question was posted."""
        entries = self.emulator.control.journal(method="POST")
        return sum((entry["body"] or {}).get("input") == self.question for entry in entries)


@dataclass
class Stage:
    """Where the stories are told: an emulator, and a folder for the ledger and the logs."""

    emulator: EmulatorThread
    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def plan(self, question: str, minutes: float = 5.0) -> Story:
        parameters = {"question": question, "model": "script", "minutes": minutes}
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(deep_research, parameters=parameters)
        return Story(run.id, self.emulator, question)

    def start(self, story: Story) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "prefect.flow_engine", f"{FLOW}:deep_research")
        run_id = {"PREFECT__FLOW_RUN_ID": str(story.run_id)}
        with (self.folder / f"{story.run_id}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **self.environment, **run_id}, stdout=log, stderr=log
            )
        self.started.append(process)
        return process

    def stop_all(self) -> None:
        """Leave no process behind."""
        for process in self.started:
            process.kill()
            process.wait()

    def out_of_time(self) -> Story:
        story = self.plan("How long is it?", minutes=1.5 / 60)
        self.start(story).wait(PATIENCE)
        return story

    def killed(self) -> Story:
        story = self.plan("What if it is killed?")
        first, end = self.start(story), time.monotonic() + PATIENCE
        while not story.artifacts("live-script"):
            assert time.monotonic() < end
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert self.start(story).wait(PATIENCE) == 0
        return story


@pytest.fixture
def stage(prefect_server, tmp_path):
    with EmulatorThread(seed=1, settings={"token_rate": 50}) as emulator:
        for match, text in (("Is it", SHORT), ("How long", LONG), ("What if", KILLED)):
            emulator.control.add_replies({"match": match, "text": text})
        stage = Stage(
            emulator,
            tmp_path,
            {
                "PREFECT_API_URL": prefect_server,
                "OPENAI_BASE_URL": emulator.url,
                "OPENAI_API_KEY": "emulator",
                "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
            },
        )
        try:
            yield stage
        finally:
            stage.stop_all()


def test_an_answer_is_reported(stage, monkeypatch):
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)

    state = deep_research("Is it *so*?", model="script", return_state=True)

    story = Story(state.state_details.flow_run_id, stage.emulator, "Is it *so*?")
    [report], [live] = story.artifacts("deep-research"), story.artifacts("live-script")
    assert state.result() == SHORT
    assert story.posts() == 1
    assert r"# Is it \*so\*\?" in report
    assert "It was answered" in report
    assert r"| response | resp\_" in report
    assert "| output tokens | 2" in report
    assert "| in time | yes |" in report
    for shown in (report, live):
        assert shown.endswith(SHORT.replace("<", "&lt;"))


def test_what_goes_wrong(stage):
    """Out of time, and killed: told at the same time, because both mostly wait."""
    with ThreadPoolExecutor(2) as threads:
        told = (stage.out_of_time, stage.killed)
        futures = [threads.submit(copy_context().run, tell) for tell in told]
        out_of_time, killed = (future.result() for future in futures)

    was_cancelled_and_reported(out_of_time)
    went_on_amid_its_stream(killed)


def was_cancelled_and_reported(story: Story) -> None:
    [report] = story.artifacts("deep-research")
    _, _, written = report.partition("## What was written until then\n\n")

    assert story.state.is_failed()
    assert "ResponseTimedOut" in story.state.message
    assert "was not done at its deadline and was cancelled" in report
    assert "| outcome | cancelled |" in report
    assert len(written) > 20
    assert LONG.startswith(written)
    assert story.posts() == 1


def went_on_amid_its_stream(story: Story) -> None:
    [report], [live] = story.artifacts("deep-research"), story.artifacts("live-script")

    assert story.state.is_completed()
    assert report.endswith(f"## Answer\n\n{KILLED}")
    assert live.endswith(f"\n\n{KILLED}")
    assert "· completed**\n" in live
    assert story.posts() == 1
    reads = story.emulator.control.journal(method="GET")
    assert any("starting_after" in entry["query"] for entry in reads)


def test_a_late_answer_says_so():
    late = ResponseResult(
        attempt_id="a", response_id="resp_1", status="completed", timeout="completed"
    )

    report = Report.of_answer("When?", late).as_markdown()

    assert "after the deadline" in report
    assert "no but kept" in report


def test_the_form_explains_itself():
    properties = deep_research.parameters.properties

    assert all(each["description"] for each in properties.values())
    assert deep_research.parameters.required == ["question"]
    assert properties["minutes"]["exclusiveMinimum"] == 0
