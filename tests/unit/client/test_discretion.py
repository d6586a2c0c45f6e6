"""What the client says to others: no log line of a request of ours, and never the key."""

from __future__ import annotations

import logging

import httpx
import orjson
import pytest

from prefect_responses.client import quiet
from prefect_responses.client.receiving import line_of, note_of
from prefect_responses.client.secrets import Redactor
from prefect_responses.decisions.answers import read_create_answer
from prefect_responses.errors import EndpointInvalid, RequestInvalid
from prefect_responses.wire.envelopes import LONGEST_MESSAGE

BODY = b'{"id":"resp_1","object":"response","status":"queued"}'


async def test_nothing_is_logged_between_the_post_and_its_return(server, api, caplog):
    server.answers(200, BODY)
    with caplog.at_level(logging.DEBUG):
        await api.create({"model": "m"}, client_request_id="try-1")
        await api.retrieve("resp_1")
    assert [record for record in caplog.records if record.name in quiet.LOGGERS] == []
    assert [record.getMessage() for record in caplog.records if "HTTP" in record.message] == []


async def test_the_log_of_other_users_of_httpx_stays(server, api, caplog):
    server.answers(200, BODY)
    await api.retrieve("resp_1")
    with caplog.at_level(logging.INFO, "httpx"):
        async with httpx.AsyncClient() as other:
            await other.get(f"{server.url}/other")
    assert [record.name for record in caplog.records] == ["httpx"]


def test_installing_twice_filters_once():
    quiet.install()
    before = list(logging.getLogger("httpx").filters)
    quiet.install()
    assert logging.getLogger("httpx").filters == before


async def test_the_key_is_in_no_repr(api, key):
    assert key not in repr(api)
    assert repr(api).startswith("HttpResponsesApi('http://127.0.0.1:")
    assert key not in repr(api._redactor)


async def test_an_answer_that_repeats_the_key_is_redacted(server, api, key):
    server.answers(401, b'{"error":{"message":"Bad key %s."}}' % key.encode())
    answer = await api.create({}, client_request_id="try-1")
    assert key.encode() not in answer.body
    verdict = read_create_answer(answer)
    assert "Bad key [redacted]." in str(verdict.error)
    assert key not in repr(verdict)


@pytest.mark.parametrize("transport", ["aiohttp"])
@pytest.mark.parametrize("ahead", range(300, 500, 9))
async def test_a_note_is_redacted_before_it_is_shortened(server, api, key, ahead):
    server.sends(b"HTTP/1.1 200 OK\r\nx%s %s: a\r\n\r\n" % (b"y" * ahead, key.encode()))
    answer = await api.create({}, client_request_id="try-1")
    assert answer.note
    assert key[:6] not in repr(answer)


def test_a_secret_that_is_cut_or_parted_is_in_no_note(key):
    redactor = Redactor(key, {})
    for ahead in range(LONGEST_MESSAGE - len(key), LONGEST_MESSAGE + 1):
        told = line_of(note_of(OSError("-" * ahead + key + "-" * 9)), redactor)
        assert len(told) <= LONGEST_MESSAGE
        assert key[:4] not in told
    assert line_of(f"a {key[:9]}\x00{key[9:]} b", redactor) == "a [redacted] b"


@pytest.mark.parametrize("escape", [r"\u002d", r"\u002D"])
async def test_a_key_that_is_escaped_in_json_is_redacted(server, api, key, escape):
    escaped = key.replace("-", escape).encode()
    server.answers(401, rb'{"error":{"message":"Bad\nkey %s."}, "at": "\\%s"}' % (escaped, escaped))
    answer = await api.create({}, client_request_id="try-1")
    assert orjson.loads(answer.body) == {
        "error": {"message": "Bad\nkey [redacted]."},
        "at": "\\[redacted]",
    }


def test_what_only_looks_like_an_escaped_key_stays_json():
    body = orjson.dumps({"text": r"\u0073k-0123456789", "path": "a\\/b"})
    assert Redactor("sk-0123456789", {}).body(body) == body


@pytest.mark.parametrize("written", [r"aa\/bb\\\"cc\/dd", r"aa/bb\u005c\u0022cc/dd"])
def test_a_key_of_odd_letters_is_found_however_it_is_written(written):
    letters = 'aa/bb\\"cc/dd'
    assert orjson.loads(f'"{written}"') == letters
    assert Redactor(letters, {}).body(f'"{written}"'.encode()) == b'"[redacted]"'


def test_stars_leave_all_offsets(key):
    text = f"a {key} b {key[:-1]}"
    starred = Redactor(key, {"authorization": f"Bearer {key}"}).stars(text)
    assert starred == f"a {'*' * len(key)} b {key[:-1]}"


async def test_a_secret_header_is_redacted_too(server, connect):
    server.answers(401, b"Bad key azure-0123456789")
    api = connect(server.url, default_headers={"api-key": "azure-0123456789", "x-team": "Bad keys"})
    answer = await api.create({}, client_request_id="try-1")
    assert answer.body == b"Bad key [redacted]"


async def test_a_dummy_key_garbles_no_answer(server, connect):
    server.answers(200, b'{"id":"resp_1","status":"queued","note":"EMPTY"}')
    answer = await connect(server.url, api_key="EMPTY").create({}, client_request_id="try-1")
    assert b'"EMPTY"' in answer.body


async def test_a_key_with_a_line_break_at_its_end_is_repaired(server, connect, key):
    server.answers(200, BODY)
    await connect(server.url, api_key=f"{key}\n").retrieve("resp_1")
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"


@pytest.mark.parametrize("bad", ["sk-one\nsk-two-secret", "sk-sécret-secret"])
def test_a_key_that_cannot_be_sent_is_refused_unquoted(connect, bad):
    with pytest.raises(RequestInvalid, match="authorization") as caught:
        connect("https://api.example/v1", api_key=bad)
    assert bad[:5] not in str(caught.value)


def test_the_base_url_is_checked_again(connect):
    with pytest.raises(EndpointInvalid):
        connect("http://api.example/v1")
    assert connect("http://api.example/v1", allow_insecure=True)


@pytest.mark.parametrize("scheme", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_never_sees_what_goes_to_this_machine(server, connect, monkeypatch, scheme):
    monkeypatch.setenv(scheme, "http://127.0.0.1:9")
    server.answers(200, BODY)
    assert (await connect(server.url).retrieve("resp_1")).status == 200


async def test_closing_again_does_nothing(server, api):
    server.answers(200, BODY)
    await api.retrieve("resp_1")
    await api.aclose()
    await api.aclose()
