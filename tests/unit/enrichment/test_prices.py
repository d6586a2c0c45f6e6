"""Price lists: read exactly, with their date, and never guessed."""

from __future__ import annotations

from datetime import date

import pytest

from prefect_responses.blocks.model_prices import ModelPriceList
from prefect_responses.charges import Price
from prefect_responses.enrichment.prices import ModelPrices, read_prices
from prefect_responses.errors import RequestInvalid

TOML = """
as_of = 2026-11-21

[models."my-model"]
input = 0.1
cached_input = 0.025
output = 7

[models."my-model@flex"]
input = 0.05
output = 3.5
"""


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(TOML)
    return path


def test_a_list_is_read_to_the_last_digit(listed):
    prices = read_prices(str(listed))

    assert prices.as_of == date(2026, 11, 21)
    assert prices.price_of("my-model") == Price(100_000, 25_000, 7_000_000)


def test_without_a_price_for_cached_tokens_they_cost_as_much(listed):
    assert read_prices(listed).price_of("my-model", "flex") == Price(50_000, 50_000, 3_500_000)


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("my-model-2026-01-01", None),
        ("My-Model", None),
        ("my-model", "priority"),
        ("my", None),
        ("", None),
        (None, None),
        (None, "flex"),
    ],
)
def test_what_is_not_listed_has_no_price(listed, model, tier):
    assert read_prices(listed).price_of(model, tier) is None


@pytest.mark.parametrize("tier", [None, "auto", "default"])
def test_the_usual_tiers_cost_what_is_listed(listed, tier):
    assert read_prices(listed).price_of("my-model", tier) is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("as_of = 2026-11-21", "models: Field required"),
        ("[models.m]\ninput = 1\noutput = 2", "as_of: Field required"),
        ("as_of = 2026-11-21\n[models]", "models: "),
        ("as_of = 2026-11-21\n[models.m]\ninput = -1\noutput = 2", "models.m.input: "),
        ("as_of = 2026-11-21\n[models.m]\ninput = 0.0000001\noutput = 2", "models.m.input: "),
        ("as_of = 2026-11-21\n[models.m]\ninput = 1", "models.m.output: Field required"),
        ("as_of = 2026-11-21\n[models.m]\ninput=1\noutput=2\ninputs=3", "models.m.inputs: "),
        (
            "as_of = 2026-11-21\n[models.m]\ninput=1\ncached_input=2\noutput=2",
            "models.m: Value error, cached_input costs more than input",
        ),
        ("as_of = ", "cannot be read"),
    ],
)
def test_what_is_no_price_list_is_refused_with_its_place(tmp_path, text, reason):
    path = tmp_path / "prices.toml"
    path.write_text(text)

    with pytest.raises(RequestInvalid) as refused:
        read_prices(path)

    assert reason in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(RequestInvalid, match=r"none\.toml cannot be read"):
        read_prices(tmp_path / "none.toml")


def test_a_list_may_be_given_as_it_is_in_a_block_or_not_at_all():
    models = {"m": {"input": 0.1, "output": 0.3}}
    prices = ModelPrices(as_of=date(2026, 11, 21), models=models)
    block = ModelPriceList(as_of=date(2026, 11, 21), models=models)

    assert read_prices(prices) is prices
    assert read_prices(block) == prices
    assert read_prices(None) is None
    assert prices.price_of("m") == Price(100_000, 100_000, 300_000)


def test_a_block_can_be_stored_and_read_again():
    block = ModelPriceList(as_of="2026-11-21", models={"m": {"input": "0.1", "output": "0.3"}})

    stored = ModelPriceList.model_validate_json(block.model_dump_json())

    assert stored.prices() == block.prices()
