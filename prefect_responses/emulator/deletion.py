"""Delete: forget a response that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.answer import Answer
from prefect_responses.emulator.lifecycle import TERMINAL

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call


async def delete_response(emulation: Emulation, call: Call) -> Answer:
    """Delete a response; from now on nobody finds it."""
    now = emulation.clock.now()
    response = emulation.responses.find(call.response_id, now)
    call.exchange.response_id = response.id
    if response.status_at(now) not in TERMINAL:
        raise envelopes.cannot_delete_in_flight()
    response.gone_at = now
    return Answer(200, {"id": response.id, "object": "response", "deleted": True})
