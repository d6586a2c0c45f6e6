"""What each parameter of create may hold, and the API's sentences where it holds something else."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from prefect_responses.emulator.envelopes import ApiError

#: Checks a value under its name; raises ApiError where it does not fit.
Rule = Callable[[str, Any], None]


class Kind(StrEnum):
    """A JSON type, in the words of the API's messages."""

    STRING = "a string"
    INTEGER = "an integer"
    DECIMAL = "a decimal"
    BOOLEAN = "a boolean"
    OBJECT = "an object"
    ARRAY = "an array"
    NULL = "null"


_KINDS: dict[type, Kind] = {
    type(None): Kind.NULL,
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.DECIMAL,
    str: Kind.STRING,
    list: Kind.ARRAY,
    dict: Kind.OBJECT,
}


def kind_of(value: Any) -> Kind:
    """Name the JSON type of a value."""
    return _KINDS[type(value)]


def one_of(*kinds: Kind, nullable: bool = True) -> Rule:
    """Allow values of these types; an integer is a decimal too."""
    allowed = {*kinds, Kind.NULL} if nullable else set(kinds)
    if Kind.DECIMAL in allowed:
        allowed.add(Kind.INTEGER)
    expected = " or ".join(kinds)

    def check(param: str, value: Any) -> None:
        if (kind := kind_of(value)) not in allowed:
            raise invalid_type(param, expected, kind)

    return check


def ranged(kind: Kind, low: float | None = None, high: float | None = None) -> Rule:
    """Allow numbers between two bounds, bounds included."""
    of_kind = one_of(kind)
    word = kind.split()[1]

    def check(param: str, value: Any) -> None:
        of_kind(param, value)
        if value is None:
            return
        if low is not None and value < low:
            raise _out_of_range(param, word, "below minimum", f">= {low}", value)
        if high is not None and value > high:
            raise _out_of_range(param, word, "above maximum", f"<= {high}", value)

    return check


def chosen(*values: str) -> Rule:
    """Allow one of these strings."""
    of_kind = one_of(Kind.STRING)
    supported = ", ".join(f"'{value}'" for value in values[:-1]) + f", and '{values[-1]}'"

    def check(param: str, value: Any) -> None:
        of_kind(param, value)
        if value is not None and value not in values:
            raise ApiError(
                400,
                f"Invalid value: '{value}'. Supported values are: {supported}.",
                param=param,
                code="invalid_value",
            )

    return check


def limited_string(longest: int) -> Rule:
    """Allow strings up to a length."""
    of_kind = one_of(Kind.STRING)

    def check(param: str, value: Any) -> None:
        of_kind(param, value)
        if value is not None and len(value) > longest:
            raise string_too_long(param, longest, len(value))

    return check


def invalid_type(param: str, expected: str, kind: Kind) -> ApiError:
    """Refuse a value of a wrong JSON type."""
    got = "null" if kind is Kind.NULL else kind
    return ApiError(
        400,
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
        param=param,
        code="invalid_type",
    )


def missing(param: str) -> ApiError:
    """Refuse a body without a required parameter."""
    return ApiError(
        400,
        f"Missing required parameter: '{param}'.",
        param=param,
        code="missing_required_parameter",
    )


def unknown(param: str) -> ApiError:
    """Refuse a parameter that the API does not know."""
    return ApiError(400, f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")


def string_too_long(param: str, longest: int, length: int) -> ApiError:
    """Refuse a string that is too long."""
    return ApiError(
        400,
        f"Invalid '{param}': string too long. Expected a string with maximum length {longest}, "
        f"but got a string with length {length} instead.",
        param=param,
        code="string_above_max_length",
    )


def too_many_properties(param: str, most: int, count: int) -> ApiError:
    """Refuse an object with too many properties."""
    return ApiError(
        400,
        f"Invalid '{param}': too many properties. Expected an object with at most {most} "
        f"properties, but got an object with {count} properties instead.",
        param=param,
        code="object_above_max_properties",
    )


def _out_of_range(param: str, word: str, side: str, expected: str, value: float) -> ApiError:
    return ApiError(
        400,
        f"Invalid '{param}': {word} {side} value. Expected a value {expected}, "
        f"but got {value} instead.",
        param=param,
        code=f"{word}_{side.replace('minimum', 'min').replace('maximum', 'max')}_value".replace(
            " ", "_"
        ),
    )
