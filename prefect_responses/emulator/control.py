"""The control plane under `/_emulator/`: how tests and demos steer the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from fastapi import APIRouter, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from prefect_responses.emulator.clock import ClockMode
from prefect_responses.emulator.exchange_handling import CONTROL_PREFIX
from prefect_responses.emulator.faults import FaultRule, StreamEnding
from prefect_responses.emulator.lifecycle import TERMINAL
from prefect_responses.emulator.models.script import ScriptedReply
from prefect_responses.emulator.settings import EmulatorSettings
from prefect_responses.emulator.streaming.event_log import event_log

if TYPE_CHECKING:
    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.stored_responses import StoredResponse


class _Order(BaseModel):
    """A body of the control plane; a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")


class ResetOrder(_Order):
    """Return to the start, with another seed where one is given."""

    seed: int | None = None


class ClockOrder(_Order):
    """Set how time passes, to which moment, and how far it jumps."""

    mode: ClockMode | None = None
    now: float | None = None
    advance: float = Field(default=0.0, ge=0)


class LatencyOrder(_Order):
    """Use another latency profile from now on."""

    profile: str


class ScriptsOrder(_Order):
    """Add replies for the model `script`."""

    replies: list[ScriptedReply]
    replace: bool = False


class CutOrder(_Order):
    """Cut all streams that are open."""

    ending: StreamEnding = StreamEnding.RESET


class FaultsOrder(_Order):
    """Add fault rules."""

    rules: list[FaultRule]
    replace: bool = False


def control_routes(emulation: Emulation) -> APIRouter:
    """Make the routes of the control plane."""
    router = APIRouter(prefix=CONTROL_PREFIX)
    _add_setting_routes(router, emulation)
    _add_fault_and_script_routes(router, emulation)
    _add_reading_routes(router, emulation)
    return router


def _add_setting_routes(router: APIRouter, emulation: Emulation) -> None:
    @router.post("/reset")
    async def reset(order: ResetOrder | None = None) -> dict[str, Any]:
        emulation.reset(order.seed if order else None)
        return emulation.state()

    @router.get("/clock")
    async def read_clock() -> dict[str, Any]:
        return {"mode": emulation.clock.mode, "now": emulation.clock.now()}

    @router.post("/clock")
    async def set_clock(order: ClockOrder) -> dict[str, Any]:
        if order.mode is not None or order.now is not None:
            emulation.clock.set_mode(order.mode or emulation.clock.mode, order.now)
        emulation.clock.advance(order.advance)
        return await read_clock()

    @router.get("/settings")
    async def read_settings() -> dict[str, Any]:
        return _shown(emulation.settings)

    @router.post("/settings")
    async def change_settings(changes: dict[str, Any]) -> dict[str, Any]:
        return _change_settings(emulation, changes)

    @router.post("/latency")
    async def set_latency(order: LatencyOrder) -> dict[str, Any]:
        return _change_settings(emulation, {"latency": order.profile})


def _change_settings(emulation: Emulation, changes: dict[str, Any]) -> dict[str, Any]:
    current = emulation.settings.model_dump()
    try:
        emulation.change_settings(EmulatorSettings.model_validate(current | changes))
    except ValidationError as exc:
        raise RequestValidationError(exc.errors(include_context=False)) from exc
    return _shown(emulation.settings)


def _shown(settings: EmulatorSettings) -> dict[str, Any]:
    """Write the settings without the keys: whatever looks like a key may be one."""
    return settings.model_dump() | {"rejected_keys": len(settings.rejected_keys)}


def _add_fault_and_script_routes(router: APIRouter, emulation: Emulation) -> None:
    @router.get("/faults")
    async def list_faults() -> dict[str, Any]:
        return {"rules": emulation.faults.describe()}

    @router.post("/faults")
    async def add_faults(order: FaultsOrder) -> dict[str, Any]:
        if order.replace:
            emulation.faults.clear()
        emulation.faults.extend(order.rules)
        return await list_faults()

    @router.delete("/faults")
    async def clear_faults() -> dict[str, Any]:
        emulation.faults.clear()
        return await list_faults()

    @router.post("/streams/cut")
    async def cut_streams(order: CutOrder | None = None) -> dict[str, Any]:
        return {"cut": emulation.cut_streams((order or CutOrder()).ending)}

    @router.get("/scripts")
    async def list_scripts() -> dict[str, Any]:
        return {"replies": emulation.script.remaining()}

    @router.post("/scripts")
    async def add_scripts(order: ScriptsOrder) -> dict[str, Any]:
        if order.replace:
            emulation.script.clear()
        emulation.script.extend(order.replies)
        return await list_scripts()

    @router.delete("/scripts")
    async def clear_scripts() -> dict[str, Any]:
        emulation.script.clear()
        return await list_scripts()


def _add_reading_routes(router: APIRouter, emulation: Emulation) -> None:
    @router.get("/state")
    async def read_state() -> dict[str, Any]:
        return emulation.state()

    @router.get("/responses")
    async def list_responses() -> Response:
        now = emulation.clock.now()
        return _json({"responses": [_summary(r, now) for r in emulation.responses]})

    @router.get("/responses/{response_id}/events")
    async def list_events(response_id: str) -> Response:
        now = emulation.clock.now()
        response = emulation.responses.known(response_id)
        if response is None:
            raise HTTPException(404)
        return _json({"events": [e._asdict() for e in event_log(response, now)], "now": now})

    @router.get("/journal")
    async def read_journal(
        method: str | None = None, path_prefix: str = "", since: int = 0
    ) -> Response:
        return _json({"entries": list(emulation.journal.entries(method, path_prefix, since))})

    @router.get("/journal/creates")
    async def read_creates() -> Response:
        return _json(emulation.journal.creates())


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def _summary(response: StoredResponse, now: float) -> dict[str, Any]:
    status = response.status_at(now)
    return {
        "id": response.id,
        "status": status.value,
        "model": response.parameters["model"],
        "background": response.background,
        "store": response.parameters["store"],
        "metadata": response.parameters["metadata"],
        "stream": response.stream is not None,
        "input_digest": response.input_digest,
        "accepted_at": response.timeline.accepted_at,
        "terminal_at": response.timeline.terminal_at() if status in TERMINAL else None,
        "gone_at": response.gone_at,
    }
