"""Errors in the API's words: status, envelope and the sentences of the real service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

INVALID_REQUEST = "invalid_request_error"
BAD_REQUEST = 400


class ErrorFacts(NamedTuple):
    """What belongs to an error code."""

    status: int
    type: str
    message: str
    param: str | None = None


#: The codes that a fault can name without spelling out the rest.
KNOWN_ERRORS: dict[str, ErrorFacts] = {
    "invalid_api_key": ErrorFacts(401, INVALID_REQUEST, "Incorrect API key provided."),
    "unsupported_country_region_territory": ErrorFacts(
        403, "request_forbidden", "Country, region, or territory not supported."
    ),
    "model_not_found": ErrorFacts(404, INVALID_REQUEST, "The model does not exist.", "model"),
    "conversation_locked": ErrorFacts(
        400,
        INVALID_REQUEST,
        "Another process is currently operating on this conversation. "
        "Please retry in a few seconds.",
        "conversation",
    ),
    "context_length_exceeded": ErrorFacts(
        400,
        INVALID_REQUEST,
        "Your input exceeds the context window of this model. "
        "Please adjust your input and try again.",
        "input",
    ),
    "invalid_prompt": ErrorFacts(400, INVALID_REQUEST, "Invalid prompt.", "input"),
    "rate_limit_exceeded": ErrorFacts(
        429, "requests", "Rate limit reached for requests. Please try again later."
    ),
    "insufficient_quota": ErrorFacts(
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "credit_balance_exhausted": ErrorFacts(
        429, "insufficient_quota", "Your credit balance is exhausted."
    ),
    "organization_spend_limit_exceeded": ErrorFacts(
        429, "insufficient_quota", "Your organization has reached its spend limit."
    ),
    "project_spend_limit_exceeded": ErrorFacts(
        429, "insufficient_quota", "Your project has reached its spend limit."
    ),
    "organization_usage_limit_exceeded": ErrorFacts(
        429, "insufficient_quota", "Your organization has reached its usage limit."
    ),
    "resource_unavailable": ErrorFacts(
        429, "resource_unavailable", "Flex capacity is currently unavailable. Try again later."
    ),
    "server_error": ErrorFacts(
        500,
        "server_error",
        "The server had an error while processing your request. Sorry about that!",
    ),
    "slow_down": ErrorFacts(
        503, "service_unavailable_error", "Slow Down. Reduce your request rate and ramp up again."
    ),
    "server_is_overloaded": ErrorFacts(
        503, "service_unavailable_error", "The server is currently overloaded."
    ),
}


@dataclass(slots=True)
class ApiError(Exception):
    """A request was refused; the answer carries these facts."""

    status: int
    message: str
    type: str = INVALID_REQUEST
    param: str | None = None
    code: str | int | None = None
    retry_after: int | None = None

    def __post_init__(self) -> None:
        """Show the message where the error is printed."""
        Exception.__init__(self, self.message)

    def envelope(self) -> dict[str, Any]:
        """Write the error as the API does."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def known_error(code: str) -> ApiError:
    """Make the error that belongs to a code; an unknown code is a server error of that name."""
    facts = KNOWN_ERRORS.get(code, KNOWN_ERRORS["server_error"])
    return ApiError(facts.status, facts.message, facts.type, facts.param, code)


def missing_key() -> ApiError:
    """Refuse a request without a key."""
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        code="invalid_api_key",
    )


def response_not_found(response_id: str) -> ApiError:
    """Say that there is no such response, never was, or is no longer."""
    return ApiError(404, f"Response with id '{response_id}' not found.")


def model_not_found(model: str) -> ApiError:
    """Say that the model does not exist."""
    return ApiError(
        404,
        f"The model '{model}' does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )


def previous_response_not_found(response_id: str) -> ApiError:
    """Refuse to continue from a response that is not stored or not finished."""
    return ApiError(
        400,
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def cannot_cancel(what: str) -> ApiError:
    """Refuse to cancel."""
    return ApiError(400, f"Cannot cancel a {what}.", param="response_id")


def cannot_delete_in_flight() -> ApiError:
    """Refuse to delete what is still made."""
    return ApiError(400, "Cannot delete an in-flight response.", param="response_id")


def not_created_with(flag: str) -> ApiError:
    """Refuse to stream a response that was not created for it."""
    return ApiError(
        400,
        f"This response cannot be streamed because it was not created with {flag}=true.",
        param="stream",
    )


def no_longer_streamed(minutes: float) -> ApiError:
    """Refuse to replay a stream that is too old."""
    return ApiError(
        400,
        f"This response can no longer be streamed because it is more than {minutes:g} minutes old",
        param="stream",
    )


def unsupported_parameter(param: str, why: str) -> ApiError:
    """Refuse a parameter that the API knows and this model or server does not take."""
    return ApiError(
        400,
        f"Unsupported parameter: '{param}' {why}",
        param=param,
        code="unsupported_parameter",
    )


def malformed_json() -> ApiError:
    """Refuse a body that is not a JSON object."""
    return ApiError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
        "using your HTTP library correctly. The API expects a JSON payload.)",
    )


def unknown_url(method: str, path: str) -> ApiError:
    """Say that nothing is served there."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> ApiError:
    """Say that something is served there, by other methods."""
    return ApiError(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
