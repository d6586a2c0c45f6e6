from __future__ import annotations

import copy
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, create_model

from prefect_responses.enrichment.strict_schemas import strict_schema
from prefect_responses.errors import OutputTypeUnsupported

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    """Where somebody lives."""

    street: str
    city: str | None = None


class Person(BaseModel):
    name: str = Field(description="Full name")
    age: Annotated[int, Field(ge=0, le=150)]
    colour: Colour
    mood: Literal["good", "bad"]
    kind: Literal["person"] = "person"
    home: Address = Field(description="Main address")
    others: list[Address] = []
    either: int | Address | None


class Node(BaseModel):
    value: float
    children: list[Node]
    parent: Node | None = None


class Pair(BaseModel):
    left: Address = Field(description="one")
    right: Address = Field(description="other")


class Box(BaseModel, Generic[T]):
    content: T


class Aliased(BaseModel):
    from_: str = Field(alias="from")


class Nothing(BaseModel):
    pass


class Wrapped(BaseModel):
    scores: Annotated[list[float], Field(min_length=1, max_length=3)]
    code: Annotated[str, Field(pattern="^[A-Z]+$")]


AGREED = [Person, Node, Pair, Box[int], Box[Address], Aliased, Nothing, Wrapped, Address]


def without_defaults(node: Any) -> Any:
    """Drop what we leave out and the SDK sends: the API answers `default` with 400."""
    if isinstance(node, dict):
        kept = {k: v for k, v in node.items() if not (k == "default" and "type" in node)}
        return {k: without_defaults(v) for k, v in kept.items()}
    return [without_defaults(each) for each in node] if isinstance(node, list) else node


def orders(node: Any) -> list[list[str]]:
    """Return the order of properties of every object."""
    if isinstance(node, list):
        return [order for each in node for order in orders(each)]
    if not isinstance(node, dict):
        return []
    own = [list(node["properties"])] if "properties" in node else []
    return own + [order for key in sorted(node) for order in orders(node[key])]


@pytest.mark.parametrize("model", AGREED, ids=lambda model: model.__name__)
def test_the_official_sdk_agrees(model: type[BaseModel]) -> None:
    ours = strict_schema(model.model_json_schema())
    theirs = without_defaults(to_strict_json_schema(model))

    assert ours == theirs
    assert orders(ours) == orders(theirs)


names = st.text("abcxyz_", min_size=1, max_size=6).filter(lambda n: n.strip("_") == n)
scalars = st.sampled_from([str, int, float, bool, Colour, Literal["a", "b"], Address])
types = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: t | None if isinstance(t, type) else list[t]),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(
            lambda fields: create_model("M", **{n: (t, ...) for n, t in fields.items()})
        ),
    ),
    max_leaves=6,
)
models = st.dictionaries(names, types, min_size=1, max_size=5).map(
    lambda fields: create_model(
        "Root", **{name: (kind, Field(description=name)) for name, kind in fields.items()}
    )
)


@settings(max_examples=60, deadline=None)
@given(models)
def test_the_official_sdk_agrees_on_any_model(model: type[BaseModel]) -> None:
    assert strict_schema(model.model_json_schema()) == to_strict_json_schema(model)


