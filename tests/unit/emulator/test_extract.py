"""The model `extract` fills a schema from the text, and what it writes fits the schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from prefect_responses.emulator.models import extract
from prefect_responses.emulator.models.answers import Question, spoken_text

_TEXT = """Read the note and fill the form.
---
Version 2.4 was released on 2024-05-06. The scheduler crashed when a worker restarted; fixed.
The `run_deployment` alias is deprecated and will be removed.
Severity: major
Downloads: 12,500
Contact maintainers@example.org for help."""


def fill(schema: dict[str, Any], text: str = _TEXT) -> Any:
    return json.loads(spoken_text(extract.answer(Question("extract", text, schema))))


def read(name: str, node: dict[str, Any], text: str = _TEXT) -> Any:
    return fill({"type": "object", "properties": {name: node}, "required": [name]}, text)[name]


_NULLABLE_DATE = {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}

RULES: list[tuple[str, dict[str, Any], Any]] = [
    ("category", {"enum": ["feature", "bug", "other"]}, "bug"),
    ("severity", {"enum": ["minor", "major"]}, "major"),
    ("team", {"enum": ["sales", "other"]}, "other"),
    ("team", {"enum": ["a", "b"], "description": "a: taxes and law; b: workers, schedulers"}, "b"),
    ("mentions_deprecation", {"type": "boolean"}, True),
    ("mentions_security", {"type": "boolean"}, False),
    ("flag", {"type": "boolean", "description": "removal"}, True),
    ("downloads", {"type": "integer"}, 12500),
    ("downloads", {"type": "integer", "maximum": 100}, 100),
    ("year", {"type": ["integer", "null"]}, 2024),
    ("released_on", {"type": "string", "format": "date"}, "2024-05-06"),
    ("contact", {"type": "string", "format": "email"}, "maintainers@example.org"),
    ("deadline", _NULLABLE_DATE, "2024-05-06"),
    ("severity", {"type": "string"}, "major"),
    ("title", {"type": "string"}, "Version 2.4 was released on 2024-05-06."),
    ("title", {"type": "string", "maxLength": 20}, "Version 2.4 was"),
    ("price", {"anyOf": [{"type": "number"}, {"type": "null"}]}, None),
    ("kind", {"const": "note"}, "note"),
    ("version", {"type": "string", "pattern": r"^\d+\.\d+$"}, "2.4"),
    ("ticket", {"type": "string", "pattern": r"^[a-z]*$"}, "was"),
    ("at", {"type": "string", "format": "date-time"}, "2024-05-06T00:00:00Z"),
    ("id", {"type": "string", "format": "uuid"}, "00000000-0000-0000-0000-000000000000"),
    ("release_date", {"type": "string"}, "2024-05-06"),
    (
        "about_the_worker",
        {"type": "string"},
        "The scheduler crashed when a worker restarted; fixed.",
    ),
    ("code", {"enum": [1, 12500]}, 12500),
    ("ok", {"enum": [None, True]}, None),
    ("nothing", {"type": "null"}, None),
    ("twos", {"type": "array", "items": {"type": "integer"}, "maxItems": 2}, [2, 2024]),
    ("tags", {"type": "array", "uniqueItems": True, "items": {"type": "boolean"}}, []),
    ("labels", {"type": "array", "items": {"enum": ["docs", "bug", "feature"]}}, ["bug"]),
    ("empty", {"type": "array", "items": {"type": "string"}, "maxItems": 0}, []),
]


@pytest.mark.parametrize(("name", "node", "value"), RULES)
def test_a_property_is_read_by_rule(name: str, node: dict[str, Any], value: Any) -> None:
    assert read(name, node) == value


def test_without_a_schema_it_says_the_first_sentences() -> None:
    answer = extract.answer(Question("extract", "Go.\n---\nOne. Two. Three."))

    assert spoken_text(answer) == "One. Two."


def test_keywords_are_the_frequent_words() -> None:
    words = read(
        "keywords",
        {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "Caches help. A cache of caches. Workers restart, workers wait, workers end.",
    )

    assert words == ["workers", "caches"]


def test_a_list_of_objects_has_one_for_each_bullet() -> None:
    item = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}

    found = read("changes", {"type": "array", "items": item}, "Changes\n- Add A.\n- Drop B.\n")

    assert found == [{"title": "Add A."}, {"title": "Drop B."}]


def test_references_are_followed_and_recursion_ends() -> None:
    node = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            "left": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        },
        "required": ["title", "children", "left"],
        "additionalProperties": False,
    }
    schema = node | {"$defs": {"Node": node}}

    Draft202012Validator(schema).validate(fill(schema))


def test_the_answer_depends_on_text_and_schema_only() -> None:
    schema = {"type": "object", "properties": {name: node for name, node, _ in RULES}}

    assert fill(schema) == fill(schema)


def test_key_order_follows_the_schema() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}

    assert list(fill(schema)) == ["b", "a"]


_NAMES = st.sampled_from(
    ["title", "summary", "keywords", "severity", "mentions_deprecation", "due_date", "points"]
)


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    shortest = draw(st.integers(0, 30))
    node: dict[str, Any] = {"type": "string", "minLength": shortest}
    if draw(st.booleans()):
        node["maxLength"] = shortest + draw(st.integers(0, 30))
    return draw(st.sampled_from([node, {"type": "string", "format": "date"}]))


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["integer", "number"]))
    low = draw(st.integers(-50, 50))
    node: dict[str, Any] = {"type": kind}
    node[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    node[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.integers(4, 40))
    if draw(st.booleans()):
        node["multipleOf"] = draw(st.integers(1, 2))
    return node


def arrays(items: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted)
    return st.builds(
        lambda item, size: {
            "type": "array",
            "items": item,
            "minItems": size[0],
            "maxItems": size[1],
        },
        items,
        sizes,
    )


def objects(nodes: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(_NAMES, nodes, max_size=4).map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )


_LABELS = st.lists(st.sampled_from(["bug", "feature", "other", "a b"]), min_size=1, unique=True)
_LEAVES = (
    strings()
    | numbers()
    | st.just({"type": "boolean"})
    | _LABELS.map(lambda labels: {"type": "string", "enum": labels})
)
_NODES = st.recursive(
    _LEAVES,
    lambda inner: (
        arrays(inner) | objects(inner) | inner.map(lambda node: {"anyOf": [node, {"type": "null"}]})
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(objects(_NODES), st.text(max_size=60) | st.just(_TEXT))
def test_what_is_written_always_fits_the_schema(schema: dict[str, Any], text: str) -> None:
    Draft202012Validator(schema).validate(fill(schema, text))
