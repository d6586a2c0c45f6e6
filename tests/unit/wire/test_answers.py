from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.wire.answers import parse_go_duration, read_head, read_retry_after

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "1"}, 1),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "86400"}, 86_400),
        ({"retry-after": "86401"}, None),
        ({"retry-after": "1764000000"}, None),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90),
        ({"retry-after": formatdate(NOW + 80_000, usegmt=True)}, 80_000),
        ({"retry-after": formatdate(NOW + 90_000, usegmt=True)}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Thu, 99 Foo 99999 99:99:99 GMT"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "60"}, 1.5),
        ({"retry-after-ms": "1764000000000", "retry-after": "60"}, 60),
        ({"retry-after-ms": "soon", "retry-after": "60"}, 60),
        ({"retry-after-ms": "-1", "retry-after": "60"}, 60),
    ],
)
def test_what_the_server_asked_to_wait(headers, seconds):
    assert read_retry_after(headers, NOW) == seconds


@given(st.text(max_size=40))
def test_any_text_is_a_wait_or_none(text):
    waited = read_retry_after({"retry-after": text, "retry-after-ms": text}, NOW)
    assert waited is None or waited >= 0


def test_the_head():
    head = read_head(
        {
            "content-type": "Text/HTML; charset=utf-8",
            "x-request-id": "req_1",
            "x-should-retry": "False",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-limit-project-tokens": "100",
            "date": "now",
        },
        NOW,
    )
    assert (head.content_type, head.server_request_id) == ("text/html", "req_1")
    assert (head.should_retry, head.retry_after) == (False, None)
    assert head.rate_limits == {"reset-requests": "6m0s", "limit-project-tokens": "100"}


@pytest.mark.parametrize(("said", "read"), [("true", True), ("perhaps", None), ("", None)])
def test_whether_to_retry(said, read):
    assert read_head({"x-should-retry": said}, NOW).should_retry is read


def test_a_head_that_says_nothing():
    head = read_head({}, NOW)
    assert (head.content_type, head.server_request_id, head.should_retry) == ("", None, None)
    assert head.rate_limits == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("21ms", 0.021),
        ("2s81ms", 2.081),
        ("11.054s", 11.054),
        ("5us", 5e-6),
        ("5µs", 5e-6),
        ("7ns", 7e-9),
        ("0s", 0),
        (" 1s ", 1),
        ("", None),
        ("5", None),
        ("s", None),
        ("1s!", None),
        ("-1s", None),
        ("1d", None),
        ("1s 2s", None),
    ],
)
def test_go_durations(text, seconds):
    assert parse_go_duration(text) == (None if seconds is None else pytest.approx(seconds))