@settings(max_examples=60, deadline=None)
@given(models)
def test_a_strict_schema_is_strict_already(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    before = copy.deepcopy(schema)
    once = strict_schema(schema)

    assert strict_schema(once) == once
    assert schema == before


def test_properties_keep_the_order_of_the_model() -> None:
    schema = strict_schema(
        create_model("M", z=(str, ...), a=(int, 1), m=(str, "")).model_json_schema()
    )
    assert list(schema["properties"]) == schema["required"] == ["z", "a", "m"]


# --- where we differ from the SDK: it would be answered with 400 ---


def field(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, **more}


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        ({"type": "string", "default": "a"}, {"type": "string"}),
        ({"type": "string", "minLength": 1, "maxLength": 9}, {"type": "string"}),
        ({"type": "string", "format": "uri"}, {"type": "string"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "pattern": "(?=a)b"}, {"type": "string"}),
        ({"type": "string", "examples": ["a"], "unit": "EUR"}, {"type": "string"}),
        ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None], "type": ["string", "integer", "null"]}),
        ({"const": True}, {"const": True, "type": "boolean"}),
        ({"allOf": [{"type": "string"}], "title": "X"}, {"type": "string", "title": "X"}),
        (
            {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
            {"type": "array", "items": {"type": "string"}},
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "null"}], "discriminator": {}},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"properties": {}, "type": ["object", "null"]},
            {
                "type": ["object", "null"],
                "properties": {},
                "required": [],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_what_only_narrows_is_left_out(given_: dict[str, Any], sent: dict[str, Any]) -> None:
    assert strict_schema(field(given_))["properties"]["x"] == sent


def test_a_tagged_union_is_a_plain_one() -> None:
    class Owner(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]
        page: HttpUrl

    pet = strict_schema(Owner.model_json_schema())["properties"]["pet"]
    assert pet["anyOf"] == [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]


def test_a_described_reference_is_inlined_unless_it_recurs() -> None:
    class Tree(BaseModel):
        left: Tree | None
        right: Annotated[Tree, Field(description="again")]

    schema = strict_schema(
        create_model("Root", tree=(Tree, Field(description="x"))).model_json_schema()
    )

    inlined = schema["properties"]["tree"]
    assert (inlined["description"], inlined["type"]) == ("x", "object")
    assert inlined["properties"]["right"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"]["right"] == {"$ref": "#/$defs/Tree"}


def test_a_described_recursion_ends_where_the_sdk_does_not() -> None:
    class Loop(BaseModel):
        again: Annotated[Loop, Field(description="again")]

    with pytest.raises(RecursionError):
        to_strict_json_schema(Loop)
    assert strict_schema(Loop.model_json_schema())["required"] == ["again"]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array", "items": {"type": "string"}}, r"\$: the root is no object: put it into"),
        ({"type": "string"}, r"\$: the root is no object"),
        ({}, r"\$: anything is allowed here \(Any\): name a type"),
        ({"anyOf": [field({"type": "null"})]}, r"\$: the root is a union"),
        (field({}), r"\$\.properties\.x: anything is allowed here"),
        (field(schema=True), r"\$\.properties\.x: anything is allowed here"),
        (field({"type": "array"}), r"\$\.properties\.x\.items: anything is allowed here"),
        (
            field({"type": "object"}),
            r"\$\.properties\.x: an object without properties.*named fields",
        ),
        (
            field({"type": "object", "additionalProperties": {"type": "integer"}}),
            r"\$\.properties\.x: additionalProperties is not false.*a name and a value",
        ),
        (field({"type": "null"}, additionalProperties=True), r"\$: additionalProperties is not"),
        (
            field({"allOf": [{"type": "string"}, {"title": "a"}]}),
            r"\$\.properties\.x: strict mode has no 'allOf': write one object",
        ),
        (field({"type": "string", "not": {"const": "a"}}), "no 'not': list what is allowed"),
        (field({"type": "null"}, **{"if": {}, "then": {}, "else": {}}), "no 'if'.*\n.*no 'then'"),
        (field({"type": "null"}, dependentRequired={}), "no 'dependentRequired': make the fields"),
        (field({"type": "null"}, dependentSchemas={}), "no 'dependentSchemas'"),
        (field({"type": "null"}, patternProperties={}), "no 'patternProperties': use a list"),
        (
            field({"type": "array", "prefixItems": [], "items": {"type": "null"}}),
            "no 'prefixItems': use a model with a named field",
        ),
        (field({"type": "file"}), "there is no type 'file'"),
        (field({"type": "string", "enum": "a"}), "'enum' is no list"),
        (field({"type": "integer", "minimum": "1"}), "'minimum' is no int"),
        (field({"$ref": "#/$defs/Gone"}), r"'#/\$defs/Gone' names no definition: put it under"),
        (field({"$ref": "https://example.org/a.json"}), "names no definition"),
        (field({"$ref": "#/parts/A"}, parts={"A": {"type": "null"}}), "names no definition"),
        (
            field({"allOf": [{"type": "string"}], "type": "integer"}),
            "'type' is given twice with different values",
        ),
        (
            field(
                {"$ref": "#/$defs/A"},
                **{"$defs": {"A": field({"$ref": "#/$defs/A", "minItems": 1})}},
            ),
            "a recursive .ref beside minItems",
        ),
        (Open.model_json_schema(), r"\$: additionalProperties is not false"),
        (
            create_model("M", a=(dict[str, int], ...)).model_json_schema(),
            r"\$\.properties\.a: addi",
        ),
        (create_model("M", a=(Any, ...)).model_json_schema(), r"\$\.properties\.a: anything"),
        (create_model("M", a=(list[Any], ...)).model_json_schema(), r"\.a\.items: anything"),
        (create_model("M", a=(tuple[int, str], ...)).model_json_schema(), "no 'prefixItems'"),
    ],
)
def test_what_strict_mode_cannot_express_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(OutputTypeUnsupported, match=message):
        strict_schema(schema)


