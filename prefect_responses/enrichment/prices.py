"""What models cost: a list that the user keeps, with the date that it is of. Nothing is guessed."""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prefect_responses.charges import Price
from prefect_responses.errors import RequestInvalid

#: Pico-USD a token, of one USD a million tokens.
_PICO = 1_000_000
#: Tiers that are served at the price that a list names without a tier.
_USUAL_TIERS = frozenset({None, "auto", "default"})

Usd: TypeAlias = Annotated[Decimal, Field(ge=0, decimal_places=6, max_digits=15)]


class ModelPrice(BaseModel):
    """What one model costs, in USD per million tokens.

    Attributes:
        input: tokens read.
        cached_input: tokens read that the server had cached; without it they cost as much.
        output: tokens written, reasoning included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Usd
    cached_input: Usd | None = None
    output: Usd

    @model_validator(mode="after")
    def _check_cached(self) -> Self:
        if self.cached_input is not None and self.cached_input > self.input:
            raise ValueError("cached_input costs more than input: the two may be swapped.")
        return self

    def exact(self) -> Price:
        """Return the price in whole pico-USD a token."""
        cached = self.input if self.cached_input is None else self.cached_input
        return Price(int(self.input * _PICO), int(cached * _PICO), int(self.output * _PICO))


class ModelPrices(BaseModel):
    """A price list, by the names that requests call models by.

    A service tier with a price of its own is listed as `MODEL@TIER`, such as `gpt-5@flex`.

    Attributes:
        as_of: the day that the prices were looked up.
        models: the price of each model.

    Examples:
        ```toml
        as_of = 2026-11-21

        [models."my-model"]
        input = 1.25
        cached_input = 0.125
        output = 10.00
        ```
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    models: dict[str, ModelPrice] = Field(min_length=1)

    def price_of(self, model: str | None, service_tier: str | None = None) -> Price | None:
        """Return the price of *model*, or None if the list does not have it.

        Args:
            model: the name as the request has it, to the letter.
            service_tier: the `service_tier` of the request.
        """
        name = model if service_tier in _USUAL_TIERS else f"{model}@{service_tier}"
        found = self.models.get(name or "")
        return None if found is None else found.exact()


class PriceBlock(Protocol):
    """A price list that is kept elsewhere, such as in a Prefect block."""

    def prices(self) -> ModelPrices:
        """Return the list."""


def read_prices(given: ModelPrices | PriceBlock | str | PathLike[str] | None) -> ModelPrices | None:
    """Return the price list that was given: itself, in a block, or as the path of a TOML file.

    Raises:
        RequestInvalid: the file cannot be read, or is no price list.
    """
    if given is None or isinstance(given, ModelPrices):
        return given
    if not isinstance(given, str | PathLike):
        return given.prices()
    path = Path(given)
    try:
        # Exact: 0.1 stays 0.1.
        return _listed(tomllib.loads(path.read_text(), parse_float=Decimal), path)
    except (OSError, ValueError) as error:
        raise RequestInvalid(f"The prices in {path} cannot be read: {error}.") from error


def _listed(table: dict[str, Any], path: Path) -> ModelPrices:
    try:
        return ModelPrices.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the list"
        raise RequestInvalid(f"{path} is no price list: {where}: {first['msg']}.") from error
