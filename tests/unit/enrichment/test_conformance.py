from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from prefect_responses.enrichment.conformance import first_mismatch
from prefect_responses.enrichment.strict_schemas import strict_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^a", "maxLength": 3},
        "size": {"type": "integer", "minimum": 0, "exclusiveMaximum": 4, "multipleOf": 2},
        "ratio": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]},
        "kind": {"enum": ["a", 1, None]},
        "yes": {"const": True},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 2},
        "next": {"anyOf": [{"$ref": "#/$defs/Next"}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {
        "Next": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Next"}, {"type": "null"}]}},
            "required": ["next"],
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    ("value", "mismatch"),
    [
        ({"name": "a"}, None),
        ({"name": "a", "size": 2.0, "ratio": None, "kind": 1, "yes": True, "tags": ["x"]}, None),
        ({}, "$.name is missing"),
        ([], "$ is not object"),
        ({"name": "b"}, "$.name does not match its pattern"),
        ({"name": "aaaa"}, "$.name has 4 characters"),
        ({"name": "a", "size": -2}, "$.size is out of range"),
        ({"name": "a", "size": 4}, "$.size is out of range"),
        ({"name": "a", "size": 1}, "$.size is no multiple of 2"),
        ({"name": "a", "size": True}, "$.size is not integer"),
        ({"name": "a", "size": 1.5}, "$.size is not integer"),
        ({"name": "a", "ratio": 0}, "$.ratio fits no variant of its union"),
        ({"name": "a", "kind": True}, "$.kind is none of the values of its enum"),
        ({"name": "a", "yes": 1}, "$.yes is not True"),
        ({"name": "a", "tags": ["x", "x"]}, "$.tags repeats an item"),
        ({"name": "a", "tags": [1]}, "$.tags[0] is not string"),
        ({"name": "a", "tags": ["x", "y", "z"]}, "$.tags has 3 items"),
        ({"name": "a", "other": 1}, "$.other is not in the schema"),
        ({"name": "a", "next": {"next": {"next": None}}}, None),
        ({"name": "a", "next": {"next": {}}}, "$.next fits no variant of its union"),
    ],
)
def test_the_first_mismatch_is_named(value: Any, mismatch: str | None) -> None:
    strict_schema(SCHEMA)
    assert first_mismatch(value, SCHEMA) == mismatch


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([0.5, 2.0, "a", "ab", "b", "aaaa"]),
)
keys = st.sampled_from([*SCHEMA["properties"], "other"])
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
)


@settings(max_examples=400)
@given(
    st.dictionaries(keys, values) | st.dictionaries(keys, leaves).map(lambda d: {"name": "a", **d})
)
def test_the_judgement_is_that_of_the_jsonschema_library(value: Any) -> None:
    assert (first_mismatch(value, SCHEMA) is None) == Draft202012Validator(SCHEMA).is_valid(value)


def test_a_pattern_that_python_cannot_read_is_left_to_the_server() -> None:
    assert first_mismatch("a", {"type": "string", "pattern": r"\p{L}"}) is None


def test_an_answer_nested_without_end_is_refused() -> None:
    value: Any = None
    for _ in range(300):
        value = {"next": value}
    assert first_mismatch({"name": "a", **value}, SCHEMA) == "$.next fits no variant of its union"
