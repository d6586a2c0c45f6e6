"""What servers write about their limits, each in its own way; what cannot be read says nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.decisions.limit_headers import (
    Left,
    LimitsSaid,
    Refusal,
    read_limit_headers,
    read_refusal,
)
from prefect_responses.wire.answers import Answer, read_head

NAMES = [
    f"{column}-{kind}"
    for column in ("limit", "remaining", "reset", "renewalperiod")
    for kind in ("requests", "tokens", "project-tokens")
]


def said(**headers: str) -> LimitsSaid:
    """Read headers whose names have underscores here."""
    return read_limit_headers({name.replace("_", "-"): text for name, text in headers.items()})


def test_openai_writes_go_durations():
    answer = read_head(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "20",
            "x-ratelimit-reset-requests": "40s",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-tokens": "30",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        now=0.0,
    )
    read = read_limit_headers(answer.rate_limits)
    assert read.requests == Left(60.0, 20.0, 60.0, 40.0, few=128.0)
    assert read.tokens == Left(150000.0, 30.0, 60.0, 360.0)


def test_azure_writes_seconds_and_the_length_of_its_window():
    read = said(
        limit_requests="50",
        remaining_requests="10",
        reset_requests="3",
        renewalperiod_requests="10",
    ).requests
    assert read is not None
    assert (read.per_minute, read.window, read.reset) == (300.0, 10.0, 3.0)


@pytest.mark.parametrize("window", ["1e300", "1764000000", "60000", "301", "0.5", "1e-300", "0"])
def test_a_window_that_no_server_has_is_a_minute(window):
    read = said(limit_requests="100", remaining_requests="0", renewalperiod_requests=window)
    assert read.requests == Left(100.0, 0.0, 60.0, few=128.0)


@pytest.mark.parametrize("window", ["1", "300"])
def test_a_window_that_a_server_may_have(window):
    read = said(limit_requests="100", remaining_requests="0", renewalperiod_requests=window)
    assert read.requests == Left(100.0, 0.0, float(window), few=128.0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"remaining_requests": "5"},
        {"limit_requests": "5"},
        {"limit_requests": "0", "remaining_requests": "0"},
        {"limit_requests": "60", "remaining_requests": "-1"},
        {"limit_requests": "-1", "remaining_requests": "5"},
        {"limit_requests": "many", "remaining_requests": "5"},
        {"limit_requests": "inf", "remaining_requests": "5"},
        {"limit_requests": "nan", "remaining_requests": "5"},
    ],
    ids=str,
)
def test_what_names_no_limit_says_nothing(headers):
    assert said(**headers) == LimitsSaid()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("20ms", 0.02),
        ("1h0m2s", 3602.0),
        ("7.66s", 7.66),
        ("30", 30.0),
        ("1722556800", None),
        ("soon", None),
        (None, None),
    ],
)
def test_the_ways_to_write_a_reset(text, seconds):
    headers = {"limit-tokens": "100", "remaining-tokens": "1"}
    read = read_limit_headers(headers | ({} if text is None else {"reset-tokens": text})).tokens
    assert read is not None
    assert read.reset == seconds


def test_of_two_limits_on_tokens_the_scarcer_counts():
    headers = {"limit_tokens": "100", "remaining_tokens": "90", "limit_project_tokens": "50"}
    read = said(**headers, remaining_project_tokens="40").tokens
    assert read is not None
    assert read.limit == 50.0


@pytest.mark.parametrize(
    ("left", "scarce"),
    [
        (Left(10_000, 9_999, few=128), False),
        (Left(10_000, 4_999, few=128), True),
        (Left(150, 127, few=128), True),
        (Left(60, 59, few=128), True),
        (Left(60, 59), False),
    ],
)
def test_when_all_must_keep_to_the_rate(left, scarce):
    assert left.is_scarce is scarce
    assert LimitsSaid(tokens=left).is_scarce is scarce


@pytest.mark.parametrize(
    ("left", "wait"),
    [
        (Left(100, 6), 0.0),
        (Left(100, 0), 3.0),
        (Left(100, 0, reset=1.0), 1.0),
        (Left(100, 4, reset=30.0), 0.6),
        (Left(50, 0, window=10.0), 0.5),
    ],
)
def test_how_long_a_reserve_takes_to_come_back(left, wait):
    assert left.wait == pytest.approx(wait)


@pytest.mark.parametrize(
    ("limits", "explains"),
    [
        (LimitsSaid(), False),
        (LimitsSaid(requests=Left(60, 0)), True),
        (LimitsSaid(requests=Left(60, 30)), False),
        (LimitsSaid(tokens=Left(1000, 400)), True),
        (LimitsSaid(requests=Left(60, 50), tokens=Left(1000, 900)), False),
    ],
)
def test_which_numbers_explain_a_refusal(limits, explains):
    assert limits.explains_refusal is explains


TOO_LARGE = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 90000."


def error(status, code=None, kind=None, retry_after=None, message="no"):
    body = json.dumps({"error": {"message": message, "code": code, "type": kind}}).encode()
    return Answer(status, body, retry_after=retry_after)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (error(429, "rate_limit_exceeded", "requests", 3.0), Refusal(3.0)),
        (error(429, "resource_unavailable"), Refusal(None)),
        (Answer(429, b"<html>slow down</html>"), Refusal(None)),
        (error(503, "slow_down"), Refusal(None)),
        (error(503, None, None, 20.0), Refusal(20.0)),
        (error(503), None),
        (error(429, None, "insufficient_quota", 20.0), None),
        (error(429, "conversation_locked"), None),
        (error(429, "rate_limit_exceeded", "tokens", 3.0, TOO_LARGE), None),
        (error(400, "rate_limit_exceeded"), None),
        (Answer(200, b"{}"), None),
        (Answer(None), None),
    ],
    ids=str,
)
def test_what_is_refused_because_of_how_much_was_sent(answer, refusal):
    assert read_refusal(answer) == refusal


words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["1e999", "-0", "1e-320", "00", "9" * 400, "1s1s", "٣", "1_000", " 7 "]),
    st.floats(allow_nan=True).map(str),
)


@given(st.dictionaries(st.sampled_from(NAMES), words))
def test_nothing_that_a_server_writes_raises(headers):
    read = read_limit_headers(headers)
    for left in (read.requests, read.tokens):
        if left is not None:
            assert left.limit >= 1
            assert left.wait >= 0
            assert left.per_minute >= 0
