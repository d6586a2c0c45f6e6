"""Cancel: end a background response, or say why it cannot be ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.answer import Answer
from prefect_responses.emulator.faults import CancelThenCompletes
from prefect_responses.emulator.lifecycle import TERMINAL, Status
from prefect_responses.emulator.response_objects import response_body

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call
    from prefect_responses.emulator.stored_responses import StoredResponse


async def cancel_response(emulation: Emulation, call: Call) -> Answer:
    """Cancel a background response that has not ended; repeat the answer for a cancelled one."""
    now = emulation.clock.now()
    response = emulation.responses.find(call.response_id, now)
    call.exchange.response_id = response.id
    if not response.background:
        raise envelopes.cannot_cancel("synchronous response")
    status = response.status_at(now)
    match status:
        case Status.QUEUED | Status.IN_PROGRESS:
            _cancel(response, now, call)
            emulation.clock.announce_change()
        case Status.CANCELLED:
            pass
        case Status.COMPLETED:
            if _refuses_completed(emulation, response):
                raise envelopes.cannot_cancel("completed response")
        case Status.FAILED:
            raise envelopes.cannot_cancel("failed response")
        case Status.INCOMPLETE:
            raise envelopes.cannot_cancel("response in terminal state")
        case _:
            assert_never(status)
    return Answer(200, response_body(response, response.status_at(now)))


def abandon(response: StoredResponse, now: float) -> None:
    """End a synchronous response that is still made: the API does where its client has gone."""
    if response.status_at(now) not in TERMINAL:
        response.timeline = response.timeline.cancelled(now)
        response.gone_at = 0.0


def _refuses_completed(emulation: Emulation, response: StoredResponse) -> bool:
    answered = emulation.settings.cancel_completed
    if answered == "by_stream":
        return response.stream is not None
    return answered == envelopes.BAD_REQUEST


def _cancel(response: StoredResponse, now: float, call: Call) -> None:
    fault = call.struck.outcome
    after = fault.after_cancel if isinstance(fault, CancelThenCompletes) else None
    response.timeline = response.timeline.cancelled(now, completes_after=after)
