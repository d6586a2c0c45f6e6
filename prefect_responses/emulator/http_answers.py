"""Write answers as HTTP: in the API's form, in a vendor's, or as the error of a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import orjson
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.faults import ErrorBody
from prefect_responses.emulator.response_objects import minimal

if TYPE_CHECKING:
    from prefect_responses.emulator.faults import ErrorAnswer, Vendor

_PROXY_PAGE = (
    "<html><head><title>{status}</title></head><body><center><h1>{status} {message}</h1></center>"
    "<hr><center>proxy</center></body></html>"
)


def error_answer(fault: ErrorAnswer) -> Response:
    """Write the error that a fault describes."""
    known = envelopes.known_error(str(fault.code or "server_error"))
    error = envelopes.ApiError(
        fault.status or known.status,
        fault.message or known.message,
        fault.type or known.type,
        fault.param if fault.param is not None else known.param,
        fault.code,
    )
    response = _error_body(error, fault.body)
    response.headers.update(_waiting_headers(fault))
    return response


def _waiting_headers(fault: ErrorAnswer) -> dict[str, str]:
    should_retry = None if fault.should_retry is None else str(fault.should_retry).lower()
    named = {
        "retry-after": fault.retry_after,
        "retry-after-ms": fault.retry_after_ms,
        "x-should-retry": should_retry,
    }
    given = {name: str(value) for name, value in named.items() if value is not None}
    return given | fault.headers


def _error_body(error: envelopes.ApiError, kind: ErrorBody) -> Response:
    match kind:
        case ErrorBody.ENVELOPED:
            return _json(error.status, error.envelope())
        case ErrorBody.BARE:
            return Response(status_code=error.status)
        case ErrorBody.DETAIL:
            return _json(error.status, {"detail": error.message})
        case ErrorBody.PLAIN:
            return PlainTextResponse(error.message, error.status)
        case ErrorBody.HTML:
            page = _PROXY_PAGE.format(status=error.status, message=error.message)
            return HTMLResponse(page, error.status)
        case _:
            assert_never(kind)


def error_response(error: envelopes.ApiError, vendor: Vendor) -> Response:
    """Write a refusal, as the vendor writes them."""
    if vendor.integer_error_codes:
        error.code = error.status
    response = _error_body(error, vendor.errors)
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    return response


def json_response(status: int, body: dict[str, Any], vendor: Vendor) -> Response:
    """Write an answer, as the vendor writes them."""
    if vendor.integer_error_codes and body.get("error"):
        body = {**body, "error": {**body["error"], "code": 500}}
    if vendor.minimal_bodies and body.get("object") == "response":
        body = minimal(body)
    return _json(status, body)


def _json(status: int, body: Any) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
