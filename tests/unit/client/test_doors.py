"""Which way requests leave, and what aiohttp itself must not do on it."""

from __future__ import annotations

import pytest

from prefect_responses.client.carriers import HttpxCarrier
from prefect_responses.client.doors import Doors
from prefect_responses.client.on_aiohttp import AiohttpCarrier

BODY = b'{"id":"resp_1","object":"response","status":"queued"}'


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for scheme in ("http", "https", "all"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)


def door(transport, root="https://api.example/v1/responses"):
    return Doors(transport, root, {}, 10.0, verify=True).plain(4)


async def test_aiohttp_carries_by_itself_and_httpx_by_itself():
    assert isinstance(door("aiohttp"), AiohttpCarrier)
    assert isinstance(door("httpx"), HttpxCarrier)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"])
async def test_where_there_is_a_proxy_httpx_decides_who_goes_through_it(monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert isinstance(door("aiohttp"), HttpxCarrier)
    assert isinstance(door("aiohttp", "http://127.0.0.1:8000/v1/responses"), AiohttpCarrier)


async def test_a_proxy_is_used_on_either_transport(start_server, connect, monkeypatch):
    proxy = start_server()
    proxy.answers(200, BODY)
    monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
    api = connect("http://api.example/v1", allow_insecure=True)

    assert (await api.retrieve("resp_1")).status == 200
    assert proxy.requests[0].path == "http://api.example/v1/responses/resp_1"


async def test_a_create_on_a_connection_that_was_closed_meanwhile_is_not_repeated(server, api):
    server.sends(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    server.sends(b"", then="close")
    assert (await api.retrieve("resp_1")).status == 200
    answer = await api.create({"model": "m"}, client_request_id="try-1")

    assert answer.status is None
    assert server.posts == 1


@pytest.mark.parametrize("way", ["create", "proxied", "stream"])
async def test_long_and_many_headers_of_an_answer_are_taken(server, connect, monkeypatch, way):
    many = {f"x_{number}": "a" for number in range(300)}
    server.answers(200, BODY, content_security_policy="a" * 40_000, **many)
    if way == "proxied":
        monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    url = "http://api.example/v1" if way == "proxied" else server.url
    api = connect(url, allow_insecure=True)
    if way == "stream":
        async with api.create_stream({"model": "m"}, client_request_id="try-1") as stream:
            answer = stream.answer
    else:
        answer = await api.create({"model": "m"}, client_request_id="try-1")

    assert (answer.status, answer.body, answer.note) == (200, BODY, "")
    assert server.posts == 1


async def test_headers_that_are_no_text_can_be_stored(server, api):
    server.sends(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: r\xe9q\r\n"
        b"X-RateLimit-Remaining-Requests: 5\r\nx-twice: a\r\nx-twice: b\r\n\r\n{}"
    )
    answer = await api.retrieve("resp_1")

    assert answer.server_request_id == "réq"
    assert answer.server_request_id.encode()
    assert answer.rate_limits == {"remaining-requests": "5"}


@pytest.mark.parametrize("transport", ["aiohttp"])
async def test_cookies_that_a_server_sets_are_not_kept(server, api):
    server.answers(200, BODY, set_cookie="who=me; Path=/")
    for _ in range(2):
        await api.retrieve("resp_1")
    assert all("cookie" not in request.headers for request in server.requests)
