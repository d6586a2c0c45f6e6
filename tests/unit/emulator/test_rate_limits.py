"""A minute has so many requests and tokens; the headers say how many are left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.emulator.rate_limits import Allowance, go_duration

if TYPE_CHECKING:
    import httpx

    from prefect_responses.emulator.remote_control import RemoteControl

BODY = {"model": "echo", "input": "one two three", "background": True}


def test_requests_are_counted(http: httpx.Client, control: RemoteControl) -> None:
    control.stop_clock()
    control.change_settings(requests_per_minute=3)
    answers = [http.post("/responses", json=BODY) for _ in range(4)]
    refused = answers[3]

    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["2", "1", "0", "0"]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert (refused.headers["retry-after"], refused.json()["error"]["code"]) == (
        "20",
        "rate_limit_exceeded",
    )
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert refused.headers["x-ratelimit-reset-requests"] == "1m0s"
    assert control.state()["accepted"] == 3


def test_who_waits_as_told_gets_through(http: httpx.Client, control: RemoteControl) -> None:
    control.stop_clock()
    control.change_settings(requests_per_minute=7)
    for _ in range(20):
        answer = http.post("/responses", json=BODY)
        if answer.status_code == 429:
            control.advance(float(answer.headers["retry-after"]))
            answer = http.post("/responses", json=BODY)
        assert answer.status_code == 200


def test_tokens_of_both_ways_are_counted(http: httpx.Client, control: RemoteControl) -> None:
    control.stop_clock()
    control.change_settings(tokens_per_minute=12)
    first, second, third = (http.post("/responses", json=BODY) for _ in range(3))

    assert first.headers["x-ratelimit-remaining-tokens"] == "4"
    assert (second.status_code, second.headers["x-ratelimit-remaining-tokens"]) == (200, "0")
    assert (third.status_code, third.json()["error"]["type"]) == (429, "tokens")
    assert "Limit 12, Requested 4. Please try again in" in third.json()["error"]["message"]


def test_reading_costs_nothing(http: httpx.Client, control: RemoteControl) -> None:
    control.change_settings(requests_per_minute=1)
    response_id = http.post("/responses", json=BODY).json()["id"]

    assert {http.get(f"/responses/{response_id}").status_code for _ in range(5)} == {200}


def test_other_changes_do_not_begin_the_minute_anew(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.stop_clock()
    control.change_settings(requests_per_minute=1)
    http.post("/responses", json=BODY)
    control.change_settings(token_rate=5)

    assert http.post("/responses", json=BODY).status_code == 429


@given(st.lists(st.tuples(st.floats(0, 90), st.integers(1, 9)), max_size=30))
def test_no_minute_gives_more_than_two_limits(steps: list[tuple[float, int]]) -> None:
    allowance = Allowance("requests", 9)
    now, taken = 0.0, []
    for pause, count in steps:
        now += pause
        if allowance.wait_for(count, now) == 0:
            allowance.take(count, now)
            taken.append((now, count))

    for begin, _ in taken:
        assert sum(count for at, count in taken if begin <= at < begin + 60) <= 18


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0061, "7ms"),
        (1, "1s"),
        (11.054, "11.054s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3723, "1h2m3s"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
