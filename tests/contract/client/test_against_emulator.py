"""The client, its reading of answers and the emulator agree on what happened."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from prefect_responses.attempt import Endpoint
from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.decisions.answers import (
    read_cancel_answer,
    read_create_answer,
    read_retrieve_answer,
)
from prefect_responses.decisions.searching import (
    CannotList,
    FoundIt,
    NextPage,
    NotThere,
    read_page,
)
from prefect_responses.decisions.verdicts import (
    CancelRefused,
    CancelTaken,
    CreateAccepted,
    CreateAmbiguous,
    CreateParked,
    CreateRefused,
    CreateRefusedForNow,
    Gone,
    RetrieveParked,
    Seen,
    TryLater,
)
from prefect_responses.emulator.server import EmulatorThread
from prefect_responses.errors import AnswerUnreadable, CredentialsRefused
from prefect_responses.statuses import ResponseStatus
from prefect_responses.wire.requests import outgoing


@pytest.fixture(scope="module")
def running():
    with EmulatorThread(seed=1) as emulator:
        yield emulator


@pytest.fixture
def emulator(running):
    running.control.reset(seed=1)
    return running


@pytest.fixture(params=["httpx", "aiohttp"])
async def api(request, emulator):
    client = connect(emulator, request.param, "sk-contract-0123456789")
    yield client
    await client.aclose()


def connect(emulator, transport, key):
    return HttpResponsesApi(
        Endpoint(emulator.url),
        SecretStr(key),
        transport=transport,
        timeouts=Timeouts(connect=2.0, submit=1.0, read=2.0),
    )


async def create(api, **fields):
    request = outgoing({"model": "echo", "input": "Hello", **fields}, key="att_1")
    return read_create_answer(await api.create(request, client_request_id="try-1"))


async def test_the_life_of_a_response(api):
    made = await create(api)
    assert isinstance(made, CreateAccepted)
    assert made.response.store is True
    assert made.response.metadata == {"prefect_responses_key": "att_1"}
    assert made.server_request_id
    seen = read_retrieve_answer(await api.retrieve(made.response.id))
    assert isinstance(seen, Seen)
    assert seen.response.status is ResponseStatus.COMPLETED
    assert "Hello" in seen.response.output_text
    assert seen.response.usage["total_tokens"] > 0


async def test_an_acceptance_that_breaks_off_still_names_its_response(api, emulator):
    emulator.control.add_fault("unreadable", match={"method": "POST"}, body="truncated")
    made = await create(api)
    assert isinstance(made, CreateAccepted)
    assert [made.response.id] == [each["id"] for each in emulator.control.responses()]


async def test_a_read_that_breaks_once_is_repeated(api, emulator):
    made = await create(api)
    emulator.control.add_fault("drop_before", match={"method": "GET"}, times=1)
    assert isinstance(read_retrieve_answer(await api.retrieve(made.response.id)), Seen)


async def test_a_read_that_stays_broken_says_nothing(api, emulator):
    made = await create(api)
    emulator.control.add_fault("status", match={"method": "GET"}, times=None, status=502)
    read = read_retrieve_answer(await api.retrieve(made.response.id))
    assert isinstance(read, TryLater)
    assert isinstance(read.error, AnswerUnreadable)


async def test_a_cancel(api, emulator):
    emulator.control.set_latency("constant:60")
    made = await create(api)
    taken = read_cancel_answer(await api.cancel(made.response.id))
    assert isinstance(taken, CancelTaken)
    assert taken.response.status is ResponseStatus.CANCELLED


async def test_a_cancel_that_comes_too_late(api):
    made = await create(api)
    await api.retrieve(made.response.id)
    assert isinstance(read_cancel_answer(await api.cancel(made.response.id)), CancelRefused)


async def test_an_unknown_response(api):
    assert isinstance(read_retrieve_answer(await api.retrieve("resp_unknown")), Gone)
    assert isinstance(read_cancel_answer(await api.cancel("resp_unknown")), Gone)


async def test_a_list_is_gone_through_page_by_page(api, emulator):
    emulator.control.change_settings(list_responses=True)
    made = [(await create(api)).response.id for _ in range(3)]
    first = read_page(await api.list_responses(after=None, limit=2), "att_2", 0.0)
    second = read_page(await api.list_responses(after=made[1], limit=2), "att_2", 0.0)

    assert first == NextPage(made[1])
    assert second == NotThere()


async def test_a_response_is_found_in_a_list(api, emulator):
    emulator.control.change_settings(list_responses=True)
    made = await create(api)
    found = read_page(await api.list_responses(after=None), "att_1", 0.0)

    assert isinstance(found, FoundIt)
    assert found.response.id == made.response.id


async def test_a_list_that_breaks_once_is_read_again(api, emulator):
    emulator.control.change_settings(list_responses=True)
    emulator.control.add_fault("drop_before", match={"method": "GET"}, times=1)
    assert read_page(await api.list_responses(after=None), "att_1", 0.0) == NotThere()


async def test_a_server_without_a_list_says_so(api):
    refused = read_page(await api.list_responses(after=None), "att_1", 0.0)
    assert isinstance(refused, CannotList)
    assert (refused.error.status, refused.error.retryable) == (405, False)


async def test_a_list_after_a_response_that_is_gone_cannot_be_read(api, emulator):
    emulator.control.change_settings(list_responses=True)
    refused = read_page(await api.list_responses(after="resp_gone"), "att_1", 0.0)
    assert isinstance(refused, CannotList)


async def test_a_refused_request(api, emulator):
    assert isinstance(await create(api, temperature=9), CreateRefused)
    assert emulator.control.responses() == []


async def test_refused_credentials(api, emulator):
    emulator.control.change_settings(rejected_keys=["sk-contract-0123456789"])
    made = await create(api)
    assert isinstance(made, CreateParked)
    assert isinstance(made.error, CredentialsRefused)
    assert isinstance(read_retrieve_answer(await api.retrieve("resp_1")), RetrieveParked)


FAULTS = [
    ({"kind": "drop_before"}, CreateAmbiguous),
    ({"kind": "drop_before", "ending": "eof"}, CreateAmbiguous),
    ({"kind": "accept_then_drop"}, CreateAmbiguous),
    ({"kind": "accept_then_drop", "ending": "eof"}, CreateAmbiguous),
    ({"kind": "accept_then_stall", "seconds": 3}, CreateAmbiguous),
    ({"kind": "accept_then_status", "status": 500}, CreateAmbiguous),
    ({"kind": "accept_then_status", "status": 408}, CreateAmbiguous),
    ({"kind": "accept_then_status", "status": 502, "body": "html"}, CreateAmbiguous),
    ({"kind": "accept_then_status", "status": 503, "body": "plain"}, CreateAmbiguous),
    ({"kind": "accept_then_status", "status": 504, "body": "bare"}, CreateAmbiguous),
    ({"kind": "unreadable", "body": "array"}, CreateAmbiguous),
    ({"kind": "unreadable", "body": "empty"}, CreateAmbiguous),
    ({"kind": "unreadable", "body": "text"}, CreateAmbiguous),
    ({"kind": "redirect", "location": "/v1/elsewhere"}, CreateAmbiguous),
    ({"kind": "status", "status": 500}, CreateAmbiguous),
    ({"kind": "status", "status": 503}, CreateRefusedForNow),
    ({"kind": "status", "status": 503, "code": "slow_down"}, CreateRefusedForNow),
    ({"kind": "status", "status": 429, "code": "rate_limit_exceeded"}, CreateRefusedForNow),
    ({"kind": "status", "status": 429, "body": "html"}, CreateRefusedForNow),
    ({"kind": "status", "status": 400, "code": "conversation_locked"}, CreateRefusedForNow),
    ({"kind": "status", "status": 429, "code": "resource_unavailable"}, CreateRefusedForNow),
    ({"kind": "status", "status": 429, "code": "insufficient_quota"}, CreateParked),
    ({"kind": "status", "status": 404, "code": "model_not_found"}, CreateParked),
    ({"kind": "status", "status": 400, "body": "detail"}, CreateRefused),
]


@pytest.mark.parametrize(("fault", "verdict"), FAULTS, ids=lambda value: str(value)[:80])
async def test_a_verdict_on_a_create_is_true_and_the_post_was_made_once(
    api, emulator, fault, verdict
):
    emulator.control.add_fault(**fault, match={"method": "POST"}, times=None)
    made = await create(api)
    assert type(made) is verdict
    if not isinstance(made, CreateAmbiguous):
        accepted = emulator.control.responses()
        assert len(accepted) == isinstance(made, CreateAccepted)
    posts = emulator.control.journal(method="POST", path_prefix="/v1/responses")
    assert len(posts) == 1
