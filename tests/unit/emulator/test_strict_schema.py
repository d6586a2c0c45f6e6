"""Strict structured output takes the schemas that the API takes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel

from prefect_responses.emulator.strict_schema import problem_of


def strict(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def nested(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        node = strict(inner=node)
    return node


_TEXT = {"type": "string"}
_MANY = [f"label-{n}" for n in range(1001)]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "array", "items": _TEXT}, "got 'type: \"array\"'"),
    ({"anyOf": [strict(a=_TEXT)]}, "root may not be 'anyOf'"),
    ({}, "got 'type: \"None\"'"),
    ({"type": "object", "properties": {}}, "'additionalProperties' is required"),
    (strict(a=_TEXT) | {"additionalProperties": True}, "'additionalProperties' is required"),
    (strict(a=_TEXT, b=_TEXT) | {"required": ["a"]}, "Missing 'b'"),
    (strict(a=_TEXT) | {"required": ["a", "z"]}, "names 'z'"),
    (strict(a={"type": "object", "properties": {"b": _TEXT}}), "context=('properties', 'a')"),
    (strict(a={"allOf": [_TEXT]}), "'allOf' is not permitted"),
    (strict(a={"not": _TEXT}), "'not' is not permitted"),
    (strict(a={"type": "string", "if": {}}), "'if' is not permitted"),
    (strict(a=_TEXT) | {"dependentRequired": {}}, "'dependentRequired' is not permitted"),
    (strict(a={"type": "array"}), "array schema missing items"),
    (strict(a={"description": "anything"}), "must have a 'type' key"),
    (strict(a={"$ref": "#/$defs/Gone"}), "'#/$defs/Gone' which was not found"),
    (strict(a={"type": "string", "enum": []}), "at least one value"),
    (strict(a={"type": "string", "enum": _MANY}), "1000 enum values"),
    (strict(a={"enum": ["x" * 61 + str(n) for n in range(251)]}), "15000 characters"),
    (strict(**{f"p{n}": _TEXT for n in range(5001)}), "5000 properties"),
    (strict(**{f"{n}{'x' * 1300}": _TEXT for n in range(100)}), "120000 characters"),
    (nested(11), "10 levels of nesting"),
]


@pytest.mark.parametrize(("schema", "words"), REFUSED)
def test_a_schema_outside_the_rules_is_refused(schema: dict[str, Any], words: str) -> None:
    assert words in (problem_of(schema) or "")


@pytest.mark.parametrize(
    "schema",
    [
        strict(),
        strict(a=_TEXT, b={"type": ["integer", "null"]}, c={"const": 1}),
        strict(a={"anyOf": [_TEXT, {"type": "null"}]}, b={"type": "array", "items": _TEXT}),
        strict(a={"$ref": "#"}),
        strict(a={"$ref": "#/$defs/N"}) | {"$defs": {"N": strict(n={"$ref": "#/$defs/N"})}},
        nested(10),
    ],
)
def test_a_schema_within_the_rules_is_taken(schema: dict[str, Any]) -> None:
    assert problem_of(schema) is None


def test_what_the_sdk_makes_of_a_model_is_taken() -> None:
    class Kind(StrEnum):
        A = "a"
        B = "b"

    class Part(BaseModel):
        name: str
        kind: Kind | None

    class Whole(BaseModel):
        parts: list[Part]
        main: Part
        count: int = 0

    assert problem_of(to_strict_json_schema(Whole)) is None
