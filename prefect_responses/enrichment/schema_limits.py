"""How large a strict schema may be, as the API documents it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Schema = Mapping[str, Any]

MOST_PROPERTIES = 5_000
MOST_LEVELS = 10
MOST_ENUM_VALUES = 1_000
MOST_NAME_CHARACTERS = 120_000
#: One enum of strings with more values than this may have only so many characters.
LONG_ENUM_VALUES = 250
LONG_ENUM_CHARACTERS = 15_000


def broken_limits(schema: Schema) -> Iterator[str]:
    """Tell, a sentence each, which limits the strict *schema* breaks."""
    sizes = _Sizes()
    sizes.add(schema)
    levels = _Levels(schema).of(schema)
    for what, found, limit in (
        ("properties", sizes.properties, MOST_PROPERTIES),
        ("nested levels of objects", levels, MOST_LEVELS),
        ("enum values", sizes.enum_values, MOST_ENUM_VALUES),
        ("characters of names, enum and const values", sizes.characters, MOST_NAME_CHARACTERS),
    ):
        if found > limit:
            yield f"$: {found} {what}, and {limit} are allowed: make the type smaller"
    if sizes.longest_enum > LONG_ENUM_CHARACTERS:
        yield (
            f"$: one enum has more than {LONG_ENUM_VALUES} values and {sizes.longest_enum} "
            f"characters, and {LONG_ENUM_CHARACTERS} are allowed: shorten the values"
        )


def reference_names(ref: str) -> list[str]:
    """Return the names on the way from the root to what *ref* (`#/$defs/Name`) points at."""
    return [part.replace("~1", "/").replace("~0", "~") for part in ref.split("/")[1:]]


@dataclass(slots=True)
class _Sizes:
    properties: int = 0
    enum_values: int = 0
    characters: int = 0
    longest_enum: int = 0

    def add(self, node: Schema) -> None:
        properties = node.get("properties", {})
        self.properties += len(properties)
        self._add_enum(node.get("enum", []))
        names = (*properties, *node.get("$defs", ()), *node.get("definitions", ()))
        self.characters += sum(map(len, names)) + _length(node.get("const"))
        for child in _children(node):
            self.add(child)

    def _add_enum(self, values: list[Any]) -> None:
        characters = sum(map(_length, values))
        self.enum_values += len(values)
        self.characters += characters
        if len(values) > LONG_ENUM_VALUES:
            self.longest_enum = max(self.longest_enum, characters)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0


def _children(node: Schema) -> Iterator[Schema]:
    for name in ("properties", "$defs", "definitions"):
        yield from node.get(name, {}).values()
    yield from node.get("anyOf", ())
    if "items" in node:
        yield node["items"]


class _Levels:
    """Count objects within objects. A reference counts as what it names, until it recurs."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def of(self, node: Schema) -> int:
        if "$ref" in node:
            return self._of_ref(node["$ref"])
        inside = (*node.get("properties", {}).values(), *node.get("anyOf", ()))
        deepest = max(map(self.of, inside), default=0)
        if "items" in node:
            deepest = max(deepest, self.of(node["items"]))
        return deepest + ("properties" in node)

    def _of_ref(self, ref: str) -> int:
        if ref not in self._known:
            self._known[ref] = 0
            self._known[ref] = self.of(self._target(ref))
        return self._known[ref]

    def _target(self, ref: str) -> Schema:
        found: Any = self._root
        for name in reference_names(ref):
            found = found.get(name, {}) if isinstance(found, dict) else {}
        return found if isinstance(found, dict) else {}
