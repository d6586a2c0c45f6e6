"""A cancelled flow run cancels what it has in flight: the hook, called as Prefect calls it."""

from __future__ import annotations

import inspect
import json
import logging
import os
import pickle
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from cancel_stories import LEDGER, leaves_one, leaves_three
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flows import Flow
from prefect.runner import _workspace_runtime_bootstrap as bootstrap
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from prefect_responses import ResponseLedger
from prefect_responses.errors import LedgerChanged
from prefect_responses.host.ledger_identity import LedgerOfRun, hold_to_ledger, ledger_of
from prefect_responses.identity import LEDGER_INPUT_KEY
from prefect_responses.tasks import durable_flow as module
from prefect_responses.tasks.durable_flow import (
    CancelResponses,
    FlowOptions,
    attach_hooks,
    durable_flow,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STORIES = Path(__file__).with_name("cancel_stories.py")
OWED = ("submitted", None, "flow_run_cancelled", None)
CANCELLED = ("settled", "cancelled", "flow_run_cancelled", "taken")


class Kept(logging.Handler):
    """Keep what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        if "Responses of this flow run" in record.getMessage():
            self.lines.append((record.levelname, record.getMessage().partition(": ")[2]))


@pytest.fixture
def said():
    """Hear what the hook says of flow runs."""
    logger, kept = logging.getLogger("prefect.flow_runs"), Kept()
    level = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    yield kept.lines
    logger.removeHandler(kept)
    logger.setLevel(level)


@pytest.fixture
def slow(world):
    """Responses that go on until a test says so."""
    world.control.set_latency("constant:600")
    world.control.stop_clock()
    return world


def run(story, *args):
    """Run a flow; return its flow run as Prefect hands it to a hook."""
    state = story(*args, return_state=True)
    assert state.is_completed(), state
    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id)


def call_hook(story, flow_run):
    [hook] = story.on_cancellation_hooks
    return hook(story, flow_run, Cancelling())


def rows(world):
    """Return state, outcome, reason and answer of every attempt."""
    asked = "SELECT state, outcome, cancel_reason, cancel_answer FROM attempts ORDER BY planned_at"
    with closing(sqlite3.connect(world.ledger_file)) as database:
        return database.execute(asked).fetchall()


def cancels(world):
    paths = [entry["path"] for entry in world.control.journal(method="POST")]
    return sorted(path for path in paths if path.endswith("/cancel"))


# --- the fresh process of a worker ----------------------------------------------------------------


def hook_process(folder, flow_run, **environment):
    """Run the hooks of `leaves_three` in a process that has nothing but these three files."""
    manifest = {"runtime_entrypoint": f"{STORIES}:leaves_three", "working_directory": str(folder)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "flow-run.json").write_text(flow_run.model_dump_json())
    (folder / "state.json").write_text(Cancelling().model_dump_json())
    files = [folder / name for name in ("manifest.json", "flow-run.json", "state.json")]
    given = {**os.environ, "PREFECT_LOGGING_LEVEL": "INFO", **environment}
    return subprocess.run(
        [sys.executable, bootstrap.__file__, "hook", "cancellation", *files],
        env=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


async def test_a_process_that_knows_only_the_flow_run_cancels_all_of_it(
    slow, prefect_server, tmp_path, monkeypatch
):
    # The settings there name no ledger: the block's name is with the flow run.
    await ResponseLedger(url=slow.ledger_url).asave(LEDGER, overwrite=True)
    monkeypatch.delenv("PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL")
    flow_run = run(leaves_three, LEDGER)

    ended = hook_process(tmp_path, flow_run, PREFECT_API_URL=prefect_server)

    assert rows(slow) == [CANCELLED] * 3
    assert len(cancels(slow)) == 3
    assert "3 in flight: 3 cancelled." in ended.stdout + ended.stderr
    assert slow.api_key not in ended.stdout + ended.stderr


# --- what it does ---------------------------------------------------------------------------------


def test_the_settings_ledger_is_found_and_nothing_is_cancelled_twice(slow, said):
    flow_run = run(leaves_one)

    assert call_hook(leaves_one, flow_run) is None
    assert call_hook(leaves_one, flow_run) is None

    assert rows(slow) == [CANCELLED]
    assert len(cancels(slow)) == 1
    assert said == [("INFO", "1 in flight: 1 cancelled."), ("INFO", "None in flight.")]


def test_what_completed_meanwhile_is_kept_and_others_are_left_alone(slow, said):
    flow_run = run(leaves_one)
    slow.control.advance(601)
    run(leaves_one)

    call_hook(leaves_one, flow_run)

    assert [row[:3] for row in rows(slow)] == [
        ("settled", "completed", "flow_run_cancelled"),
        ("submitted", None, None),
    ]
    assert said == [("INFO", "1 in flight: 1 completed and kept.")]


def test_an_api_that_is_down_is_owed_its_cancels(slow, said):
    flow_run = run(leaves_one)
    slow.control.add_fault("drop_before", match={"path_regex": "/cancel$"}, times=None)

    call_hook(leaves_one, flow_run)

    assert rows(slow) == [OWED]
    [(level, line)] = said
    assert level == "WARNING"
    assert line.startswith("1 in flight: 1 left to the harvester")

    slow.control.clear_faults()
    call_hook(leaves_one, flow_run)
    assert rows(slow) == [CANCELLED]


def test_a_key_that_is_gone_leaves_them_owed_and_says_where_to_set_it(slow, said, monkeypatch):
    flow_run = run(leaves_one)
    monkeypatch.delenv("OPENAI_API_KEY")

    call_hook(leaves_one, flow_run)

    assert rows(slow) == [OWED]
    assert "CredentialsMissing" in said[0][1]
    assert "OPENAI_API_KEY" in said[0][1]


def test_without_prefects_api_the_settings_ledger_is_taken(slow, said):
    flow_run = run(leaves_one)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            call_hook(leaves_one, flow_run)
            assert rows(slow) == [CANCELLED]
            call_hook(leaves_one, flow_run)

    # Not finding any there is not the same as there being none.
    assert said[0] == ("INFO", "1 in flight: 1 cancelled.")
    assert said[1][0] == "WARNING"
    assert "Prefect could not be asked" in said[1][1]


def test_another_ledger_is_not_taken_for_the_flow_runs(slow, said, tmp_path, monkeypatch):
    flow_run = run(leaves_one)
    for ledger in (f"sqlite:///{tmp_path / 'other.db'}", "sqlite:////nowhere/responses.db"):
        monkeypatch.setenv("PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL", ledger)
        call_hook(leaves_one, flow_run)

    assert cancels(slow) == []
    assert [level for level, _ in said] == ["WARNING"] * 2
    assert "attach_hooks(flow, ledger=block)" in said[0][1]
    assert "/nowhere" in said[1][1]

    hook = CancelResponses(ResponseLedger(url=slow.ledger_url))
    hook(leaves_one, flow_run, Cancelling())
    assert rows(slow) == [CANCELLED]


def test_a_flow_run_without_responses_opens_no_ledger(said, tmp_path, monkeypatch):
    file = tmp_path / "never.db"
    monkeypatch.setenv("PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL", f"sqlite:///{file}")

    @durable_flow
    def idle():
        """Ask nothing."""

    call_hook(idle, run(idle))

    assert said == []
    assert not file.exists()


def test_a_broken_console_fails_nothing(monkeypatch):
    def broken(*_):
        raise SystemExit(1)

    monkeypatch.setattr(module, "flow_run_logger", broken)
    nowhere = CancelResponses(ResponseLedger(url="sqlite:////nowhere/responses.db"))

    assert nowhere(leaves_one, FlowRun(flow_id=uuid4()), Cancelling()) is None


# --- the ledger of a flow run ---------------------------------------------------------------------


async def planned_run():
    async with get_client() as client:
        return await client.create_flow_run(leaves_three)


async def test_a_flow_run_remembers_its_ledgers_block():
    flow_run = await planned_run()
    assert await ledger_of(flow_run) is None

    await hold_to_ledger(str(flow_run.id), "uuid-1", accept_new=False, block="my-ledger")
    assert await ledger_of(flow_run) == LedgerOfRun("uuid-1", "my-ledger")

    with pytest.raises(LedgerChanged):
        await hold_to_ledger(str(flow_run.id), "uuid-2", accept_new=False, block="other")
    assert await ledger_of(flow_run) == LedgerOfRun("uuid-1", "my-ledger")

    await hold_to_ledger(str(flow_run.id), "uuid-2", accept_new=True)
    assert await ledger_of(flow_run) == LedgerOfRun("uuid-2", None)


async def test_a_ledgers_url_is_never_with_the_flow_run():
    flow_run = await planned_run()
    await hold_to_ledger(str(flow_run.id), "uuid-1", accept_new=False, block="my-ledger")

    async with get_client() as client:
        inputs = await client.filter_flow_run_input(flow_run.id, "", limit=10, exclude_keys=set())

    assert {each.key: each.value for each in inputs} == {
        LEDGER_INPUT_KEY: "uuid-1",
        "prefect-responses-ledger-block": "my-ledger",
    }


async def test_a_subflow_run_has_the_ledger_of_its_scope():
    found = []

    @flow
    async def child():
        from prefect.context import FlowRunContext  # noqa: PLC0415 - of the run that asks

        found.append(await ledger_of(FlowRunContext.get().flow_run))

    @flow
    async def parent():
        from prefect.runtime import flow_run  # noqa: PLC0415 - of the run that asks

        await hold_to_ledger(flow_run.id, "uuid-1", accept_new=False, block="my-ledger")
        await child()

    await parent()

    assert found == [LedgerOfRun("uuid-1", "my-ledger")]


# --- attaching ------------------------------------------------------------------------------------


def ours(story):
    return [hook for hook in story.on_cancellation_hooks if isinstance(hook, CancelResponses)]


def users_hook(flow, flow_run, state):
    """Do what a user does."""


def test_attaching_twice_is_attaching_once():
    block = ResponseLedger(url="sqlite:////tmp/one.db")

    @durable_flow(ledger=block)
    def story():
        """Do nothing."""

    assert attach_hooks(story) is story
    assert [hook.ledger for hook in ours(story)] == [block]

    other = ResponseLedger(url="sqlite:////tmp/two.db")
    attach_hooks(story, ledger=other)
    assert [hook.ledger for hook in ours(story)] == [other]


def test_the_users_hooks_stay_and_come_after():
    hooks = [users_hook]

    @flow(on_cancellation=hooks, on_crashed=[users_hook])
    def story():
        """Do nothing."""

    attach_hooks(story)

    assert story.on_cancellation_hooks == [ours(story)[0], users_hook]
    assert story.on_crashed_hooks == [users_hook]
    assert hooks == [users_hook]


def test_flows_that_share_hooks_are_told_apart():
    @flow(on_cancellation=[users_hook])
    def story():
        """Do nothing."""

    attach_hooks(story.with_options(name="copy"))

    assert ours(story) == []
    assert len(ours(attach_hooks(story).with_options(name="copy"))) == 1


def test_durable_flow_makes_what_flow_makes():
    @durable_flow
    def bare():
        """Say what it is for."""

    @durable_flow(name="named", retries=2, on_cancellation=[users_hook])
    async def called(text: str) -> str:
        return text

    assert isinstance(bare, Flow)
    assert (bare.name, bare.description) == ("bare", "Say what it is for.")
    assert (called.name, called.retries, called.isasync) == ("named", 2, True)
    assert len(ours(bare)) == len(ours(called)) == 1
    assert called.on_cancellation_hooks[1] is users_hook


def test_durable_flow_takes_what_flow_takes():
    taken = set(inspect.signature(flow).parameters) - {"__fn", "_FlowDecorator__fn"}

    assert set(FlowOptions.__annotations__) == taken


def test_a_hook_can_be_pickled_with_its_flow():
    again = pickle.loads(pickle.dumps(CancelResponses()))  # noqa: S301 - our own

    assert again.__name__ == "cancel_responses"
    assert again.ledger is None
