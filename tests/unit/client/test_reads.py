"""Retrieve and cancel repeat what passes, once, and nothing else."""

from __future__ import annotations

import time

import pytest

from prefect_responses.errors import RequestInvalid
from prefect_responses.wire.answers import TransportFailure

BODY = b'{"id":"resp_1","object":"response","status":"completed"}'
VERBS = pytest.mark.parametrize("verb", ["retrieve", "cancel"])
PLACES = {
    "retrieve": ("GET", "/v1/responses/resp_1"),
    "cancel": ("POST", "/v1/responses/resp_1/cancel"),
}


@VERBS
async def test_one_exchange(server, api, verb):
    server.answers(200, BODY, x_request_id="req_1")
    answer = await getattr(api, verb)("resp_1")
    assert (answer.status, answer.body, answer.failure) == (200, BODY, None)
    assert answer.server_request_id == "req_1"
    assert [(request.method, request.path) for request in server.requests] == [PLACES[verb]]
    assert server.requests[0].body == b""


@VERBS
@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_passing_status_is_asked_twice(server, api, verb, status):
    server.answers(status, b"<html>")
    server.answers(200, BODY)
    began = time.monotonic()
    assert (await getattr(api, verb)("resp_1")).status == 200
    assert 0.4 < time.monotonic() - began < 2
    assert len(server.requests) == 2


@VERBS
async def test_a_broken_answer_is_asked_twice_and_then_told(server, api, verb):
    server.breaks_off(200, BODY)
    answer = await getattr(api, verb)("resp_1")
    assert (answer.status, answer.failure) == (200, TransportFailure.AFTER_SENDING)
    assert len(server.requests) == 2


async def test_a_status_that_stays_is_told_after_two_tries(server, api):
    server.answers(503, b"busy")
    assert (await api.retrieve("resp_1")).status == 503
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 429, 500, 501])
async def test_other_statuses_are_told_at_once(server, api, status):
    server.answers(status, b"{}")
    assert (await api.retrieve("resp_1")).status == status
    assert len(server.requests) == 1


async def test_a_longer_wait_is_not_the_clients_business(server, api):
    server.answers(503, b"{}", retry_after="30")
    assert (await api.retrieve("resp_1")).retry_after == 30
    assert len(server.requests) == 1


async def test_a_read_that_took_long_is_not_repeated(server, connect):
    api = connect(server.url, limits={"read": 0.3})
    server.sends(b"", then="stall")
    answer = await api.retrieve("resp_1")
    assert (answer.status, answer.failure) == (None, TransportFailure.AFTER_SENDING)
    assert len(server.requests) == 1


async def test_redirects_of_reads_are_not_followed_either(server, api):
    server.answers(307, b"", location=f"{server.url}/elsewhere")
    assert (await api.retrieve("resp_1")).status == 307
    assert len(server.requests) == 1


@VERBS
@pytest.mark.parametrize("response_id", ["", "..", "a/b", "a?b", "a b", "é", "a\n", "x" * 513])
async def test_what_is_no_id_enters_no_path(server, api, verb, response_id):
    with pytest.raises(RequestInvalid):
        await getattr(api, verb)(response_id)
    assert server.requests == []


async def test_an_id_is_one_quoted_segment(server, api):
    server.answers(200, BODY)
    await api.retrieve("litellm_poll:a+b==.-")
    assert server.requests[0].path == "/v1/responses/litellm_poll:a%2Bb==.-"


async def test_a_page_is_asked_for_newest_first(server, api):
    server.answers(200, b'{"object":"list","data":[]}')
    await api.list_responses(after=None)
    await api.list_responses(after="litellm_poll:a+b==.-", limit=20)
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/v1/responses?limit=100&order=desc"),
        ("GET", "/v1/responses?limit=20&order=desc&after=litellm_poll:a%2Bb==.-"),
    ]


async def test_a_page_is_asked_for_twice_like_other_reads(server, api):
    server.answers(502, b"<html>")
    server.answers(200, b"{}")
    assert (await api.list_responses(after=None)).status == 200
    assert len(server.requests) == 2


@pytest.mark.parametrize("after", ["", "a&limit=1", "a b", "x" * 513])
async def test_what_is_no_id_enters_no_query(server, api, after):
    with pytest.raises(RequestInvalid):
        await api.list_responses(after=after)
    assert server.requests == []
