"""What requests will take: bounds hold, and intervals hold as often as they say."""

from __future__ import annotations

import math
import random

import pytest

from prefect_responses.decisions.estimates import (
    DEFAULT_OUTPUT,
    OVERHEAD,
    Interval,
    Learned,
    Pace,
    SampleRow,
    estimate,
    has_bounded_input,
    likely_tokens,
    most_tokens,
    output_cap,
    total_of,
)

# --- one request ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "learned", "output", "bounded"),
    [
        ({"input": "a", "max_output_tokens": 50}, 900, 50, True),
        ({"input": "a"}, 900, 900, False),
        ({"input": "a"}, None, DEFAULT_OUTPUT, False),
        ({"input": "a", "max_output_tokens": 50, "prompt": {"id": "p"}}, None, 50, False),
    ],
)
def test_a_request_reserves_its_bytes_and_its_cap(request_, learned, output, bounded):
    most = most_tokens(request_, 1000, learned)

    assert (most.input, most.output, most.bounded) == (1000 + OVERHEAD, output, bounded)


@pytest.mark.parametrize(
    ("cap", "read"), [(16, 16), (None, None), (0, None), (-3, None), (True, None), ("16", None)]
)
def test_only_a_number_above_zero_is_a_cap(cap, read):
    assert output_cap({"max_output_tokens": cap}) == read


TEXT = {"role": "user", "content": [{"type": "input_text", "text": "a"}]}


@pytest.mark.parametrize(
    ("request_", "bounded"),
    [
        ({"input": "text"}, True),
        ({"instructions": "only"}, True),
        ({"input": [TEXT, {"role": "assistant", "content": "b"}]}, True),
        ({"input": "a", "tools": [{"type": "function", "name": "f"}]}, True),
        ({"input": "a", "tools": [], "prompt": None}, True),
        ({"input": "a", "tools": [{"type": "web_search"}]}, False),
        ({"input": "a", "tools": ["odd"]}, False),
        ({"input": "a", "previous_response_id": "resp_1"}, False),
        ({"input": "a", "conversation": "conv_1"}, False),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, False),
        ({"input": [{"role": "user", "content": ["odd"]}]}, False),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, False),
        ({"input": ["odd"]}, False),
    ],
)
def test_bytes_bound_only_what_is_in_the_request(request_, bounded):
    assert has_bounded_input(request_) is bounded


@pytest.mark.parametrize(
    ("learned", "cap", "tokens"),
    [
        (None, None, 100 + DEFAULT_OUTPUT),
        (None, 60, 160),
        (Learned(0.5, 20.5), None, 221),
        (Learned(0.5, 20.5), 10, 210),
    ],
)
def test_likely_tokens_are_learned_or_four_bytes_each(learned, cap, tokens):
    assert likely_tokens(400, learned, cap) == tokens


# --- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "left", "total"),
    [
        ([7, 7, 7], 100, Interval(700, 700, 700)),  # no spread
        ([1, 9], 0, Interval(0, 0, 0)),
    ],
)
def test_what_is_certain_has_no_width(sample, left, total):
    assert total_of(sample, left) == total


def test_two_rows_give_a_wide_interval_that_is_never_below_zero():
    total = total_of([10, 20], 100)

    assert total.low == 0
    assert total.expected == 1500
    # Student's t at one degree of freedom: 12.7 times the standard error.
    error = math.sqrt(50) * math.sqrt(1 / 2 + 1 / 100)
    assert total.high == pytest.approx(100 * (15 + 12.706 * error), rel=1e-4)


def test_even_values_give_students_interval():
    sample = [10.0, 20.0, 30.0, 40.0, 50.0]  # no skew; t(4) = 2.776
    error = math.sqrt(250) * math.sqrt(1 / 5 + 1 / 1000)

    total = total_of(sample, 1000)

    assert total.high == pytest.approx(1000 * (30 + 2.776 * error), rel=0.01)
    assert total.low == pytest.approx(max(0, 1000 * (30 - 2.776 * error)), rel=0.02)


def normal(rng):
    return max(0.0, rng.gauss(100, 20))


def skewed(rng):
    return rng.lognormvariate(5, 0.5)


def very_skewed(rng):
    return rng.lognormvariate(5, 1.0)


def now_and_then_huge(rng):
    return (2000 if rng.random() < 0.1 else 100) * rng.lognormvariate(0, 0.3)


@pytest.mark.parametrize(
    ("draw", "size", "coverage"),
    [
        (normal, 20, 0.92),
        (skewed, 20, 0.90),
        (very_skewed, 20, 0.88),
        (very_skewed, 50, 0.88),
        (now_and_then_huge, 20, 0.80),
        (now_and_then_huge, 50, 0.90),
    ],
)
def test_the_whole_is_within_its_interval_as_often_as_is_said(draw, size, coverage):
    rng, rounds, left = random.Random(20), 300, 400  # noqa: S311 - a simulation
    held = 0
    for _ in range(rounds):
        total = total_of([draw(rng) for _ in range(size)], left)
        held += total.low <= sum(draw(rng) for _ in range(left)) <= total.high

    assert held / rounds >= coverage


# --- the whole ------------------------------------------------------------------------------------


def rows(*seconds, cost=7):
    return [SampleRow(100, 50, cost, each) for each in seconds]


def test_an_estimate_is_of_the_rows_that_are_left():
    found = estimate(rows(2.0, 2.0), 1000, Pace(max_in_flight=100))

    assert found.rows == 1000
    assert found.input_tokens.expected == 100_000
    assert found.output_tokens.expected == 50_000
    assert found.cost == Interval(7000, 7000, 7000)
    assert found.seconds == Interval(20, 20, 22)


def test_without_a_price_for_each_row_there_is_no_cost():
    assert estimate([*rows(1), *rows(1, cost=None)], 10, Pace(5)).cost is None


def test_few_rows_take_as_long_as_the_longest():
    found = estimate(rows(1.0, 3.0), 10, Pace(max_in_flight=100))

    assert found.seconds.expected == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("pace", "seconds"),
    [
        (Pace(1000, requests_per_minute=600), 100),
        (Pace(1000, tokens_per_minute=150_000), 60),
        (Pace(1000, requests_per_minute=600, tokens_per_minute=150_000), 100),
        (Pace(1, requests_per_minute=600), 2000),
    ],
)
def test_the_narrowest_bound_says_how_long_it_takes(pace, seconds):
    found = estimate(rows(2.0, 2.0), 1000, pace)

    assert found.seconds.expected == pytest.approx(seconds)
    assert found.seconds.low <= found.seconds.expected <= found.seconds.high


def test_nothing_left_takes_no_time():
    assert estimate(rows(2.0, 3.0), 0, Pace(10)).seconds == Interval(0, 0, 0)
