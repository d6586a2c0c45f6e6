"""Retrieve: answer with the response as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.answer import Answer
from prefect_responses.emulator.models import catalogue
from prefect_responses.emulator.response_objects import response_body

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call


async def retrieve_response(emulation: Emulation, call: Call) -> Answer:
    """Answer with a response that can be retrieved."""
    now = emulation.clock.now()
    response = emulation.responses.find(call.response_id, now)
    call.exchange.response_id = response.id
    if parse_qs(call.exchange.query).get("stream", ["false"])[-1].lower() in {"true", "1"}:
        raise _not_streamable(background=response.background)
    return Answer(200, response_body(response, response.status_at(now)))


def _not_streamable(*, background: bool) -> envelopes.ApiError:
    flag = "stream" if background else "background"
    return envelopes.ApiError(
        400,
        f"This response cannot be streamed because it was not created with {flag}=true.",
        param="stream",
    )


async def list_models(_emulation: Emulation, _call: Call) -> Answer:
    """List the models."""
    return Answer(200, {"object": "list", "data": catalogue.listed()})


async def retrieve_model(_emulation: Emulation, call: Call) -> Answer:
    """Answer with one model."""
    model = call.path_params["model"]
    if not catalogue.is_served(model):
        raise envelopes.model_not_found(model)
    return Answer(200, catalogue.describe(model))
