"""Judge a JSON schema by the rules of strict structured output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSUPPORTED = (
    "allOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "patternProperties",
)
_MOST_PROPERTIES = 5000
_DEEPEST = 10
_MOST_NAME_CHARACTERS = 120_000
_MOST_ENUM_VALUES = 1000
_LONG_ENUM = 250
_LONG_ENUM_CHARACTERS = 15_000

#: Where a node stands: the keys that lead to it from the root.
Place = tuple[str, ...]
#: A node, its place, and how many objects and arrays it stands in.
Visit = tuple[dict[str, Any], Place, int]


def problem_of(schema: dict[str, Any]) -> str | None:
    """Return the API's sentence for the first broken rule, or None for a schema that it takes."""
    if "anyOf" in schema:
        return "schema must have a 'type' key; the root may not be 'anyOf'."
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {_type(schema)}'."
    visits = list(_walk(schema, (), 1))
    for visit in visits:
        problem = _problem_of_node(*visit, root=schema)
        if problem is not None:
            return problem
    return _problem_of_size([node for node, _, _ in visits])


def _type(schema: dict[str, Any]) -> str:
    named = schema.get("type")
    return f'"{named}"' if isinstance(named, str) else '"None"'


def _walk(node: Any, place: Place, depth: int) -> Iterator[Visit]:
    if not isinstance(node, dict):
        return
    yield node, place, depth
    for key in ("properties", "$defs", "definitions"):
        inside = depth + 1 if key == "properties" else 1
        for name, inner in _pairs(node.get(key)):
            yield from _walk(inner, (*place, key, name), inside)
    yield from _walk(node.get("items"), (*place, "items"), depth + 1)
    for index, branch in enumerate(node.get("anyOf") or ()):
        yield from _walk(branch, (*place, "anyOf", str(index)), depth)


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _problem_of_node(
    node: dict[str, Any], place: Place, depth: int, *, root: dict[str, Any]
) -> str | None:
    context = f"In context={place!r}, "
    for keyword in _UNSUPPORTED:
        if keyword in node:
            return f"{context}'{keyword}' is not permitted."
    if "$ref" in node:
        return _problem_of_reference(node["$ref"], context, root)
    return _problem_of_depth(node, context, depth) or _problem_of_type(node, context)


def _problem_of_depth(node: dict[str, Any], context: str, depth: int) -> str | None:
    if depth > _DEEPEST and ("properties" in node or "items" in node):
        return f"{context}schema exceeds the limit of {_DEEPEST} levels of nesting."
    return None


def _problem_of_type(node: dict[str, Any], context: str) -> str | None:
    if _names_type(node, "array") and "items" not in node:
        return f"{context}array schema missing items."
    if _names_type(node, "object") or "properties" in node:
        return _problem_of_object(node, context)
    if not node.keys() & {"type", "anyOf", "enum", "const"}:
        return f"{context}schema must have a 'type' key."
    return _problem_of_enum(node, context)


def _names_type(node: dict[str, Any], name: str) -> bool:
    named = node.get("type")
    return named == name or (isinstance(named, list) and name in named)


def _problem_of_reference(reference: Any, context: str, root: dict[str, Any]) -> str | None:
    if resolve(reference, root) is None:
        return f"{context}reference to component '{reference}' which was not found in the schema."
    return None


def resolve(reference: Any, root: dict[str, Any]) -> dict[str, Any] | None:
    """Find what a `#/...` reference points to."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _problem_of_object(node: dict[str, Any], context: str) -> str | None:
    if node.get("additionalProperties") is not False:
        return f"{context}'additionalProperties' is required to be supplied and to be false."
    names = list(dict(_pairs(node.get("properties"))))
    required = node.get("required") or []
    absent = next((name for name in names if name not in required), None)
    if absent is not None:
        return (
            f"{context}'required' is required to be supplied and to be an array including "
            f"every key in properties. Missing '{absent}'."
        )
    extra = next((name for name in required if name not in names), None)
    if extra is not None:
        return f"{context}'required' names '{extra}', which is not in properties."
    return None


def _problem_of_enum(node: dict[str, Any], context: str) -> str | None:
    values = node.get("enum")
    if values is None:
        return None
    if not isinstance(values, list) or not values:
        return f"{context}'enum' must be an array of at least one value."
    characters = sum(len(value) for value in values if isinstance(value, str))
    if len(values) > _LONG_ENUM and characters > _LONG_ENUM_CHARACTERS:
        return (
            f"{context}an enum of more than {_LONG_ENUM} values may have at most "
            f"{_LONG_ENUM_CHARACTERS} characters in total."
        )
    return None


def _problem_of_size(nodes: list[dict[str, Any]]) -> str | None:
    names = [name for node in nodes for name, _ in _pairs(node.get("properties"))]
    if len(names) > _MOST_PROPERTIES:
        return f"schema exceeds the limit of {_MOST_PROPERTIES} properties in total."
    values = [value for node in nodes for value in node.get("enum") or ()]
    if len(values) > _MOST_ENUM_VALUES:
        return f"schema exceeds the limit of {_MOST_ENUM_VALUES} enum values in total."
    constants = [node["const"] for node in nodes if "const" in node]
    words = [word for word in (*names, *values, *constants) if isinstance(word, str)]
    if sum(map(len, words)) > _MOST_NAME_CHARACTERS:
        return (
            f"schema exceeds the limit of {_MOST_NAME_CHARACTERS} characters in property names, "
            "enum values and const values."
        )
    return None
