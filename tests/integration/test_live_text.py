"""The text of a response in Prefect's UI while it is made: one artifact, seldom written."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings
from relay import Relay

from prefect_responses import arespond
from prefect_responses.decisions.stream_fold import Fold, fold
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.host import live_text as module
from prefect_responses.host.live_text import LONGEST, live_text
from prefect_responses.wire.stream_events import read_event

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RESPONSE = {"id": "resp_1", "model": "gpt-5", "status": "in_progress"}
CREATED = {"type": "response.created", "sequence_number": 0, "response": RESPONSE}
DONE = {
    "type": "response.completed",
    "sequence_number": 10**6,
    "response": {**RESPONSE, "status": "completed"},
}


def delta(number: int, text: str) -> dict:
    kind = "response.output_text.delta"
    return {"type": kind, "sequence_number": number, "delta": text, "output_index": 0}


def tell(listener, state: Fold, *documents: dict) -> Fold:
    """Let *listener* hear some events; return what is known then."""
    for document in documents:
        event = read_event(document)
        state, changes = fold(state, event)
        listener.heard(event, changes, state)
    return state


async def artifacts():
    """Return the artifacts of this flow run, oldest first."""
    of_run = ArtifactFilterFlowRunId(any_=[FlowRunContext.get().flow_run.id])
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=of_run))
    return sorted(found, key=lambda each: each.created)


async def until(what):
    """Wait until what *what* awaits is true; return it."""
    async with asyncio.timeout(10):
        while not (found := await what()):  # noqa: ASYNC110 - it is Prefect's server that knows
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
def emitted(monkeypatch):
    """The names of the events that are sent to Prefect, and are not sent."""
    names = []
    emit = "prefect.events.utilities.emit_event"
    monkeypatch.setattr(emit, lambda *, event, **_: names.append(event))
    return names


@pytest.fixture
def relay(prefect_server, emitted):
    del emitted  # or Prefect would open a channel for events through the relay too
    with Relay(urlsplit(prefect_server).port) as relay:
        yield relay


@contextmanager
def through(relay):
    """Reach Prefect through *relay*."""
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{relay.port}/api"}):
        yield


async def run(story):
    """Run *story* in a flow run, in the runtime's loop, as the tasks do; return what it returns."""

    @flow
    async def whole():
        return await current_runtime().arun(story())

    return await whole()


async def test_the_text_is_one_artifact_that_grows(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.1)

    async def story():
        async with live_text("Report on Löwen & <b>tigers</b>") as listener:
            state = tell(listener, Fold(), CREATED)
            await asyncio.sleep(0.2)
            before = await artifacts()
            state = tell(listener, state, delta(1, "One"))
            [first] = await until(artifacts)
            tell(listener, state, delta(2, " and two."), DONE)
        return before, first, await artifacts()

    before, first, [last] = await run(story)

    assert before == []
    assert first.id == last.id
    assert last.type == "markdown"
    assert last.key == "live-report-on-l-wen-b-tigers-b"
    assert "<b>" not in last.description
    assert first.data.endswith("\n\nOne")
    assert "being written" in first.data
    assert last.data.endswith("\n\nOne and two.")
    assert last.data.startswith(r"**gpt\-5 · 12 characters · ")
    assert "· completed**\n" in last.data


async def test_it_is_written_seldom(relay):
    async def story():
        with through(relay):
            async with live_text("seldom") as listener:
                state = Fold()
                for number in range(50):
                    state = tell(listener, state, delta(number, "word "))
                    await asyncio.sleep(0.01)
        return await artifacts()

    [artifact] = await run(story)

    assert "250 characters" in artifact.data
    assert relay.count("POST /api/artifacts/ ") == 1
    assert relay.count("PATCH /api/artifacts/") == 1


async def test_the_pace_is_kept(relay, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.3)

    async def story():
        with through(relay):
            async with live_text("pace") as listener:
                state, end = Fold(), time.monotonic() + 1.2
                while time.monotonic() < end:
                    state = tell(listener, state, delta(len(state.text), "x"))
                    await asyncio.sleep(0.01)

    await run(story)

    assert 2 <= relay.count("PATCH /api/artifacts/") <= 5


