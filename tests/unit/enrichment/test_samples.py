"""A sample of a table, and what a preview says by it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date

import pytest

from prefect_responses.attempt import Attempt, Endpoint
from prefect_responses.charges import Price
from prefect_responses.decisions.estimates import Pace, SampleRow
from prefect_responses.enrichment.learning import TokensLearned
from prefect_responses.enrichment.samples import (
    Preview,
    duration,
    sample_of,
    sample_row,
    usd,
)
from prefect_responses.errors import RequestInvalid
from prefect_responses.statuses import AttemptState

KEYS = [f"r{i}" for i in range(1000)]
PRICE = Price(input=1_000_000, cached_input=1_000_000, output=4_000_000)


# --- which rows -----------------------------------------------------------------------------------


def test_a_sample_is_the_same_in_whatever_order_the_table_is_read():
    shuffled = random.Random(1).sample(KEYS, len(KEYS))  # noqa: S311 - an order

    assert sample_of(iter(KEYS), 20, seed=3) == sample_of(shuffled, 20, seed=3)
    assert len(sample_of(KEYS, 20, seed=3)) == 20


def test_a_larger_sample_holds_the_smaller_one():
    assert sample_of(KEYS, 20) < sample_of(KEYS, 50)


def test_another_seed_draws_another_sample():
    assert sample_of(KEYS, 20, seed=1) != sample_of(KEYS, 20, seed=2)


def test_rows_that_come_later_take_few_places():
    grown = sample_of([*KEYS, *(f"new{i}" for i in range(100))], 20)

    assert len(sample_of(KEYS, 20) & grown) > 12


def test_every_row_has_the_same_chance():
    drawn = [sum(key in sample_of(KEYS[:20], 5, seed) for seed in range(400)) for key in KEYS[:20]]

    assert min(drawn) > 60  # of 100 expected; eight standard deviations are 70
    assert max(drawn) < 140


def test_a_small_table_is_taken_whole_and_one_row_says_nothing():
    assert sample_of(["a", "\ud800"], 20) == {"a", "\ud800"}
    with pytest.raises(RequestInvalid, match="2 rows at least, not 1"):
        sample_of(KEYS, 1)


# --- what a row took ------------------------------------------------------------------------------

ATTEMPT = Attempt(
    id="a",
    scope="job:j",
    name="row:1",
    ordinal=0,
    number=1,
    digest="d",
    endpoint=Endpoint("https://api.example.com/v1"),
    credentials="environment",
    state=AttemptState.SETTLED,
    planned_at=0.0,
    submitted_at=10.0,
    settled_at=14.0,
    usage={"input_tokens": 100, "output_tokens": 20},
)


@pytest.mark.parametrize(
    ("changes", "price", "took"),
    [
        ({}, PRICE, SampleRow(100, 20, 180_000, 4.0)),
        ({"latency": 2.5}, None, SampleRow(100, 20, None, 2.5)),
        ({"settled_at": 9.0}, None, SampleRow(100, 20, None, 0.0)),
        ({"submitted_at": None, "usage": None}, PRICE, SampleRow(0, 0, 0, 0.0)),
        ({"usage": {"input_tokens": "many"}}, PRICE, SampleRow(0, 0, 0, 4.0)),
    ],
)
def test_what_a_row_took_is_read_from_its_attempt(changes, price, took):
    assert sample_row(replace(ATTEMPT, **changes), price) == took


# --- what is shown --------------------------------------------------------------------------------


LEFT = "980 rows are left to pay for."


def preview(rows, *, cost=2_000_000_000, **more):
    sample = [SampleRow(100, 40, cost, 3.0) for _ in range(rows)]
    facts = {"job": "reviews", "model": "my-model", "rows_left": 980, "pace": Pace(100)}
    return Preview.of_sample(sample, **(facts | more))


def test_a_preview_shows_rows_tokens_cost_and_time():
    assert preview(20, prices_as_of=date(2026, 11, 21)).as_lines() == [
        f"Preview of reviews: 20 rows were asked for 40.00 USD and are kept; {LEFT}",
        "  tokens read:    about 98,000, between 98,000 and 98,000",
        "  tokens written: about 39,200, between 39,200 and 39,200",
        "  cost:           about 1,960.00 USD, between 1,960.00 USD and 1,960.00 USD",
        "  time:           about 29.4 s, between 29.4 s and 32.4 s",
        "Each is between its ends in about 19 of 20 cases; rare large rows can be missed.",
        "The cost is by your prices as of 2026-11-21.",
    ]


def test_without_a_price_no_cost_is_made_up():
    lines = preview(20, cost=None).as_lines()

    assert "The cost is not known: no price of my-model was given." in lines
    assert not any("USD" in line for line in lines)


def test_too_few_rows_say_nothing():
    assert preview(1).as_lines() == [
        f"Preview of reviews: 1 rows were asked for 2.00 USD and are kept; {LEFT}",
        "Too few rows of the sample have ended to tell anything of the others.",
    ]
    assert preview(0).sample_cost is None


def test_text_from_outside_stays_text():
    hostile = "[red]\x1b[31m|\nx"
    shown = preview(20, job=hostile, model=hostile, cost=None)

    assert "\x1b" not in "".join(shown.as_lines())
    assert "| x |" not in shown.as_markdown()
    assert "\\[red\\]" in shown.as_markdown()
    assert "| tokens read | 98,000 |" in shown.as_markdown()


def test_a_preview_survives_json():
    made = preview(20, prices_as_of=date(2026, 11, 21))

    assert Preview.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.00 USD"),
        (4_200_000, "0.0042 USD"),
        (12_345_678_901, "12.35 USD"),
        (1_234_000_000_000, "1,234.00 USD"),
    ],
)
def test_money_is_written_as_people_do(nano, text):
    assert usd(nano) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (4.52, "4.52 s"), (59.9, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_time_is_written_as_people_do(seconds, text):
    assert duration(seconds) == text


# --- what is learned on the way -------------------------------------------------------------------


def test_nothing_is_learned_of_a_few_answers():
    learned = TokensLearned()
    for _ in range(19):
        learned.learn(100, {"input_tokens": 25, "output_tokens": 10})
    learned.learn(100, None)
    learned.learn(100, {"input_tokens": 25})

    assert (learned.high(), learned.learned()) == (None, None)


def test_nearly_all_answers_are_within_what_is_reserved():
    learned = TokensLearned()
    for count in range(1, 101):
        learned.learn(100, {"input_tokens": 25, "output_tokens": count})

    assert learned.high() == 95
    assert learned.learned().tokens_a_byte == 0.25
    assert learned.learned().output == 50.5


def test_what_was_long_ago_is_forgotten():
    learned = TokensLearned()
    for output in (10_000,) * 100 + (10,) * 500:
        learned.learn(100, {"input_tokens": 25, "output_tokens": output})

    assert learned.high() == 10
