"""Create refuses what the API refuses, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_responses.emulator.envelopes import ApiError
from prefect_responses.emulator.request_validation import validate_create

_FORMAT = {"type": "json_schema", "name": "note", "schema": {"type": "object"}}
_LONG = "x" * 600

#: What is added to a good body, and how it is refused: code, param, words of the message.
REFUSED: list[tuple[dict[str, Any], str, str | None, str]] = [
    ({"colour": 1}, "unknown_parameter", "colour", "Unknown parameter: 'colour'."),
    ({"text": {"colour": 1}}, "unknown_parameter", "text.colour", "Unknown parameter"),
    ({"model": None}, "invalid_type", "model", "expected a string, but got null instead"),
    ({"model": 5}, "invalid_type", "model", "expected a string, but got an integer instead"),
    ({"input": 5}, "invalid_type", "input", "expected a string or an array, but got an integer"),
    ({"input": ["x"]}, "invalid_type", "input[0]", "expected an object, but got a string"),
    ({"input": [{"role": "me"}]}, "invalid_value", "input[0].role", "Invalid value: 'me'"),
    ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content", "Missing"),
    ({"background": "yes"}, "invalid_type", "background", "expected a boolean"),
    ({"store": 1}, "invalid_type", "store", "expected a boolean, but got an integer"),
    ({"temperature": "hot"}, "invalid_type", "temperature", "expected a decimal"),
    ({"temperature": 2.5}, "decimal_above_max_value", "temperature", "<= 2, but got 2.5"),
    ({"top_p": -1}, "decimal_below_min_value", "top_p", "Expected a value >= 0"),
    (
        {"max_output_tokens": 5},
        "integer_below_min_value",
        "max_output_tokens",
        "Expected a value >= 16, but got 5 instead.",
    ),
    ({"max_output_tokens": 16.5}, "invalid_type", "max_output_tokens", "expected an integer"),
    ({"top_logprobs": 21}, "integer_above_max_value", "top_logprobs", "<= 20"),
    ({"truncation": "some"}, "invalid_value", "truncation", "'auto', and 'disabled'"),
    ({"service_tier": "slow"}, "invalid_value", "service_tier", "Supported values are"),
    ({"tools": [{}]}, "missing_required_parameter", "tools[0].type", "Missing"),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name", "Missing"),
    (
        {"metadata": {str(n): "v" for n in range(17)}},
        "object_above_max_properties",
        "metadata",
        "at most 16 properties, but got an object with 17 properties",
    ),
    ({"metadata": {"k" * 65: "v"}}, "string_above_max_length", "metadata", "length 64"),
    ({"metadata": {"k": _LONG}}, "string_above_max_length", "metadata.k", "length 512"),
    ({"metadata": {"k": 1}}, "invalid_type", "metadata.k", "expected a string"),
    ({"safety_identifier": _LONG}, "string_above_max_length", "safety_identifier", "128"),
    ({"conversation": {}}, "missing_required_parameter", "conversation.id", "Missing"),
    (
        {"context_management": [{"type": "compaction", "compact_threshold": 10}]},
        "integer_below_min_value",
        "context_management[0].compact_threshold",
        ">= 1000",
    ),
    (
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        "mutually_exclusive_parameters",
        "previous_response_id",
        "Mutually exclusive",
    ),
    (
        {"stream_options": {"include_obfuscation": False}},
        "unsupported_parameter",
        "stream_options",
        "only allowed with 'stream'",
    ),
    (
        {"stream": True, "stream_options": {"include_usage": True}},
        "unknown_parameter",
        "stream_options.include_usage",
        "Unknown parameter",
    ),
    ({"text": {"format": {}}}, "missing_required_parameter", "text.format.type", "Missing"),
    ({"text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type", "'json_schema'"),
    (
        {"text": {"format": {"type": "json_schema", "schema": {}}}},
        "missing_required_parameter",
        "text.format.name",
        "Missing",
    ),
    (
        {"text": {"format": {**_FORMAT, "name": "a b"}}},
        "invalid_value",
        "text.format.name",
        "pattern",
    ),
    (
        {"text": {"format": {**_FORMAT, "strict": True}}},
        "invalid_json_schema",
        "text.format.schema",
        "Invalid schema for response_format 'note': In context=(), 'additionalProperties'",
    ),
]


@pytest.mark.parametrize(("change", "code", "param", "words"), REFUSED)
def test_a_bad_body_is_refused(
    change: dict[str, Any], code: str, param: str | None, words: str
) -> None:
    with pytest.raises(ApiError) as refused:
        validate_create({"model": "echo", "input": "Hi."} | change)

    error = refused.value
    assert (error.status, error.type) == (400, "invalid_request_error")
    assert (error.code, error.param) == (code, param)
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "param"), [({"input": "Hi."}, "model"), ({"model": "echo"}, "input"), ({}, "model")]
)
def test_what_is_missing_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        validate_create(body)

    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", param)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"metadata": {str(n): "v" * 512 for n in range(16)}},
        {"temperature": 1, "top_p": 1.0, "max_output_tokens": 16},
        {"instructions": None, "metadata": None, "text": None, "tools": None, "stream": None},
        {"text": {"format": _FORMAT}},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": []}]},
        {"conversation": {"id": "conv_1"}},
        {"model": "echo", "stream": False, "background": False, "store": True},
    ],
)
def test_a_good_body_passes(change: dict[str, Any]) -> None:
    validate_create({"model": "echo", "input": "Hi."} | change)


def test_unknown_parameters_can_be_let_through() -> None:
    validate_create({"model": "echo", "input": "Hi.", "colour": 1}, refuse_unknown=False)
