"""Create: check the request, accept it, and answer at once or when the work is done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.answer import Answer
from prefect_responses.emulator.faults import CancelThenCompletes, Fail, Incomplete, Refusal
from prefect_responses.emulator.input_text import all_text, user_text
from prefect_responses.emulator.journal import digest_of
from prefect_responses.emulator.lifecycle import Status, Timeline
from prefect_responses.emulator.models import catalogue
from prefect_responses.emulator.models.answers import (
    ModelAnswer,
    Question,
    failed_answer,
    incomplete_answer,
    refusal_answer,
    spoken_text,
)
from prefect_responses.emulator.request_validation import validate_create
from prefect_responses.emulator.response_objects import echoed_parameters, response_body
from prefect_responses.emulator.stored_responses import StoredResponse
from prefect_responses.emulator.token_counting import first_tokens, tokens_in, usage

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call
    from prefect_responses.emulator.faults import Vendor


async def create_response(emulation: Emulation, call: Call) -> Answer:
    """Accept a response; answer `queued` at once in the background, else when it has ended."""
    request = _read_request(emulation, call)
    response = _accept(emulation, request, call)
    vendor = call.struck.vendor
    if response.background:
        return Answer(vendor.created_status, response_body(response, _first_status(vendor)))
    if not await _wait_for_end(emulation, response, call):
        # The API ends a synchronous response whose client has gone.
        response.timeline = response.timeline.cancelled(emulation.clock.now())
        response.gone_at = 0.0
    status = response.status_at(emulation.clock.now())
    return Answer(200, response_body(response, status))


def _read_request(emulation: Emulation, call: Call) -> dict[str, Any]:
    body = call.exchange.body
    if not isinstance(body, dict):
        raise envelopes.malformed_json()
    settings = emulation.settings
    validate_create(body, refuse_unknown=settings.unknown_parameters == "reject")
    request = {**body, "model": body.get("model") or "gpt-6-astra"}
    if not catalogue.is_served(request["model"]):
        raise envelopes.model_not_found(request["model"])
    unstored = request.get("background") and request.get("store") is False
    if unstored and settings.unstored_background == "reject":
        raise envelopes.unsupported_parameter("background", "requires 'store' to be true.")
    _check_previous(emulation, request.get("previous_response_id"))
    if call.struck.vendor.background_ignored:
        request["background"] = False
    return request


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


def _accept(emulation: Emulation, request: dict[str, Any], call: Call) -> StoredResponse:
    """Make the response object: from here on the request is paid for."""
    answer = _limited(_answer(emulation, request, call), request.get("max_output_tokens"))
    parameters = echoed_parameters(request)
    timeline = _timeline(emulation, answer.ending, call)
    identifiers = emulation.randomness.identifiers
    response = StoredResponse(
        id=identifiers.response(),
        parameters=parameters,
        input_digest=digest_of(request.get("input")),
        answer=answer,
        output=[_with_ids(item, emulation) for item in answer.items],
        usage=usage(tokens_in(all_text(request)), tokens_in(spoken_text(answer))),
        timeline=timeline,
        gone_at=timeline.accepted_at + _kept_for(emulation, parameters),
    )
    emulation.responses.add(response)
    emulation.journal.record_acceptance(call.exchange, response.id)
    return response


def _answer(emulation: Emulation, request: dict[str, Any], call: Call) -> ModelAnswer:
    chosen = (request.get("text") or {}).get("format") or {}
    question = Question(request["model"], user_text(request), chosen.get("schema"))
    match call.struck.outcome:
        case None | CancelThenCompletes():
            return catalogue.answer(question, emulation.script)
        case Fail() as fault:
            known = envelopes.known_error(fault.code)
            return failed_answer(fault.code, fault.message or known.message)
        case Refusal() as fault:
            return refusal_answer(fault.message)
        case Incomplete() as fault:
            text = spoken_text(catalogue.answer(question, emulation.script))
            return incomplete_answer(text[: len(text) // 2], fault.reason)
        case _:
            assert_never(call.struck.outcome)


def _limited(answer: ModelAnswer, limit: int | None) -> ModelAnswer:
    """Stop an answer that is longer than the request allows."""
    text = spoken_text(answer)
    if limit is None or answer.ending is not Status.COMPLETED or tokens_in(text) <= limit:
        return answer
    return incomplete_answer(first_tokens(text, limit), "max_output_tokens")


def _timeline(emulation: Emulation, ending: Status, call: Call) -> Timeline:
    latency = emulation.draw_latency()
    now = emulation.clock.now()
    starts_at = now + latency.queued_s
    timeline = Timeline(now, starts_at, starts_at + latency.in_progress_s, ending)
    if _first_status(call.struck.vendor) is Status.IN_PROGRESS:
        return replace(timeline, starts_at=now)
    return timeline


def _first_status(vendor: Vendor) -> Status:
    return Status(vendor.first_status)


def _kept_for(emulation: Emulation, parameters: dict[str, Any]) -> float:
    if parameters["store"]:
        return emulation.settings.response_ttl_s
    return emulation.settings.unstored_background_ttl_s if parameters["background"] else 0.0


def _with_ids(item: dict[str, Any], emulation: Emulation) -> dict[str, Any]:
    identifiers = emulation.randomness.identifiers
    named = {"id": identifiers.item(item["type"]), **item}
    if item["type"].endswith("_call") and item["type"].startswith(("function", "custom")):
        named.setdefault("call_id", identifiers.call())
    return named


async def _wait_for_end(emulation: Emulation, response: StoredResponse, call: Call) -> bool:
    """Wait until the response ends; return False where the client closes the connection first."""
    if response.timeline.ends_at <= emulation.clock.now():
        return True
    end = asyncio.ensure_future(emulation.clock.wait_until(response.timeline.ends_at))
    gone = asyncio.ensure_future(call.client_gone())
    try:
        done, _ = await asyncio.wait({end, gone}, return_when=asyncio.FIRST_COMPLETED)
        if end in done:
            end.result()
        return end in done
    finally:
        end.cancel()
        gone.cancel()
