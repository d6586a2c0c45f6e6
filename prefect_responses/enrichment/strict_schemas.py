"""The one JSON Schema dialect that strict mode takes, and the way there from what people write.

What only narrows a value (a default, a minimum length, an unknown format) is left out, because the
answer is checked again when it arrives. What changes the shape and has no strict form is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from prefect_responses.enrichment.schema_limits import broken_limits, reference_names
from prefect_responses.errors import OutputTypeUnsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Schema = Mapping[str, Any]

_TYPES = frozenset({"string", "number", "integer", "boolean", "null", "object", "array"})

#: The formats that the API lists; any other is answered with 400.
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)

#: Sent as they are, besides what `_Strict._inner` rebuilds.
_CARRIED = frozenset(
    {
        *("type", "title", "description", "enum", "const", "pattern", "format", "$ref"),
        *("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minItems", "maxItems"),
    }
)

#: Where a $ref with siblings cannot be inlined, these may be lost without a change of meaning.
_NOTES = frozenset({"title", "description", "default", "examples", "deprecated"})

#: What the values of keywords have to be, where a wrong one would be met only in an answer.
_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("enum", "anyOf", "required"), list),
    **dict.fromkeys(("properties", "items"), dict),
    **dict.fromkeys(("pattern", "format"), str),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength", "multipleOf"), int),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), int),
}

_REPAIRS: Mapping[str, str] = {
    "allOf": "write one object with all the properties",
    "oneOf": "write its variants under anyOf",
    "not": "list what is allowed with an enum or anyOf",
    "if": "use a union (anyOf) of the cases",
    "then": "use a union (anyOf) of the cases",
    "else": "use a union (anyOf) of the cases",
    "dependentRequired": "make the fields nullable",
    "dependentSchemas": "use a union (anyOf) of the cases",
    "dependencies": "make the fields nullable",
    "patternProperties": "use a list of objects with a name and a value",
    "propertyNames": "use a list of objects with a name and a value",
    "minProperties": "name the properties",
    "maxProperties": "name the properties",
    "unevaluatedProperties": "set additionalProperties to false",
    "prefixItems": "use a model with a named field for each place of the tuple",
    "additionalItems": "use a model with a named field for each place of the tuple",
    "unevaluatedItems": "give the list one type of items",
    "contains": "give the list one type of items",
    "minContains": "give the list one type of items",
    "maxContains": "give the list one type of items",
    "$dynamicRef": "use $ref",
}

_NAMED_FIELDS = (
    "strict mode needs named fields: use a model, or a list of objects with a name and a value"
)
_NOTHING: Schema = {"type": "object", "properties": {}}
_REFERENCE = re.compile(r"#|#/(\$defs|definitions)/[^/]+")
_DEEPEST_PATH = 100
_MOST_NODES = 50_000


def strict_schema(schema: Schema) -> dict[str, Any]:
    """Return *schema* in the dialect of strict mode, without changing the argument.

    Raises:
        OutputTypeUnsupported: there is no strict form; the message names every place and repair.
    """
    reader = _Strict(schema)
    result = reader.node(schema, ("$",), frozenset())
    problems = [*reader.problems, *_root_problems(result)]
    if not problems:
        problems = list(broken_limits(result))
    if problems:
        raise OutputTypeUnsupported(
            "A strict JSON schema cannot express this output type:\n- " + "\n- ".join(problems)
        )
    return result


def _root_problems(result: Schema) -> Iterator[str]:
    if "anyOf" in result:
        yield "$: the root is a union: put the union into a field of a model"
    elif result.get("type") != "object":
        yield "$: the root is no object: put it into a field of a model"


class _Strict:
    def __init__(self, root: Schema) -> None:
        self.problems: list[str] = []
        self._root = root
        self._nodes = 0

    def node(self, schema: Any, path: tuple[str, ...], open_refs: frozenset[str]) -> dict[str, Any]:
        """Return one subschema; *open_refs* are the references that were inlined on the way."""
        self._count(path)
        if not isinstance(schema, dict):
            self._problem(path, "anything is allowed here: name a type")
            return {}
        merged, open_refs = self._merged(schema, path, open_refs)
        typed = _typed(_without_one_of(merged))
        self._check_keywords(typed, path)
        result = {name: value for name, value in typed.items() if _is_carried(name, value)}
        result.update(self._inner(typed, path, open_refs))
        self._check_type(result, path)
        return result

    def _inner(
        self, schema: Schema, path: tuple[str, ...], open_refs: frozenset[str]
    ) -> dict[str, Any]:
        inner: dict[str, Any] = {}
        for name in ("$defs", "definitions"):
            if isinstance(schema.get(name), dict):
                inner[name] = {
                    key: self.node(value, (*path, name, key), frozenset({f"#/{name}/{key}"}))
                    for key, value in schema[name].items()
                }
        if isinstance(schema.get("anyOf"), list):
            inner["anyOf"] = [
                self.node(variant, (*path, "anyOf", str(index)), open_refs)
                for index, variant in enumerate(schema["anyOf"])
            ]
        if "array" in _types(schema):
            inner["items"] = self.node(schema.get("items"), (*path, "items"), open_refs)
        if "object" in _types(schema):
            inner.update(self._object(schema, path, open_refs))
        return inner

    def _object(
        self, schema: Schema, path: tuple[str, ...], open_refs: frozenset[str]
    ) -> dict[str, Any]:
        properties = schema.get("properties")
        if schema.get("additionalProperties", False) is not False:
            self._problem(path, f"additionalProperties is not false: {_NAMED_FIELDS}")
        elif not isinstance(properties, dict):
            self._problem(path, f"an object without properties: {_NAMED_FIELDS}")
        if not isinstance(properties, dict):
            return {}
        return {
            "properties": {
                name: self.node(value, (*path, "properties", name), open_refs)
                for name, value in properties.items()
            },
            "required": list(properties),
            "additionalProperties": False,
        }

    # --- references and single allOf ---

    def _merged(
        self, schema: Schema, path: tuple[str, ...], open_refs: frozenset[str]
    ) -> tuple[Schema, frozenset[str]]:
        """Fold a single allOf and a $ref with siblings into one flat schema."""
        while True:
            alternatives = schema.get("allOf")
            ref = str(schema["$ref"]) if "$ref" in schema else None
            if isinstance(alternatives, list) and len(alternatives) == 1:
                schema = self._joined(_without(schema, "allOf"), alternatives[0], path)
            elif ref is None:
                return schema, open_refs
            elif len(schema) == 1:
                self._target(ref, path)
                return schema, open_refs
            elif ref in open_refs:
                return self._bare_ref(schema, path), open_refs
            else:
                open_refs |= {ref}
                schema = self._joined(_without(schema, "$ref"), self._target(ref, path), path)

    def _joined(self, outer: Schema, inner: Any, path: tuple[str, ...]) -> Schema:
        if not isinstance(inner, dict):
            self._problem(path, "anything is allowed here: name a type")
            return outer
        for name in outer:
            if name in inner and name not in _NOTES and outer[name] != inner[name]:
                self._problem(path, f"{name!r} is given twice with different values: merge them")
        return {**inner, **outer}

    def _bare_ref(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        if narrowing := [name for name in schema if name not in {"$ref", *_NOTES}]:
            self._problem(path, f"a recursive $ref beside {', '.join(narrowing)}: remove them")
        return {"$ref": schema["$ref"]}

    def _target(self, ref: str, path: tuple[str, ...]) -> Schema:
        found: Any = self._root
        for name in reference_names(ref):
            found = found.get(name) if isinstance(found, dict) else None
        if not _REFERENCE.fullmatch(str(ref)) or not isinstance(found, dict):
            self._problem(path, f"$ref {ref!r} names no definition: put it under $defs")
            return _NOTHING
        return found

    # --- complaints ---

    def _check_keywords(self, schema: Schema, path: tuple[str, ...]) -> None:
        for name, repair in _REPAIRS.items():
            if name in schema:
                self._problem(path, f"strict mode has no {name!r}: {repair}")
        for name, kind in _KINDS.items():
            if not isinstance(schema.get(name, kind()), kind | float if kind is int else kind):
                self._problem(path, f"{name!r} is no {kind.__name__}: correct the schema")

    def _check_type(self, result: Schema, path: tuple[str, ...]) -> None:
        types = _types(result)
        if unknown := [name for name in types if str(name) not in _TYPES]:
            self._problem(path, f"there is no type {unknown[0]!r}: use one of {sorted(_TYPES)}")
        elif not types and "anyOf" not in result and "$ref" not in result:
            self._problem(path, "anything is allowed here (Any): name a type")

    def _problem(self, path: Sequence[str], sentence: str) -> None:
        line = f"{'.'.join(path)}: {sentence}"
        if line not in self.problems:
            self.problems.append(line)

    def _count(self, path: tuple[str, ...]) -> None:
        # Inlined references can multiply: stop before memory does.
        self._nodes += 1
        if self._nodes > _MOST_NODES or len(path) > _DEEPEST_PATH:
            raise OutputTypeUnsupported(
                f"{'.'.join(path[:12])}…: the output type is too large or too deep: split it."
            )


def _without(schema: Schema, name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _without_one_of(schema: Schema) -> Schema:
    """Write oneOf as anyOf: whether an answer fits exactly one is seen when it is checked."""
    if "oneOf" not in schema or "anyOf" in schema:
        return schema
    return {**_without(schema, "oneOf"), "anyOf": schema["oneOf"]}


def _typed(schema: Schema) -> Schema:
    """Say the type where the other keywords imply it."""
    if "type" in schema:
        return schema
    if "properties" in schema:
        return {**schema, "type": "object"}
    if "items" in schema:
        return {**schema, "type": "array"}
    if "anyOf" in schema or "$ref" in schema:
        return schema
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if not isinstance(values, list):
        return schema
    names = list(dict.fromkeys(_type_of(value) for value in values))
    return {**schema, "type": names[0] if len(names) == 1 else names} if names else schema


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case _:
            return "array" if isinstance(value, list) else "object"


def _types(schema: Schema) -> list[Any]:
    kind = schema.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def _is_carried(name: str, value: Any) -> bool:
    match name:
        case "format":
            return str(value) in _FORMATS
        case "pattern":
            return isinstance(value, str) and not any(
                look in value for look in ("(?=", "(?!", "(?<")
            )
        case _:
            return name in _CARRIED
