"""Accept a create: let the model answer, and make the response with its whole future."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.faults import (
    AfterError,
    CancelThenCompletes,
    Fail,
    Incomplete,
    Refusal,
    RestartStream,
    StreamError,
)
from prefect_responses.emulator.input_text import all_text, user_text
from prefect_responses.emulator.journal import digest_of
from prefect_responses.emulator.lifecycle import Status, Timeline
from prefect_responses.emulator.models import catalogue
from prefect_responses.emulator.models.answers import (
    ModelAnswer,
    Question,
    failed_answer,
    incomplete_answer,
    reasoned,
    refusal_answer,
    spoken_text,
)
from prefect_responses.emulator.response_objects import echoed_parameters
from prefect_responses.emulator.stored_responses import StoredResponse
from prefect_responses.emulator.streaming.stream_plans import StreamPlan, error_amid, lost_take
from prefect_responses.emulator.token_counting import first_tokens, tokens_in, usage

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call
    from prefect_responses.emulator.faults import Vendor


def accept(emulation: Emulation, request: dict[str, Any], call: Call) -> StoredResponse:
    """Make the response object: from here on the request is paid for."""
    answer = _limited(_answer(emulation, request, call), request.get("max_output_tokens"))
    if (request.get("reasoning") or {}).get("summary") is not None:
        answer = reasoned(answer)
    parameters = echoed_parameters(request)
    timeline = _timeline(emulation, answer.ending, call)
    identifiers = emulation.randomness.identifiers
    response = StoredResponse(
        id=identifiers.response(),
        parameters=parameters,
        input=request.get("input"),
        input_digest=digest_of(request.get("input")),
        answer=answer,
        output=[_with_ids(item, emulation) for item in answer.items],
        usage=usage(tokens_in(all_text(request)), tokens_in(spoken_text(answer))),
        timeline=timeline,
        gone_at=timeline.accepted_at + _kept_for(emulation, parameters),
    )
    if request.get("stream"):
        _plan_stream(emulation, response, call)
    emulation.responses.add(response)
    emulation.rates.charge("tokens", response.usage["output_tokens"], timeline.accepted_at)
    emulation.journal.record_acceptance(call.exchange, response.id)
    return response


def _answer(emulation: Emulation, request: dict[str, Any], call: Call) -> ModelAnswer:
    chosen = (request.get("text") or {}).get("format") or {}
    question = Question(request["model"], user_text(request), chosen.get("schema"))
    match call.struck.outcome:
        case None | CancelThenCompletes() | RestartStream():
            return catalogue.answer(question, emulation.script)
        case Fail() as fault:
            return failed_answer(fault.code, _message_of(fault))
        case StreamError() as fault:
            said = catalogue.answer(question, emulation.script)
            return said if fault.then is AfterError.COMPLETES else _broken(said, fault)
        case Refusal() as fault:
            return refusal_answer(fault.message)
        case Incomplete() as fault:
            text = spoken_text(catalogue.answer(question, emulation.script))
            return incomplete_answer(text[: len(text) // 2], fault.reason)
        case _:
            assert_never(call.struck.outcome)


def _broken(said: ModelAnswer, fault: StreamError) -> ModelAnswer:
    failed = failed_answer(fault.code, _message_of(fault))
    return replace(failed, draft=said.items)


def _message_of(fault: Fail | StreamError) -> str:
    return fault.message or envelopes.known_error(fault.code).message


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
    if first_status(call.struck.vendor) is Status.IN_PROGRESS:
        return replace(timeline, starts_at=now)
    return timeline


def first_status(vendor: Vendor) -> Status:
    """Tell what status the vendor creates a background response in."""
    return Status(vendor.first_status)


def _plan_stream(emulation: Emulation, response: StoredResponse, call: Call) -> None:
    """Give a response its events, and the time that it takes to say them."""
    settings, answer = emulation.settings, response.answer
    draft = [_with_ids(item, emulation) for item in answer.draft]
    background = response.background
    plan = StreamPlan(
        items=tuple(draft or response.output),
        first_status=first_status(call.struck.vendor) if background else Status.IN_PROGRESS,
        after_cancel=settings.cancelled_stream,
        keepalive_s=settings.keepalive_s,
        recorded=answer.recorded,
    )
    plan = _with_fault(plan, emulation, call)
    response.stream, response.timeline = plan.timed(response.timeline, settings.token_rate)


def _with_fault(plan: StreamPlan, emulation: Emulation, call: Call) -> StreamPlan:
    match call.struck.outcome:
        case StreamError() as fault:
            known = envelopes.known_error(fault.code)
            return replace(plan, error=error_amid(fault, _message_of(fault), known.type))
        case RestartStream() as fault:
            lost_id = emulation.randomness.identifiers.item("message")
            return replace(plan, lost=lost_take(fault, lost_id))
        case _:
            return plan


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
