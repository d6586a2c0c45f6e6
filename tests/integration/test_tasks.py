"""The tasks in flows: one response a call, retries that cannot help cost nothing, readable runs."""

from __future__ import annotations

import asyncio

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.runtime import flow_run

from prefect_responses import (
    aawait_background_response,
    acreate_response,
    arespond,
    await_background_response,
    create_response,
    respond,
    worth_retrying,
)
from prefect_responses.errors import (
    CredentialsMissing,
    CredentialsRefused,
    RefusedForNow,
    RequestRefused,
    ResponseFailed,
)
from prefect_responses.tasks.enrich import enrich_shard

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OURS = [
    create_response,
    acreate_response,
    await_background_response,
    aawait_background_response,
    respond,
    arespond,
    enrich_shard,
]


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.fn.__name__)
def test_no_task_of_ours_is_cached_by_prefect(ours):
    # The ledger is the cache: Prefect's would answer two samples with one response.
    assert ours.cache_policy == NO_CACHE
    assert ours.retry_condition_fn is worth_retrying
    assert not ours.persist_result


def test_a_sync_flow(world):
    @flow
    def story():
        handle = create_response(model="echo", input="One.")
        waited = await_background_response(handle)
        return waited.output_text, respond(model="echo", input="Two.").output_text

    one, two = story()
    assert "One." in one
    assert "Two." in two
    assert world.posts() == 2


async def test_an_async_flow(world):
    @flow
    async def story():
        handle = await acreate_response(model="echo", input="One.")
        waited = await aawait_background_response(handle)
        answers = await asyncio.gather(
            *(arespond(model="echo", input="The same.") for _ in range(3))
        )
        return waited.output_text, {answer.response_id for answer in answers}

    one, three = await story()
    assert "One." in one
    assert len(three) == 3
    assert world.posts() == 4


def test_mapped_calls_and_futures(world):
    @flow
    def story():
        handles = create_response.with_options(name="ask").map(model="echo", input=["a", "b", "c"])
        results = await_background_response.map(handles)
        return sorted(result.result().output_text for result in results)

    assert len(story()) == 3
    assert world.posts() == 3


def test_a_retried_flow_pays_once(world):
    @flow(retries=2)
    def story():
        answer = respond(model="echo", input="Once.")
        if flow_run.run_count < 3:
            raise OSError("Something after the answer failed.")
        return answer.response_id

    assert story().startswith("resp_")
    assert world.posts() == 1


# --- retries --------------------------------------------------------------------------------------


def story_of(kind, **asked):
    """Make a flow that calls one task with retries."""
    patient = {
        "sync": respond.with_options(retries=3, retry_delay_seconds=0),
        "async": arespond.with_options(retries=3, retry_delay_seconds=0),
        "create": create_response.with_options(retries=3, retry_delay_seconds=0),
    }[kind]
    if kind == "async":

        @flow
        async def story():
            return await patient(model="echo", input="x", **asked)

        return lambda: asyncio.run(story())

    @flow
    def story():
        return patient(model="echo", input="x", **asked)

    return story


@pytest.mark.parametrize("kind", ["sync", "async", "create"])
def test_a_refused_request_is_not_repeated(world, kind):
    world.control.add_fault("status", status=400, times=None, match={"method": "POST"})
    with pytest.raises(RequestRefused):
        story_of(kind)()
    assert world.posts() == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 401}, CredentialsRefused),
        ({"kind": "fail", "code": "server_error"}, ResponseFailed),
    ],
    ids=["refused credentials", "a failed response"],
)
def test_what_can_never_succeed_is_not_repeated(world, fault, error):
    world.control.add_fault(**fault, times=None, match={"method": "POST"})
    with pytest.raises(error):
        story_of("sync")()
    assert world.posts() == 1


@pytest.mark.usefixtures("world")
def test_a_missing_key_is_not_repeated(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    runs = []

    @task(retries=3, retry_condition_fn=worth_retrying)
    def counted():
        runs.append(1)
        return respond.fn(model="echo", input="x")

    @flow
    def story():
        return counted()

    with pytest.raises(CredentialsMissing):
        story()
    assert runs == [1]


@pytest.mark.parametrize("error", [RefusedForNow("Wait."), OSError("Not ours.")], ids=repr)
def test_what_may_succeed_is_repeated(error):
    runs = []

    @task(retries=2, retry_delay_seconds=0, retry_condition_fn=worth_retrying)
    def shaky():
        runs.append(1)
        if len(runs) < 3:
            raise error
        return "done"

    @flow
    def story():
        return shaky()

    assert story() == "done"
    assert len(runs) == 3


def test_a_timeout_is_repeated_and_finds_the_same_response(world):
    world.control.set_latency("constant:1.5")
    patient = respond.with_options(retries=5, retry_delay_seconds=0, timeout_seconds=1)

    @flow
    def story():
        return patient(model="echo", input="Slow.").response_id

    assert story().startswith("resp_")
    assert world.posts() == 1
    assert not [e for e in world.control.journal() if e["path"].endswith("/cancel")]


# --- what people see ------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_task_runs_have_readable_names():
    @flow
    def story():
        respond(model="echo", input="x", key="summary")
        respond(model="echo", input="x", sample=1)
        create_response(model="echo", input="x")
        create_response(model="echo", input="x", key="k" * 200)
        return flow_run.id

    run_id = story()
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
        )
    names = {run.name for run in runs}
    assert {"respond-echo-summary", "respond-echo-sample-1", "create_response-echo"} <= names
    assert max(map(len, names)) <= 60