def test_every_place_is_named_at_once() -> None:
    with pytest.raises(OutputTypeUnsupported) as caught:
        strict_schema({"type": "object", "properties": {"a": {}, "b": {"type": "object"}}})
    assert str(caught.value).count("\n- $.properties.") == 2


# --- limits ---


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = field({"type": "array", "items": schema})
    return schema


def chain(levels: int) -> dict[str, Any]:
    """Nest by reference: D0 holds D1 holds D2…"""
    links = {f"D{n}": field({"$ref": f"#/$defs/D{n + 1}"}) for n in range(1, levels - 1)}
    last = {f"D{levels - 1}": field({"type": "null"})}
    return field({"$ref": "#/$defs/D1"}, **{"$defs": {**links, **last}})


def wide(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{n}": {"type": "null"} for n in range(count)}}


def enum(count: int, size: int = 4) -> dict[str, Any]:
    return {"type": "string", "enum": [str(n).zfill(size) for n in range(count)]}


@pytest.mark.parametrize(
    ("fits", "too_much", "message"),
    [
        (wide(5000), wide(5001), "5001 properties, and 5000 are allowed"),
        (nested(10), nested(11), "11 nested levels of objects, and 10"),
        (chain(10), chain(11), "11 nested levels of objects, and 10"),
        (field(enum(1000)), field(enum(1001)), "1001 enum values, and 1000"),
        (field(enum(250, 100)), field(enum(251, 100)), "25100 characters, and 15000"),
        (
            field({"const": "x" * 119_999}),
            field({"const": "x" * 120_000}),
            "120001 characters of names",
        ),
    ],
    ids=["properties", "levels", "levels by reference", "enum", "long enum", "names"],
)
def test_limits_hold_to_the_last_one(fits, too_much, message: str) -> None:
    strict_schema(fits)
    with pytest.raises(OutputTypeUnsupported, match=message):
        strict_schema(too_much)


def test_recursion_has_no_depth() -> None:
    strict_schema(Node.model_json_schema())


def test_references_that_multiply_are_stopped() -> None:
    defs = {
        f"D{n}": {
            "type": "object",
            "properties": {
                f"p{k}": {"$ref": f"#/$defs/D{n + 1}", "description": "d"} for k in range(10)
            },
        }
        for n in range(9)
    }
    defs["D9"] = {"type": "null"}
    with pytest.raises(OutputTypeUnsupported, match="too large or too deep"):
        strict_schema(field({"$ref": "#/$defs/D0"}, **{"$defs": defs}))


def test_a_very_deep_schema_is_stopped() -> None:
    with pytest.raises(OutputTypeUnsupported, match="too large or too deep"):
        strict_schema(nested(90))


KEYWORDS = (
    *("type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "const"),
    *("required", "additionalProperties", "format", "pattern", "minimum", "title", "definitions"),
)
words = st.sampled_from([*KEYWORDS, "object", "array", "string", "#", "#/$defs/a", "a"])
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), words),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300)
@given(st.dictionaries(words, anything, max_size=5))
def test_any_json_is_taken_or_refused(schema: dict[str, Any]) -> None:
    try:
        strict = strict_schema(schema)
    except OutputTypeUnsupported:
        return
    assert strict["type"] == "object"
