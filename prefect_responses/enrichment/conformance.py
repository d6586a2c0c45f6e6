"""Whether an answer has the shape that a JSON schema describes, for types given as schemas.

It reads the dialect of strict mode and what was left out of it on the way there. Not every server
that speaks this API holds its models to a schema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from prefect_responses.enrichment.schema_limits import reference_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Schema = Mapping[str, Any]

_DEEPEST = 100


def first_mismatch(value: Any, schema: Schema) -> str | None:
    """Return where and why the JSON *value* departs from *schema*, or None.

    Args:
        value: JSON types.
        schema: the root of a schema that strict mode can express.
    """
    return next(_Reader(schema).mismatches(value, schema, "$", 0), None)


class _Reader:
    def __init__(self, root: Schema) -> None:
        self._root = root

    def mismatches(self, value: Any, schema: Schema, path: str, depth: int) -> Iterator[str]:
        if depth > _DEEPEST:
            yield f"{path} is nested too deeply"
            return
        if "$ref" in schema:
            yield from self.mismatches(value, self._target(schema["$ref"]), path, depth + 1)
        for part in schema.get("allOf", ()):
            yield from self.mismatches(value, part, path, depth + 1)
        variants = schema.get("anyOf", schema.get("oneOf"))
        if variants is not None and all(
            any(True for _ in self.mismatches(value, variant, path, depth + 1))
            for variant in variants
        ):
            yield f"{path} fits no variant of its union"
        yield from self._own_mismatches(value, schema, path, depth)

    def _own_mismatches(self, value: Any, schema: Schema, path: str, depth: int) -> Iterator[str]:
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds and not any(_IS[kind](value) for kind in kinds):
            yield f"{path} is not {' or '.join(kinds)}"
            return
        if "const" in schema and not _same(value, schema["const"]):
            yield f"{path} is not {schema['const']!r}"
        if "enum" in schema and not any(_same(value, each) for each in schema["enum"]):
            yield f"{path} is none of the values of its enum"
        match value:
            case dict():
                yield from self._in_object(value, schema, path, depth)
            case list():
                yield from self._in_array(value, schema, path, depth)
            case str():
                yield from _in_text(value, schema, path)
            case int() | float() if not isinstance(value, bool):
                yield from _in_number(value, schema, path)
            case _:
                pass

    def _in_object(
        self, value: dict[str, Any], schema: Schema, path: str, depth: int
    ) -> Iterator[str]:
        properties: Mapping[str, Schema] = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{path}.{name} is missing"
        for name, inner in value.items():
            if name in properties:
                yield from self.mismatches(inner, properties[name], f"{path}.{name}", depth + 1)
            elif "properties" in schema:
                yield f"{path}.{name} is not in the schema"

    def _in_array(self, value: list[Any], schema: Schema, path: str, depth: int) -> Iterator[str]:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path} has {len(value)} items"
        if schema.get("uniqueItems") is True and any(
            _same(value[i], value[j]) for i in range(len(value)) for j in range(i)
        ):
            yield f"{path} repeats an item"
        for index, inner in enumerate(value):
            items = schema.get("items", {})
            yield from self.mismatches(inner, items, f"{path}[{index}]", depth + 1)

    def _target(self, ref: str) -> Schema:
        found: Any = self._root
        for name in reference_names(ref):
            found = found[name]
        target: Schema = found
        return target


def _in_text(value: str, schema: Schema, path: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"{path} has {len(value)} characters"
    if "pattern" in schema and not _matches(schema["pattern"], value):
        yield f"{path} does not match its pattern"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # a dialect of regular expressions that only the server reads


def _in_number(value: float, schema: Schema, path: str) -> Iterator[str]:
    step = schema.get("multipleOf")
    outside = (
        value < schema.get("minimum", value)
        or value > schema.get("maximum", value)
        or ("exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"])
        or ("exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"])
    )
    if outside:
        yield f"{path} is out of range"
    if isinstance(step, int) and step > 0 and value % step:
        yield f"{path} is no multiple of {step}"


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}
