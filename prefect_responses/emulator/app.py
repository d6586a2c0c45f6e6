"""The routes of the imitated API and of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.cancellation import cancel_response
from prefect_responses.emulator.control import control_routes
from prefect_responses.emulator.creation import create_response
from prefect_responses.emulator.deletion import delete_response
from prefect_responses.emulator.exchange_handling import ImitatedApi, endpoint
from prefect_responses.emulator.faults import Vendor
from prefect_responses.emulator.http_answers import error_response
from prefect_responses.emulator.listing import list_input_items, list_responses
from prefect_responses.emulator.retrieval import (
    list_models,
    retrieve_model,
    retrieve_response,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from prefect_responses.emulator.emulation import Emulation

_ROUTES = (
    ("POST", "/v1/responses", create_response),
    ("GET", "/v1/responses", list_responses),
    ("GET", "/v1/responses/{response_id}", retrieve_response),
    ("DELETE", "/v1/responses/{response_id}", delete_response),
    ("GET", "/v1/responses/{response_id}/input_items", list_input_items),
    ("POST", "/v1/responses/{response_id}/cancel", cancel_response),
    ("GET", "/v1/models", list_models),
    ("GET", "/v1/models/{model}", retrieve_model),
)


def make_app(emulation: Emulation) -> ASGIApp:
    """Make the application that serves an emulation."""
    app = FastAPI(title="Responses API emulator", openapi_url=None)
    for method, path, handler in _ROUTES:
        app.router.add_route(path, endpoint(emulation, handler), [method])
    app.include_router(control_routes(emulation))
    app.add_exception_handler(HTTPException, _refuse)
    return ImitatedApi(app, emulation)


async def _refuse(request: Request, exc: Exception) -> Response:
    """Answer for a URL or a method that is not served, in the API's words."""
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    refusals = {404: envelopes.unknown_url, 405: envelopes.wrong_method}
    refusal = refusals.get(status)
    if refusal is None:
        return error_response(envelopes.known_error("server_error"), Vendor(kind="vendor"))
    return error_response(refusal(request.method, request.url.path), Vendor(kind="vendor"))
