"""The model that fills the JSON schema asked for by reading the text with plain rules."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.emulator.models.answers import text_answer
from prefect_responses.emulator.models.scalar_reading import (
    Asked,
    Reading,
    fit_number,
    fit_string,
    read_boolean,
    read_label,
    read_number,
    read_string,
    score_label,
)
from prefect_responses.emulator.models.text_reading import Document, document_of, words
from prefect_responses.emulator.models.vocabulary import SENTENCE_LISTS
from prefect_responses.emulator.strict_schema import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.emulator.models.answers import ModelAnswer, Question

#: What a schema leaves open is followed so deep: a schema may refer to itself.
_OPTIONAL_DEPTH = 6
#: A schema that only an endless value would fit is given up here.
_DEEPEST = 24
_FEW = 5


def answer(question: Question) -> ModelAnswer:
    """Fill the schema from the text; without a schema, say the first two sentences."""
    document = Document(document_of(question.text))
    if question.schema is None:
        return text_answer(document.opening(2))
    value = SchemaReader(question.schema, document).read(Asked(question.schema, ""), 0).value
    return text_answer(orjson.dumps(value).decode())


class SchemaReader:
    """Walk a schema and read a value for each node; what it returns fits the schema."""

    def __init__(self, root: dict[str, Any], document: Document) -> None:
        self._root = root
        self._document = document

    def read(self, asked: Asked, depth: int) -> Reading:
        """Read the value of one node."""
        asked = Asked(self._resolved(asked.node), asked.name)
        node = asked.node
        if depth > _DEEPEST:
            return Reading(None, evident=False)
        if "const" in node:
            return Reading(node["const"], evident=True)
        if "enum" in node:
            return read_label(asked, self._document)
        branches = _branches(node)
        if branches:
            return self._read_any(branches, asked, depth)
        return self._read_type(asked, depth)

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        for _ in range(_OPTIONAL_DEPTH):
            target = resolve(node.get("$ref"), self._root)
            if target is None:
                break
            node = target | {key: value for key, value in node.items() if key != "$ref"}
        return node

    def _read_type(self, asked: Asked, depth: int) -> Reading:
        match _type_of(asked.node):
            case "object":
                return self._read_object(asked, depth)
            case "array":
                return self._read_array(asked, depth)
            case "integer" | "number":
                return read_number(asked, self._document)
            case "boolean":
                return read_boolean(asked, self._document)
            case "null":
                return Reading(None, evident=False)
            case _:
                return read_string(asked, self._document)

    def _read_any(self, branches: list[dict[str, Any]], asked: Asked, depth: int) -> Reading:
        """Take the first branch that the text speaks of, else null, else the first branch."""
        nullable = any(self._resolved(branch).get("type") == "null" for branch in branches)
        if depth >= _OPTIONAL_DEPTH:
            branches = [min(branches, key=self._references)]
        described = {"description": asked.description}
        readings = [
            self.read(Asked(described | branch, asked.name), depth + 1) for branch in branches
        ]
        evident = next((reading for reading in readings if reading.evident), None)
        absent = Reading(None, evident=False) if nullable else readings[0]
        return evident or absent

    def _references(self, branch: dict[str, Any]) -> int:
        return orjson.dumps(self._resolved(branch)).count(b'"$ref"')

    def _read_object(self, asked: Asked, depth: int) -> Reading:
        properties = asked.node.get("properties") or {}
        extra = [name for name in asked.node.get("required") or () if name not in properties]
        nodes = {**properties, **{name: {"type": "string"} for name in extra}}
        readings = {
            name: self.read(Asked(node if isinstance(node, dict) else {}, name), depth + 1)
            for name, node in nodes.items()
        }
        value = {name: reading.value for name, reading in readings.items()}
        return Reading(value, any(reading.evident for reading in readings.values()))

    def _read_array(self, asked: Asked, depth: int) -> Reading:
        least, most = asked.node.get("minItems", 0), asked.node.get("maxItems")
        limit = max(least, _FEW) if most is None else most
        if limit == 0 or (depth >= _OPTIONAL_DEPTH and least == 0):
            return Reading([], evident=False)
        items = self._item_node(asked.node.get("items") or {"type": "string"}, depth)
        found = list(self._found(Asked(items, asked.name), depth, limit))
        unique = asked.node.get("uniqueItems", False)
        kept = (_distinct(found) if unique else found)[:limit]
        for padding in islice(self._padding(Asked(items, asked.name), depth), least * _FEW):
            if len(kept) < least and not (unique and padding in kept):
                kept.append(padding)
        return Reading(kept, bool(found))

    def _item_node(self, node: dict[str, Any], depth: int) -> dict[str, Any]:
        """Choose what the items of a list are: of several branches the first that is not null."""
        node = self._resolved(node)
        branches = [self._resolved(branch) for branch in _branches(node)]
        if not branches or depth > _DEEPEST:
            return node
        chosen = (branch for branch in branches if branch.get("type") != "null")
        return self._item_node(next(chosen, {"type": "null"}), depth + 1)

    def _found(self, asked: Asked, depth: int, limit: int) -> Iterator[Any]:
        """Yield the items that the text speaks of."""
        node, document = asked.node, self._document
        if "enum" in node:
            yield from (x for x in node["enum"] if score_label(x, asked, document) > 0)
        elif _type_of(node) == "string" and not node.keys() & {"format", "pattern", "const"}:
            yield from (fit_string(text, node) for text in self._texts(asked.name)[:limit])
        elif _type_of(node) in {"integer", "number"}:
            yield from (fit_number(number, node) for number in document.numbers[:limit])
        elif _type_of(node) == "object" and len(document.bullets) > 1:
            for bullet in document.bullets[:limit]:
                yield SchemaReader(self._root, Document(bullet)).read(asked, depth + 1).value
        else:
            reading = self.read(asked, depth + 1)
            yield from [reading.value] if reading.evident else []

    def _texts(self, name: str) -> list[str]:
        if SENTENCE_LISTS.intersection(words(name)):
            return self._document.bullets or self._document.sentences
        return self._document.keywords

    def _padding(self, asked: Asked, depth: int) -> Iterator[Any]:
        """Yield values that fit, for a list that the schema wants longer than the text."""
        yield from asked.node.get("enum") or ()
        number = 0
        while True:
            value = self.read(asked, depth + 1).value
            match value:
                case str() if not asked.node.keys() & {"enum", "format", "pattern", "const"}:
                    yield fit_string(f"{number} {value}", asked.node)
                case int() | float() if not isinstance(value, bool) and "enum" not in asked.node:
                    yield fit_number(value + number, asked.node)
                case _:
                    yield value
            number += 1


def _branches(node: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(node.get("type"), list):
        return [{**node, "type": name} for name in node["type"]]
    branches = node.get("anyOf") or node.get("oneOf") or []
    return [branch for branch in branches if isinstance(branch, dict)]


def _type_of(node: dict[str, Any]) -> str:
    if isinstance(node.get("type"), str):
        return str(node["type"])
    if "properties" in node:
        return "object"
    return "array" if "items" in node else "string"


def _distinct(values: list[Any]) -> list[Any]:
    kept = {orjson.dumps(value): value for value in values}
    return list(kept.values())
