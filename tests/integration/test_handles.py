"""The handle of a response: it outlives its process, and both faces of it do the same."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pickle
import subprocess
import sys

import pytest

from prefect_responses import (
    AwaitBackgroundResponse,
    CreateResponse,
    ResponseResult,
    ResponseRun,
    aawait_background_response,
    acancel_on_timeout,
    acreate_response,
    aenrich,
    akept_text,
    arespond,
    await_background_response,
    cancel_on_timeout,
    create_response,
    enrich,
    kept_text,
    respond,
)
from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.errors import KeyRequired, RequestInvalid, ResponseExpired, ResponseFailed
from prefect_responses.tasks.follow import Follower
from prefect_responses.tasks.limits import Limit

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

WHERE = {"scope": "handles", "key": "k"}


def job(world, **fields):
    return CreateResponse(model="echo", prompt="Say hi.", **WHERE, **world.blocks, **fields)


# --- both faces -----------------------------------------------------------------------------------

PAIRS = {
    "CreateResponse.trigger": (CreateResponse.trigger, CreateResponse.atrigger),
    "ResponseRun.attach": (ResponseRun.attach, ResponseRun.aattach),
    "ResponseRun.wait_for_completion": (
        ResponseRun.wait_for_completion,
        ResponseRun.await_for_completion,
    ),
    "ResponseRun.cancel": (ResponseRun.cancel, ResponseRun.acancel),
    "Follower.result": (Follower.result, Follower.aresult),
    "Limit.outcomes": (Limit.outcomes, Limit.aoutcomes),
    "cancel_on_timeout": (cancel_on_timeout.fn, acancel_on_timeout.fn),
    "kept_text": (kept_text, akept_text),
    "ResponseRun.fetch_result": (ResponseRun.fetch_result, ResponseRun.afetch_result),
    "ResponseResult.reject": (ResponseResult.reject, ResponseResult.areject),
    "AwaitBackgroundResponse.run": (AwaitBackgroundResponse.run, AwaitBackgroundResponse.arun),
    "create_response": (create_response.fn, acreate_response.fn),
    "await_background_response": (await_background_response.fn, aawait_background_response.fn),
    "respond": (respond.fn, arespond.fn),
}


@pytest.mark.parametrize(("sync", "twin"), list(PAIRS.values()), ids=list(PAIRS))
def test_a_pair_takes_and_gives_the_same(sync, twin):
    assert inspect.iscoroutinefunction(twin)
    assert not inspect.iscoroutinefunction(sync)
    assert inspect.signature(sync) == inspect.signature(twin)


def test_no_pair_is_forgotten():
    twins = {twin.__qualname__.rpartition(".")[2] for _, twin in PAIRS.values()}
    kinds = (
        *(CreateResponse, ResponseRun, ResponseResult, AwaitBackgroundResponse),
        *(Follower, Limit),
    )
    found = {
        name
        for kind in kinds
        for name, method in vars(kind).items()
        if name.startswith("a") and inspect.iscoroutinefunction(getattr(method, "__func__", method))
    }
    assert found <= twins
    assert inspect.iscoroutinefunction(aenrich)
    assert not inspect.iscoroutinefunction(enrich)


def sync_story(world):
    handle = job(world).trigger()
    handle.wait_for_completion()
    result = handle.fetch_result()
    attached = ResponseRun.attach(handle.response_id, **world.blocks)
    waited = AwaitBackgroundResponse(**world.blocks).run(attached)
    result.reject("too short")
    again = job(world).trigger()
    task = create_response.fn(model="echo", input="By a task.", scope="s", key="t", **world.blocks)
    awaited = await_background_response.fn(task)
    answer = respond.fn(model="echo", input="At once.", scope="s", key="r", **world.blocks)
    return handle, result, attached, waited, again, awaited, answer


async def async_story(world):
    handle = await job(world).atrigger()
    await handle.await_for_completion()
    result = await handle.afetch_result()
    attached = await ResponseRun.aattach(handle.response_id, **world.blocks)
    waited = await AwaitBackgroundResponse(**world.blocks).arun(attached)
    await result.areject("too short")
    again = await job(world).atrigger()
    task = await acreate_response.fn(
        model="echo", input="By a task.", scope="s", key="t", **world.blocks
    )
    awaited = await aawait_background_response.fn(task)
    answer = await arespond.fn(model="echo", input="At once.", scope="s", key="r", **world.blocks)
    return handle, result, attached, waited, again, awaited, answer


@pytest.mark.parametrize("face", ["sync", "async", "sync in a loop"])
def test_both_faces_tell_the_same_story(world, face):
    if face == "sync":
        told = sync_story(world)
    elif face == "async":
        told = asyncio.run(async_story(world))
    else:

        async def blocking():
            return sync_story(world)

        told = asyncio.run(blocking())
    handle, result, attached, waited, again, awaited, answer = told

    assert result.status == "completed"
    assert "Say hi." in result.output_text
    assert (result.attempt_id, result.response_id) == (handle.attempt_id, handle.response_id)
    assert attached.attempt_id == handle.attempt_id
    assert waited.output_text == result.output_text
    assert result.usage["output_tokens"] > 0
    assert again.attempt_id != handle.attempt_id
    assert "By a task." in awaited.output_text
    assert "At once." in answer.output_text
    assert world.posts() == 4


# --- what a handle holds --------------------------------------------------------------------------


def test_a_handle_makes_a_round_trip_through_json_and_pickle(world):
    handle = job(world).trigger()
    by_json = ResponseRun.model_validate_json(handle.model_dump_json())
    by_pickle = pickle.loads(pickle.dumps(handle))  # noqa: S301 - our own

    assert by_json.model_dump() == by_pickle.model_dump() == handle.model_dump()
    assert world.api_key.encode() not in pickle.dumps(handle)
    # Unsaved blocks are not part of it: the environment's account and ledger are used.
    assert by_json.fetch_result().response_id == handle.response_id
    assert by_pickle.fetch_result().response_id == handle.response_id
    assert world.posts() == 1


def test_a_result_makes_a_round_trip_too(world):
    result = job(world).trigger().fetch_result()
    by_json = ResponseResult.model_validate_json(result.model_dump_json())
    by_pickle = pickle.loads(pickle.dumps(result))  # noqa: S301 - our own

    assert by_json.model_dump() == by_pickle.model_dump() == result.model_dump()
    assert world.api_key.encode() not in pickle.dumps(result)
    assert "instructions" not in repr(result)


def test_a_fresh_process_takes_a_response_over_by_its_id(world, prefect_server):
    world.control.set_latency("constant:1")
    handle = job(world).trigger()
    code = (
        "import json, sys; from prefect_responses import ResponseRun;"
        "run = ResponseRun.attach(sys.argv[1]); result = run.fetch_result();"
        "print(json.dumps([run.attempt_id, result.response_id, result.status]))"
    )
    told = subprocess.check_output(
        [sys.executable, "-c", code, handle.response_id],
        env={**os.environ, "PREFECT_API_URL": prefect_server},
        timeout=90,
        text=True,
    )
    assert json.loads(told) == [handle.attempt_id, handle.response_id, "completed"]
    assert world.posts() == 1


# --- how it can go --------------------------------------------------------------------------------


def test_triggering_twice_is_one_response(world):
    first, second = job(world).trigger(), job(world).trigger()
    assert first == second
    assert world.posts() == 1


def test_changes_go_into_the_request(world):
    result = job(world, options={"temperature": 0.5}).trigger(input="Other.").fetch_result()
    assert "Other." in result.output_text
    (post,) = world.control.journal(method="POST")
    assert post["body"]["temperature"] == 0.5


def test_a_stored_prompt_goes_without_an_input(world):
    stored = {"prompt": {"id": "pmpt_1"}}
    CreateResponse(model="echo", options=stored, **WHERE, **world.blocks).trigger()
    (post,) = world.control.journal(method="POST")
    assert "input" not in post["body"]


@pytest.mark.parametrize("given", [{}, {"scope": "s"}, {"key": "k"}])
def test_outside_a_flow_a_job_needs_a_scope_and_a_key(world, given):
    block = CreateResponse(model="echo", prompt="x", **given, **world.blocks)
    with pytest.raises(KeyRequired, match="scope= and key="):
        block.trigger()
    assert world.requests() == 0


def test_a_failed_response_is_an_error_when_it_is_fetched(world):
    world.control.add_fault("fail", code="server_error", message="Overheated.")
    handle = job(world).trigger()
    with pytest.raises(ResponseFailed, match="Overheated") as raised:
        handle.fetch_result()
    assert raised.value.response_id == handle.response_id


def test_waiting_for_completion_does_not_raise_when_it_failed(world):
    world.control.add_fault("fail")
    handle = job(world).trigger()
    handle.wait_for_completion()
    with pytest.raises(ResponseFailed):
        handle.fetch_result()


def test_an_id_that_nobody_knows(world):
    with pytest.raises(ResponseExpired, match="resp_none"):
        ResponseRun.attach("resp_none", **world.blocks).fetch_result(PollPolicy(missing_grace=0))


@pytest.mark.parametrize("typed", ["", "..", "resp/../x", "resp 1", "https://x/resp_1"])
def test_an_id_that_is_none_is_refused(world, typed):
    with pytest.raises(RequestInvalid, match="no response ID"):
        ResponseRun.attach(typed, **world.blocks).fetch_result()
    assert world.requests() == 0
