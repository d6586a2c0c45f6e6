"""Whatever the network does to a create, it is sent once and ends as an answer."""

from __future__ import annotations

import asyncio
import gzip
import random
import time

import orjson
import pytest

from prefect_responses.client.carriers import PIECE
from prefect_responses.errors import RequestInvalid
from prefect_responses.wire.answers import TransportFailure

BODY = orjson.dumps({"id": "resp_1", "object": "response", "status": "queued"})
HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"
REQUEST = {"model": "m", "input": "Hello, wörld"}


async def post(api, **options):
    return await api.create(REQUEST, client_request_id="try-1", **options)


async def test_a_whole_answer(server, api):
    server.answers(200, BODY, x_request_id="req_1", x_ratelimit_remaining_requests="59")
    answer = await post(api)
    assert (answer.status, answer.body, answer.failure, answer.note) == (200, BODY, None, "")
    assert answer.server_request_id == "req_1"
    assert answer.client_request_id == "try-1"
    assert answer.content_type == "application/json"
    assert answer.rate_limits == {"remaining-requests": "59"}


async def test_what_is_sent(server, connect, key):
    server.answers(200, BODY)
    api = connect(
        server.url, organization="org", project="proj", default_headers={"X-Extra": "yes"}
    )
    await post(api, idempotency_key="same")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert orjson.loads(request.body) == REQUEST
    expected = {
        "authorization": f"Bearer {key}",
        "openai-organization": "org",
        "openai-project": "proj",
        "x-client-request-id": "try-1",
        "idempotency-key": "same",
        "content-type": "application/json",
        "x-extra": "yes",
    }
    assert expected.items() <= request.headers.items()


async def test_a_server_without_keys_gets_no_authorization(server, connect):
    server.answers(200, BODY)
    await post(connect(server.url, api_key=""))
    assert "authorization" not in server.requests[0].headers
    assert "idempotency-key" not in server.requests[0].headers


async def test_a_default_header_wins(server, connect):
    server.answers(200, BODY)
    await post(connect(server.url, default_headers={"Authorization": "Other scheme"}))
    assert server.requests[0].headers["authorization"] == "Other scheme"


async def test_a_large_request_is_sent_whole_and_without_a_warning(server, api):
    server.answers(200, BODY)
    await api.create({"input": "x" * (3 * PIECE)}, client_request_id="try-1")
    (request,) = server.requests
    assert len(orjson.loads(request.body)["input"]) == 3 * PIECE
    assert "transfer-encoding" not in request.headers


async def test_a_compressed_answer_is_read(server, api):
    server.answers(200, gzip.compress(BODY), content_encoding="gzip")
    assert (await post(api)).body == BODY


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 2", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"],
    ids=["nothing", "half a head", "nonsense", "bad length"],
)
async def test_a_connection_closed_instead_of_an_answer_leaves_a_doubt(server, api, data):
    server.sends(data, then="close")
    answer = await post(api)
    assert (answer.status, answer.failure) == (None, TransportFailure.AFTER_SENDING)
    assert answer.note
    assert answer.client_request_id == "try-1"
    assert server.posts == 1


async def test_a_reset_leaves_a_doubt(server, api):
    server.sends(b"", then="reset")
    answer = await post(api)
    assert (answer.status, answer.failure) == (None, TransportFailure.AFTER_SENDING)
    assert server.posts == 1


async def test_a_reset_on_a_connection_that_worked_before_leaves_a_doubt(server, api):
    server.answers(200, BODY)
    server.sends(b"", then="reset")
    assert (await post(api)).status == 200
    answer = await post(api)
    assert (answer.status, answer.failure) == (None, TransportFailure.AFTER_SENDING)
    assert server.posts == 2


@pytest.mark.parametrize("then", ["close", "reset", "stall"])
async def test_a_body_that_breaks_off_keeps_what_arrived(server, connect, then):
    api = connect(server.url, limits={"submit": 0.5})
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\nx-request-id: req_1\r\n\r\n"
    server.sends(head + BODY[:40], then=then)
    answer = await post(api)
    assert (answer.status, answer.failure) == (200, TransportFailure.AFTER_SENDING)
    assert answer.body == BODY[:40]
    assert answer.server_request_id == "req_1"
    assert server.posts == 1


async def test_a_broken_refusal_keeps_its_status(server, api):
    server.breaks_off(429, b'{"error":', missing=100)
    answer = await post(api)
    assert (answer.status, answer.failure) == (429, TransportFailure.AFTER_SENDING)


