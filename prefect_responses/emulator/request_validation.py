"""Check the body of create by a table, and refuse it in the API's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator import envelopes, strict_schema
from prefect_responses.emulator.envelopes import ApiError
from prefect_responses.emulator.parameter_rules import (
    Kind,
    chosen,
    invalid_type,
    kind_of,
    limited_string,
    missing,
    one_of,
    ranged,
    string_too_long,
    too_many_properties,
    unknown,
)

if TYPE_CHECKING:
    from prefect_responses.emulator.parameter_rules import Rule

_METADATA_PAIRS = 16
_METADATA_KEY_LENGTH = 64
_METADATA_VALUE_LENGTH = 512
_INPUT_LENGTH = 10_485_760
_FORMAT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def validate_create(body: dict[str, Any], *, refuse_unknown: bool = True) -> None:
    """Raise the API's refusal for the first thing that is wrong with the body."""
    for param, value in body.items():
        rule = PARAMETERS.get(param)
        if rule is not None:
            rule(param, value)
        elif refuse_unknown:
            raise unknown(param)
    _check_presence(body)
    _check_combinations(body)


def _check_presence(body: dict[str, Any]) -> None:
    if body.get("model") is None and body.get("prompt") is None:
        raise missing("model")
    sources = ("input", "prompt", "previous_response_id", "conversation")
    if all(body.get(source) is None for source in sources):
        raise ApiError(
            400,
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' "
            "must be provided.",
            param="input",
            code="missing_required_parameter",
        )


