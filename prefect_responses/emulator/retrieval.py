"""Retrieve: answer with the response as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.answer import Answer, StreamAnswer
from prefect_responses.emulator.lifecycle import Status
from prefect_responses.emulator.models import catalogue
from prefect_responses.emulator.query_reading import asks_for, read_integer
from prefect_responses.emulator.response_objects import response_body

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call
    from prefect_responses.emulator.stored_responses import StoredResponse


async def retrieve_response(emulation: Emulation, call: Call) -> Answer | StreamAnswer:
    """Answer with a response that can be retrieved, or with its events."""
    now = emulation.clock.now()
    response = emulation.responses.find(call.response_id, now)
    call.exchange.response_id = response.id
    vendor = call.struck.vendor
    if call.exchange.asks_for_stream and not vendor.resume_ignored:
        return _resume(emulation, call, response)
    status = response.status_at(now)
    if vendor.queued_while_streaming and status is Status.IN_PROGRESS:
        status = Status.QUEUED
    return Answer(200, response_body(response, status))


def _resume(emulation: Emulation, call: Call, response: StoredResponse) -> StreamAnswer:
    """Replay a stream after a number and go on with it; refuse where the API does."""
    if not response.background:
        raise envelopes.not_created_with("background")
    if response.stream is None:
        raise envelopes.not_created_with("stream")
    ttl_s = emulation.settings.stream_replay_ttl_s
    if emulation.clock.now() - response.timeline.accepted_at > ttl_s:
        raise envelopes.no_longer_streamed(minutes=ttl_s / 60)
    query = call.exchange.query
    obfuscated = asks_for(query, "include_obfuscation", default=True)
    return StreamAnswer(response, read_integer(query, "starting_after"), obfuscated)


async def list_models(_emulation: Emulation, _call: Call) -> Answer:
    """List the models."""
    return Answer(200, {"object": "list", "data": catalogue.listed()})


async def retrieve_model(_emulation: Emulation, call: Call) -> Answer:
    """Answer with one model."""
    model = call.path_params["model"]
    if not catalogue.is_served(model):
        raise envelopes.model_not_found(model)
    return Answer(200, catalogue.describe(model))
