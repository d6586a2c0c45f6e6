"""What models cost, kept where everyone who runs the flows can see and change it."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from prefect_responses.enrichment.prices import ModelPrice, ModelPrices


class ModelPriceList(Block):
    """Say what models cost, so that jobs can count their cost and hold budgets in USD.

    Examples:
        Load the block and use it:
        ```python
        from prefect_responses import ModelPriceList, enrich

        enrich(..., prices=ModelPriceList.load("BLOCK_NAME"))
        ```
    """

    _block_type_name: ClassVar[str] = "Model Price List"
    _block_type_slug: ClassVar[str] = "model-price-list"
    _logo_url: ClassVar[HttpUrl] = HttpUrl("https://openai.com/favicon.ico")
    _documentation_url: ClassVar[HttpUrl] = HttpUrl("https://platform.openai.com/docs/pricing")

    as_of: date = Field(description="The day that the prices were looked up.")
    models: dict[str, ModelPrice] = Field(
        min_length=1,
        description="USD per million tokens by model: input, cached_input (if it differs), output.",
    )

    def prices(self) -> ModelPrices:
        """Return the list."""
        return ModelPrices(as_of=self.as_of, models=self.models)
