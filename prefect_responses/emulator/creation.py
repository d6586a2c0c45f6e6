"""Create: check the request, accept it, and answer at once or when the work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.acceptance import accept, first_status
from prefect_responses.emulator.answer import Answer, StreamAnswer
from prefect_responses.emulator.cancellation import abandon
from prefect_responses.emulator.input_text import all_text
from prefect_responses.emulator.lifecycle import Status
from prefect_responses.emulator.models import catalogue
from prefect_responses.emulator.request_validation import validate_create
from prefect_responses.emulator.response_objects import response_body
from prefect_responses.emulator.token_counting import tokens_in

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call
    from prefect_responses.emulator.faults import Vendor
    from prefect_responses.emulator.stored_responses import StoredResponse


async def create_response(emulation: Emulation, call: Call) -> Answer | StreamAnswer:
    """Accept a response; answer with its events, or `queued` at once, or when it has ended."""
    request = _read_request(emulation, call)
    response = accept(emulation, request, call)
    vendor = call.struck.vendor
    if response.stream is not None:
        options = request.get("stream_options") or {}
        return StreamAnswer(response, obfuscated=options.get("include_obfuscation") is not False)
    if response.background:
        return Answer(vendor.created_status, response_body(response, first_status(vendor)))
    await _wait_for_end(emulation, response, call)
    status = response.status_at(emulation.clock.now())
    return Answer(200, response_body(response, status))


def _read_request(emulation: Emulation, call: Call) -> dict[str, Any]:
    body = call.exchange.body
    if not isinstance(body, dict):
        raise envelopes.malformed_json()
    emulation.rates.admit("requests", 1, emulation.clock.now())
    validate_create(body, refuse_unknown=emulation.settings.unknown_parameters == "reject")
    emulation.rates.admit("tokens", tokens_in(all_text(body)), emulation.clock.now())
    request = {**body, "model": body.get("model") or "gpt-6-astra"}
    if not catalogue.is_served(request["model"]):
        raise envelopes.model_not_found(request["model"])
    _check_background(emulation, request, call.struck.vendor)
    _check_previous(emulation, request.get("previous_response_id"))
    if call.struck.vendor.background_ignored:
        request["background"] = False
    if call.struck.vendor.json_instead_of_stream:
        request["stream"] = False
    return request


def _check_background(emulation: Emulation, request: dict[str, Any], vendor: Vendor) -> None:
    if not request.get("background"):
        return
    if request.get("store") is False and emulation.settings.unstored_background == "reject":
        raise envelopes.unsupported_parameter("background", "requires 'store' to be true.")
    if request.get("stream") and vendor.background_stream == "reject":
        raise envelopes.unsupported_parameter("stream", "is not served together with 'background'.")


def _check_previous(emulation: Emulation, previous_id: str | None) -> None:
    if previous_id is None:
        return
    now = emulation.clock.now()
    try:
        previous = emulation.responses.find(previous_id, now)
    except envelopes.ApiError:
        raise envelopes.previous_response_not_found(previous_id) from None
    finished = previous.status_at(now) not in {Status.QUEUED, Status.IN_PROGRESS}
    if not finished or not previous.parameters["store"]:
        raise envelopes.previous_response_not_found(previous_id)


async def _wait_for_end(emulation: Emulation, response: StoredResponse, call: Call) -> None:
    """Wait until the response ends; where the client closes the connection first, it ends then."""
    clock = emulation.clock
    if response.timeline.ends_at > clock.now():
        await call.while_connected(clock.wait_until(response.timeline.ends_at))
        abandon(response, clock.now())