async def test_an_update_is_no_event(emitted, monkeypatch):
    # Prefect's own method would send the whole text as an event, each time.
    monkeypatch.setattr(module, "EVERY", 0.1)

    async def story():
        async with live_text("quiet") as listener:
            tell(listener, Fold(), delta(1, "One."))
            await until(artifacts)
            await asyncio.sleep(0.2)
        return await artifacts()

    [artifact] = await run(story)

    assert artifact.data.endswith("· no longer followed**\n\nOne.")
    assert emitted == ["prefect.artifact.created"]


async def test_a_process_that_goes_on_goes_on_with_its_artifact():
    async def story():
        async with live_text("again") as listener:
            state = tell(listener, Fold(), CREATED, delta(1, "One"))
        async with live_text("again") as listener:
            listener.began(state)
            tell(listener, state, delta(2, " and two."))
        async with live_text("again") as listener:
            tell(listener, Fold(response_id="resp_2"), delta(1, "Another."))
        return await artifacts()

    first, other = await run(story)

    assert first.data.endswith("One and two.")
    assert "no longer followed" in first.data
    assert other.key == first.key
    assert other.data.endswith("Another.")


async def test_a_long_text_is_cut_and_says_so():
    async def story():
        async with live_text("long") as listener:
            tell(listener, Fold(), delta(1, "a" * 1000 + "b" * LONGEST))
        return await artifacts()

    [artifact] = await run(story)

    assert "only the last 200,000 are shown" in artifact.data
    assert artifact.data.endswith("…" + "b" * LONGEST)


async def test_what_a_model_wrote_does_nothing():
    async def story():
        async with live_text("attack") as listener:
            tell(listener, Fold(), delta(1, "![x](https://example.com/?q=secret)<script>"))
        return await artifacts()

    [artifact] = await run(story)

    assert "![" not in artifact.data
    assert "<" not in artifact.data


async def test_a_silent_api_delays_nothing(relay):
    async def story():
        relay.is_silent = True
        with through(relay):
            async with live_text("silent") as listener:
                state = tell(listener, Fold(), delta(1, "One."))
                await asyncio.sleep(1.0)
                began = time.monotonic()
                tell(listener, state, DONE)
            return time.monotonic() - began

    assert await run(story) < 0.5


async def test_an_api_that_comes_back_is_told(relay, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.1)
    monkeypatch.setattr(module, "_PATIENCE", 1.0)

    async def story():
        relay.is_silent = True
        with through(relay):
            async with live_text("back") as listener:
                state = tell(listener, Fold(), CREATED, delta(1, "One."))
                await asyncio.sleep(1.2)
                relay.is_silent = False
                await until(artifacts)
                tell(listener, state, delta(2, " Two."), DONE)
        return await artifacts()

    [artifact] = await run(story)

    assert artifact.data.endswith("One. Two.")


async def test_an_api_that_is_away_is_no_failure():
    async def story():
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            async with live_text("away") as listener:
                tell(listener, Fold(), delta(1, "One."), DONE)
        return "well"

    assert await run(story) == "well"


async def test_outside_a_flow_run_nothing_is_shown(relay):
    async def story():
        async with live_text("outside") as listener:
            tell(listener, Fold(), delta(1, "One."), DONE)

    with through(relay):
        await current_runtime().arun(story())

    assert relay.count("") == 0


async def test_a_task_shows_the_text_of_its_response(world):
    world.control.change_settings(token_rate=100)
    text = "It grows and grows. " * 10
    world.control.add_replies({"text": text})

    @flow
    async def story():
        answer = await arespond(model="script", input="Grow.", stream=True, live_text=True)
        return answer.output_text, await artifacts()

    answer, [artifact] = await story()

    assert answer == text
    assert artifact.key == "live-script"
    assert artifact.task_run_id is not None
    assert artifact.data.endswith(text)
    assert "· completed" in artifact.data
    assert world.posts() == 1
