"""Every fault as a client sees it on the wire."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

if TYPE_CHECKING:
    from prefect_responses.emulator.remote_control import RemoteControl
    from prefect_responses.emulator.server import EmulatorThread

BODY = {"model": "echo", "input": "Hi.", "background": True, "store": True}


def create(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.post("/responses", json=BODY | changes)


def raw_create(url: str) -> bytes:
    """Send a create and read what comes back; raises what the kernel says."""
    where = urlsplit(url)
    body = json.dumps(BODY).encode()
    head = (
        f"POST {where.path}/responses HTTP/1.1\r\nhost: {where.netloc}\r\n"
        f"authorization: Bearer k\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    assert where.hostname
    with socket.create_connection((where.hostname, where.port or 80), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        return connection.recv(65536)


@pytest.mark.parametrize(("kind", "accepted"), [("drop_before", 0), ("accept_then_drop", 1)])
def test_a_dropped_connection_is_reset_without_a_byte(
    emulator: EmulatorThread, control: RemoteControl, kind: str, accepted: int
) -> None:
    control.add_fault(kind)
    with pytest.raises(ConnectionResetError):
        raw_create(emulator.url)

    assert control.state()["accepted"] == accepted
    entry = control.journal()[0]
    assert (entry["accepted"], entry["status"], entry["fault"]) == (bool(accepted), None, kind)


@pytest.mark.parametrize("kind", ["drop_before", "accept_then_drop"])
def test_a_dropped_connection_can_end_in_order(
    emulator: EmulatorThread, control: RemoteControl, kind: str
) -> None:
    control.add_fault(kind, ending="eof")

    assert raw_create(emulator.url) == b""


def test_what_was_accepted_and_dropped_goes_on(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("accept_then_drop")
    with pytest.raises(httpx.TransportError):
        create(http)
    response_id = control.responses()[0]["id"]

    assert http.get(f"/responses/{response_id}").json()["status"] == "completed"


def test_a_stalled_answer_was_accepted_long_before(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.add_fault("accept_then_stall", seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/responses", json=BODY, timeout=0.2)

    assert control.state()["accepted"] == 1


def test_a_delay_comes_first(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("delay", seconds=0.2)
    began = time.monotonic()

    assert create(http).status_code == 200
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "words"),
    [
        ({"status": 500, "body": "bare"}, 500, None, ""),
        ({"status": 502, "body": "html"}, 502, "text/html; charset=utf-8", "<h1>502"),
        ({"status": 503, "body": "plain"}, 503, "text/plain; charset=utf-8", "server had an error"),
        ({"status": 422, "body": "detail"}, 422, "application/json", '{"detail":'),
        ({"status": 500}, 500, "application/json", '"type":"server_error"'),
        ({"code": "slow_down"}, 503, "application/json", '"code":"slow_down"'),
        ({"code": "insufficient_quota"}, 429, "application/json", "current quota"),
        ({"code": "conversation_locked", "status": 409}, 409, "application/json", "Another proc"),
        ({"code": 400, "status": 400, "message": "No."}, 400, "application/json", '"code":400'),
    ],
)
@pytest.mark.parametrize(("kind", "accepted"), [("status", 0), ("accept_then_status", 1)])
def test_an_error_answer(  # noqa: PLR0913, PLR0917 - a table of cases
    http: httpx.Client,
    control: RemoteControl,
    kind: str,
    accepted: int,
    fault: dict[str, Any],
    status: int,
    content_type: str | None,
    words: str,
) -> None:
    control.add_fault(kind, **fault)
    answer = create(http)

    assert (answer.status_code, answer.headers.get("content-type")) == (status, content_type)
    assert words in answer.text
    assert control.state()["accepted"] == accepted


def test_an_error_says_how_long_to_wait(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault(
        "status",
        times=2,
        code="rate_limit_exceeded",
        retry_after=3,
        retry_after_ms=2500.5,
        should_retry=False,
        headers={"x-ratelimit-note": "5m0s"},
    )
    answers = [create(http) for _ in range(3)]
    headers = answers[1].headers

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert headers["retry-after"] == "3"
    assert headers["retry-after-ms"] == "2500.5"
    assert headers["x-should-retry"] == "false"
    assert headers["x-ratelimit-note"] == "5m0s"
    assert "retry-after" not in answers[2].headers


@pytest.mark.parametrize("body", ["truncated", "array", "empty", "text"])
def test_an_unreadable_answer_to_an_accepted_create(
    http: httpx.Client, control: RemoteControl, body: str
) -> None:
    control.add_fault("unreadable", body=body)
    answer = create(http)

    assert answer.status_code == 200
    assert control.state()["accepted"] == 1
    if body == "array":
        assert answer.json() == []
    else:
        with pytest.raises(json.JSONDecodeError):
            answer.json()


def test_a_redirect(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("redirect", status=302, location="https://example.com/v1/responses")
    answer = create(http)

    assert answer.status_code == 302
    assert answer.headers["location"] == "https://example.com/v1/responses"
    assert control.state()["accepted"] == 0


def test_a_known_response_can_be_gone(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("gone", match={"method": "GET"})
    response_id = create(http).json()["id"]
    gone = http.get(f"/responses/{response_id}")

    assert gone.status_code == 404
    assert gone.json()["error"]["message"] == f"Response with id '{response_id}' not found."
    assert http.get(f"/responses/{response_id}").status_code == 200


@pytest.mark.parametrize(
    ("kind", "details", "seen"),
    [
        ("fail", {"code": "rate_limit_exceeded"}, ("failed", "rate_limit_exceeded")),
        ("fail", {"code": "insufficient_quota", "message": "No money."}, ("failed", "No money.")),
        ("incomplete", {"reason": "content_filter"}, ("incomplete", "content_filter")),
        ("refusal", {"message": "I won't."}, ("completed", "I won't.")),
    ],
)
def test_an_ending(
    http: httpx.Client,
    control: RemoteControl,
    kind: str,
    details: dict[str, Any],
    seen: tuple[str, str],
) -> None:
    control.add_fault(kind, **details)
    response_id = create(http).json()["id"]
    read = http.get(f"/responses/{response_id}")

    assert read.json()["status"] == seen[0]
    assert seen[1] in read.text


def test_a_vendor_that_ignores_background(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("vendor", times=None, background_ignored=True)

    assert create(http).json()["status"] == "completed"


def test_a_vendor_that_starts_in_progress_with_202(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.add_fault("vendor", times=None, first_status="in_progress", created_status=202)
    answer = create(http)

    assert (answer.status_code, answer.json()["status"]) == (202, "in_progress")


def test_a_vendor_with_minimal_bodies_and_integer_codes(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.add_fault("vendor", times=None, minimal_bodies=True, integer_error_codes=True)
    control.add_fault("fail")
    created = create(http).json()
    failed = http.get(f"/responses/{created['id']}").json()

    assert created.keys() == {"id", "status"}
    assert (failed["status"], failed["error"]["code"]) == ("failed", 500)
    assert http.get("/responses/resp_0").json()["error"]["code"] == 404


def test_a_vendor_with_bare_details(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("vendor", times=None, errors="detail")

    assert http.get("/responses/x").json() == {"detail": "Response with id 'x' not found."}


def test_rules_count_what_they_meet(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("status", after=1, times=2, match={"body_contains": "Hi."}, status=500)
    statuses = [create(http).status_code for _ in range(5)]
    other = create(http, input="Bye.").status_code
    rule = control.faults()[0]

    assert (statuses, other) == ([200, 500, 500, 200, 200], 200)
    assert (rule["hits"], rule["seen"]) == (2, 3)


@pytest.mark.parametrize(
    ("match", "strikes"),
    [
        ({}, True),
        ({"method": "post", "path_regex": "^/v1/responses$"}, True),
        ({"model": "echo"}, True),
        ({"model": "extract"}, False),
        ({"method": "GET"}, False),
        ({"path_regex": "/cancel$"}, False),
        ({"query_regex": "starting_after="}, False),
        ({"body_contains": "absent"}, False),
    ],
)
def test_rules_strike_what_they_match(
    http: httpx.Client, control: RemoteControl, match: dict[str, str], *, strikes: bool
) -> None:
    control.add_fault("status", match=match, status=500)

    assert (create(http).status_code == 500) is strikes


def test_probability_is_drawn_from_the_seed(http: httpx.Client, control: RemoteControl) -> None:
    def play() -> list[int]:
        control.reset(seed=11)
        control.add_fault("status", times=None, probability=0.5, status=500)
        return [create(http).status_code for _ in range(20)]

    statuses = play()
    assert set(statuses) == {200, 500}
    assert play() == statuses


def test_cleared_rules_strike_no_more(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("status", times=None, status=500)
    control.clear_faults()

    assert (create(http).status_code, control.faults()) == (200, [])
