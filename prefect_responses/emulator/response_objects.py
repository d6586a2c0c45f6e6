"""Write response objects: every field of the API, nulls included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from prefect_responses.emulator.lifecycle import Status

if TYPE_CHECKING:
    from prefect_responses.emulator.stored_responses import StoredResponse

#: What the API reports for a parameter that the request leaves out or sends as null.
_DEFAULTS: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "moderation": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def echoed_parameters(request: dict[str, Any]) -> dict[str, Any]:
    """Write the part of a response object that repeats the request."""
    given = {key: request[key] for key in _DEFAULTS if request.get(key) is not None}
    conversation = request.get("conversation")
    return {
        **_DEFAULTS,
        **given,
        "model": request["model"],
        "conversation": {"id": conversation} if isinstance(conversation, str) else conversation,
        "reasoning": {"effort": None, "summary": None, **(request.get("reasoning") or {})},
        "service_tier": _service_tier(request.get("service_tier")),
        "text": _text(request.get("text") or {}),
        "tools": [_tool(tool) for tool in request.get("tools") or ()],
    }


def _service_tier(asked: str | None) -> str:
    match asked:
        case None | "auto":
            return "default"
        case "fast":
            return "priority"
        case _:
            return asked


def _text(text: dict[str, Any]) -> dict[str, Any]:
    chosen = text.get("format") or {"type": "text"}
    if chosen["type"] == "json_schema":
        chosen = {"strict": False, **chosen}
    return {"format": chosen, "verbosity": text.get("verbosity") or "medium"}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}


def response_body(response: StoredResponse, status: Status) -> dict[str, Any]:
    """Write the response object as it is in a status."""
    return {
        "id": response.id,
        "object": "response",
        "created_at": int(response.timeline.accepted_at),
        "status": status.value,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        **response.parameters,
        **_outcome(response, status),
    }


def minimal(body: dict[str, Any]) -> dict[str, Any]:
    """Leave of a response object what some vendors send."""
    return {key: body[key] for key in ("id", "status", "output", "error") if body.get(key)}


def _outcome(response: StoredResponse, status: Status) -> dict[str, Any]:
    match status:
        case Status.QUEUED | Status.IN_PROGRESS | Status.CANCELLED:
            return {}
        case Status.COMPLETED:
            completed_at = response.timeline.completes_anyway_at or response.timeline.ends_at
            return {
                "completed_at": int(completed_at),
                "output": response.output,
                "usage": response.usage,
            }
        case Status.INCOMPLETE:
            return {
                "incomplete_details": {"reason": response.answer.incomplete_reason},
                "output": response.output,
                "usage": response.usage,
            }
        case Status.FAILED:
            return {"error": response.answer.error, "output": response.output}
        case _:
            assert_never(status)
