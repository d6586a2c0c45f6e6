"""The kinds of columns that typed tables have, read from the schema of the answers."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

import orjson

from prefect_responses.enrichment.schema_limits import reference_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Schema = Mapping[str, Any]


class ColumnKind(StrEnum):
    """Name what a column of a typed table holds, beside null."""

    #: Whole numbers of 64 bits.
    INTEGER = "integer"
    #: Floating-point numbers of 64 bits.
    NUMBER = "number"
    #: True and false.
    BOOLEAN = "boolean"
    #: Text as it is.
    TEXT = "text"
    #: The JSON text of whatever it is.
    JSON = "json"
    #: An exact number with nine decimals, in USD.
    USD = "usd"


_SMALLEST, _LARGEST = -(2**63), 2**63 - 1

_KINDS: Mapping[frozenset[str], ColumnKind] = {
    frozenset({"integer"}): ColumnKind.INTEGER,
    frozenset({"number"}): ColumnKind.NUMBER,
    frozenset({"integer", "number"}): ColumnKind.NUMBER,
    frozenset({"boolean"}): ColumnKind.BOOLEAN,
    frozenset({"string"}): ColumnKind.TEXT,
}


def column_kinds(schema: Schema) -> tuple[ColumnKind, ...]:
    """Return the kind of each property of a strict schema, in order.

    A property that may be of several types, such as text or a number, is kept as JSON text.
    """
    return tuple(_kind(schema, found) for found in schema["properties"].values())


def _kind(root: Schema, schema: Schema) -> ColumnKind:
    types = frozenset(_types(root, schema, ())) - {"null"}
    return _KINDS.get(types, ColumnKind.JSON)


def _types(root: Schema, schema: Schema, seen: tuple[str, ...]) -> Iterator[str]:
    if "$ref" in schema:
        ref = str(schema["$ref"])
        if ref not in seen:
            yield from _types(root, _target(root, ref), (*seen, ref))
        return
    for variant in schema.get("anyOf", ()):
        yield from _types(root, variant, seen)
    if "type" in schema:
        yield from [schema["type"]] if isinstance(schema["type"], str) else schema["type"]


def _target(root: Schema, ref: str) -> Schema:
    found: Any = root
    for name in reference_names(ref):
        found = found[name]
    return dict(found)


# --- values ---------------------------------------------------------------------------------------


class Unfit(ValueError):
    """A value that a column of its kind cannot hold."""


def typed_value(kind: ColumnKind, value: Any) -> Any:  # noqa: PLR0911 - one line for each kind
    """Return *value* as a column of *kind* holds it; None stays None.

    Raises:
        Unfit: the column cannot hold it.
    """
    if value is None:
        return None
    match kind:
        case ColumnKind.INTEGER:
            return _integer(value)
        case ColumnKind.NUMBER:
            return _number(value)
        case ColumnKind.BOOLEAN:
            return _checked(value, bool)
        case ColumnKind.TEXT:
            return plain_text(_checked(value, str))
        case ColumnKind.JSON:
            return json_text(value)
        case ColumnKind.USD:
            return value
        case never:
            assert_never(never)


def plain_text(text: str) -> str:
    r"""Return *text* as every database and file can hold it.

    A NUL character and half a surrogate pair, which they refuse, become `\\x00` and `\\ud800`.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def json_text(value: Any) -> str:
    """Return *value* as JSON without spaces."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Whole numbers of more than 64 bits, and half surrogate pairs.
        return json.dumps(value, separators=(",", ":"))


def _integer(value: Any) -> int:
    # JSON Schema has 3.0 among the integers.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(whole, bool) or not isinstance(whole, int) or not _SMALLEST <= whole <= _LARGEST:
        raise Unfit
    return whole


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit
    try:
        return float(value)
    except OverflowError as error:
        raise Unfit from error


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Unfit
    return value