async def test_garbled_compression_is_a_broken_body(server, api):
    server.answers(200, b"no gzip", content_encoding="gzip")
    answer = await post(api)
    assert (answer.status, answer.failure) == (200, TransportFailure.AFTER_SENDING)
    assert server.posts == 1


async def test_a_stall_ends_with_the_submit_timeout(server, connect):
    api = connect(server.url, limits={"submit": 0.3})
    server.sends(b"", then="stall")
    began = time.monotonic()
    answer = await post(api)
    assert 0.25 < time.monotonic() - began < 1.5
    assert (answer.status, answer.failure) == (None, TransportFailure.AFTER_SENDING)
    assert "Timeout" in answer.note
    assert server.posts == 1


async def test_the_submit_timeout_counts_the_whole_post(server, connect):
    api = connect(server.url, limits={"submit": 0.4})
    server.sends(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n" + b" " * 9000, pause=0.05)
    answer = await post(api)
    assert (answer.status, answer.failure) == (200, TransportFailure.AFTER_SENDING)


async def test_a_slow_answer_is_an_answer(server, api):
    server.sends(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY, pause=0.02)
    answer = await post(api)
    assert (answer.status, answer.body, answer.failure) == (200, BODY, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(server, api, status):
    server.answers(status, b"", location=f"{server.url}/elsewhere")
    assert (await post(api)).status == status
    assert server.posts == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_no_status_makes_the_client_post_again(server, api, status):
    server.answers(status, HTML, content_type="text/html", x_should_retry="true")
    answer = await post(api)
    assert (answer.status, answer.body, answer.content_type) == (status, HTML, "text/html")
    assert answer.should_retry is True
    assert server.posts == 1


async def test_a_huge_wait_is_kept(server, api):
    server.answers(429, b"{}", retry_after="86400")
    assert (await post(api)).retry_after == 86_400


async def test_an_endless_body_is_not_read_to_its_end(server, connect):
    api = connect(server.url, largest_body=1000)
    server.answers(200, BODY + b" " * 50_000)
    answer = await post(api)
    assert (answer.status, answer.failure) == (200, TransportFailure.AFTER_SENDING)
    assert answer.body.startswith(BODY)
    assert "longer than 1000 bytes" in answer.note
    assert server.posts == 1


async def test_junk_never_raises(server, connect):
    api = connect(server.url, limits={"submit": 1.0})
    choice = random.Random(7)  # noqa: S311 - the same junk each time
    whole = (
        b"HTTP/1.1 200 OK\r\ncontent-type: a\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n"
    )
    for _ in range(40):
        junk = bytearray(whole)
        for _ in range(choice.randrange(1, 6)):
            junk[choice.randrange(len(junk))] = choice.randrange(256)
        server.script.clear()
        server.sends(bytes(junk), then="close")
        assert (await post(api)).client_request_id == "try-1"
    assert server.posts <= 40  # a connection may close just before it is used again


async def test_cancelling_the_caller_is_not_swallowed(server, api):
    server.sends(b"", then="stall")
    task = asyncio.create_task(post(api))
    while not server.requests:  # noqa: ASYNC110 - the server lives in another thread
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outer_timeout_is_not_taken_for_ours(server, api):
    server.sends(b"", then="stall")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await post(api)


async def test_the_rest_waits_for_its_turn_and_its_time_does_not_count(server, connect):
    api = connect(server.url, max_connections=1, limits={"submit": 0.6})
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    server.sends(head + BODY, pause=0.04)
    answers = await asyncio.gather(*(post(api) for _ in range(4)))
    assert [answer.failure for answer in answers] == [None] * 4
    assert server.posts == 4


@pytest.mark.parametrize("request_id", ["a\r\nb", "é", "x" * 513])
async def test_a_request_id_that_no_header_takes_is_refused(server, api, request_id):
    with pytest.raises(RequestInvalid):
        await api.create(REQUEST, client_request_id=request_id)
    with pytest.raises(RequestInvalid):
        await api.create(REQUEST, client_request_id="a", idempotency_key="b\n" + request_id)
    assert server.posts == 0


async def test_what_json_cannot_say_is_refused(server, api):
    with pytest.raises(RequestInvalid, match="JSON"):
        await api.create({"input": {1, 2}}, client_request_id="try-1")
    assert server.posts == 0