def _check_combinations(body: dict[str, Any]) -> None:
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        raise ApiError(
            400,
            "Mutually exclusive parameters. Ensure you are only providing one of: "
            "'previous_response_id' or 'conversation'.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise envelopes.unsupported_parameter("stream_options", "is only allowed with 'stream'.")


def _check_input(param: str, value: Any) -> None:
    one_of(Kind.STRING, Kind.ARRAY)(param, value)
    if isinstance(value, str) and len(value) > _INPUT_LENGTH:
        raise string_too_long(param, _INPUT_LENGTH, len(value))
    if not isinstance(value, list):
        return
    for index, item in enumerate(value):
        _check_input_item(f"{param}[{index}]", item)


def _check_input_item(param: str, item: Any) -> None:
    one_of(Kind.OBJECT, nullable=False)(param, item)
    if item.get("type", "message") != "message":
        return
    if "role" not in item and "id" not in item:
        raise missing(f"{param}.role")
    chosen("assistant", "system", "developer", "user")(f"{param}.role", item.get("role"))
    if "content" not in item and "id" not in item:
        raise missing(f"{param}.content")
    one_of(Kind.STRING, Kind.ARRAY)(f"{param}.content", item.get("content"))


def _check_metadata(param: str, value: Any) -> None:
    one_of(Kind.OBJECT)(param, value)
    pairs = value or {}
    if len(pairs) > _METADATA_PAIRS:
        raise too_many_properties(param, _METADATA_PAIRS, len(pairs))
    for key, text in pairs.items():
        if len(key) > _METADATA_KEY_LENGTH:
            raise string_too_long(param, _METADATA_KEY_LENGTH, len(key))
        one_of(Kind.STRING, nullable=False)(f"{param}.{key}", text)
        if len(text) > _METADATA_VALUE_LENGTH:
            raise string_too_long(f"{param}.{key}", _METADATA_VALUE_LENGTH, len(text))


def _fields(rules: dict[str, Rule]) -> Rule:
    """Allow an object of these fields."""

    def check(param: str, value: Any) -> None:
        one_of(Kind.OBJECT)(param, value)
        for key, inner in (value or {}).items():
            rule = rules.get(key)
            if rule is None:
                raise unknown(f"{param}.{key}")
            rule(f"{param}.{key}", inner)

    return check


def _check_format(param: str, value: Any) -> None:
    one_of(Kind.OBJECT)(param, value)
    if value is None:
        return
    if "type" not in value:
        raise missing(f"{param}.type")
    chosen("text", "json_object", "json_schema")(f"{param}.type", value["type"])
    if value["type"] == "json_schema":
        _check_json_schema_format(param, value)


def _check_json_schema_format(param: str, value: dict[str, Any]) -> None:
    for key in ("name", "schema"):
        if key not in value:
            raise missing(f"{param}.{key}")
    one_of(Kind.STRING, nullable=False)(f"{param}.name", value["name"])
    one_of(Kind.OBJECT, nullable=False)(f"{param}.schema", value["schema"])
    one_of(Kind.BOOLEAN)(f"{param}.strict", value.get("strict"))
    if not _FORMAT_NAME.fullmatch(value["name"]):
        raise ApiError(
            400,
            f"Invalid '{param}.name': string does not match pattern. Expected a string that "
            "matches the pattern '^[a-zA-Z0-9_-]+$'.",
            param=f"{param}.name",
            code="invalid_value",
        )
    problem = strict_schema.problem_of(value["schema"]) if value.get("strict") else None
    if problem is not None:
        raise ApiError(
            400,
            f"Invalid schema for response_format '{value['name']}': {problem}",
            param=f"{param}.schema",
            code="invalid_json_schema",
        )


def _check_conversation(param: str, value: Any) -> None:
    one_of(Kind.STRING, Kind.OBJECT)(param, value)
    if isinstance(value, dict) and "id" not in value:
        raise missing(f"{param}.id")


def _check_context_management(param: str, value: Any) -> None:
    one_of(Kind.ARRAY)(param, value)
    for index, entry in enumerate(value or []):
        if kind_of(entry) is not Kind.OBJECT:
            raise invalid_type(f"{param}[{index}]", Kind.OBJECT, kind_of(entry))
        threshold = entry.get("compact_threshold")
        ranged(Kind.INTEGER, low=1000)(f"{param}[{index}].compact_threshold", threshold)


def _check_tools(param: str, value: Any) -> None:
    one_of(Kind.ARRAY)(param, value)
    for index, tool in enumerate(value or []):
        one_of(Kind.OBJECT, nullable=False)(f"{param}[{index}]", tool)
        required = ("type", "name") if tool.get("type") == "function" else ("type",)
        for key in required:
            if key not in tool:
                raise missing(f"{param}[{index}].{key}")


#: Every parameter of create and the rule for its value.
PARAMETERS: dict[str, Rule] = {
    "access_programs": one_of(Kind.OBJECT),
    "background": one_of(Kind.BOOLEAN),
    "context_management": _check_context_management,
    "conversation": _check_conversation,
    "image": one_of(Kind.OBJECT),
    "include": one_of(Kind.ARRAY),
    "input": _check_input,
    "instructions": one_of(Kind.STRING),
    "max_output_tokens": ranged(Kind.INTEGER, low=16),
    "max_tool_calls": ranged(Kind.INTEGER, low=1),
    "metadata": _check_metadata,
    "model": one_of(Kind.STRING, nullable=False),
    "moderation": one_of(Kind.OBJECT),
    "parallel_tool_calls": one_of(Kind.BOOLEAN),
    "previous_response_id": one_of(Kind.STRING),
    "prompt": one_of(Kind.OBJECT),
    "prompt_cache_key": one_of(Kind.STRING),
    "prompt_cache_options": one_of(Kind.OBJECT),
    "prompt_cache_retention": chosen("in_memory", "24h"),
    "reasoning": one_of(Kind.OBJECT),
    "safety_identifier": limited_string(128),
    "service_tier": chosen("auto", "default", "flex", "scale", "priority", "fast", "ultrafast"),
    "store": one_of(Kind.BOOLEAN),
    "stream": one_of(Kind.BOOLEAN),
    "stream_options": _fields({"include_obfuscation": one_of(Kind.BOOLEAN)}),
    "temperature": ranged(Kind.DECIMAL, 0, 2),
    "text": _fields(
        {"format": _check_format, "verbosity": chosen("low", "medium", "high")},
    ),
    "tool_choice": one_of(Kind.STRING, Kind.OBJECT),
    "tools": _check_tools,
    "top_logprobs": ranged(Kind.INTEGER, 0, 20),
    "top_p": ranged(Kind.DECIMAL, 0, 1),
    "truncation": chosen("auto", "disabled"),
    "user": one_of(Kind.STRING),
}
