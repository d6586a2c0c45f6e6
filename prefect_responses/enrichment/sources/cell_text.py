"""The one rule by which the values of tables become text."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import math
import re
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from prefect_responses.errors import TableInvalid

_AS_STR = (UUID, ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network)
_DATES = (dt.date, dt.time)  # a datetime is a date
#: Halves of pairs: what UTF-8 cannot hold.
_SURROGATES = re.compile("[\ud800-\udfff]")


def cell_text(value: Any) -> str:  # noqa: PLR0911 - one line for each kind
    """Return the text of *value*, the same in every process and for every kind of table.

    - None, and what pandas has for it (NaN, NaT, NA), is empty text;
    - text is taken as it is; half a surrogate pair, which cannot be sent, is U+FFFD;
    - true and false are `true` and `false`;
    - a whole number is its digits, a decimal its digits without an exponent, a float its shortest
      form that reads back as the same number;
    - dates and times are ISO 8601, a duration is its seconds;
    - bytes are Base64, an enum's member is its value, a UUID or an IP address its usual form;
    - lists and mappings are JSON without spaces, their inner values by the same rule.

    Raises:
        TableInvalid: there is no rule for such a value.
    """
    match value:
        case str():
            return _SURROGATES.sub("\ufffd", value)
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Enum():
            return cell_text(value.value)
        case int():
            return int.__repr__(value)
        case _ if _is_missing(value):
            return ""
        case float():
            return float.__repr__(value)
        case Decimal():
            return format(value, "f")
        case list() | tuple() | dict():
            return json.dumps(_json(value), ensure_ascii=False, separators=(",", ":"))
        case _:
            return _other(value)


def _other(value: Any) -> str:
    if isinstance(value, _DATES):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return float.__repr__(value.total_seconds())
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, _AS_STR):
        return str(value)
    if hasattr(value, "tolist"):  # an array or a number of NumPy's
        return cell_text(value.tolist())
    raise _no_rule(value)


def _is_missing(value: Any) -> bool:
    # NaN and NaT differ from themselves; NA cannot even be compared.
    if isinstance(value, float | Decimal | dt.datetime):
        return bool(value != value)  # noqa: PLR0124 - see above
    return type(value).__name__ in {"NAType", "NaTType"}


def _json(value: Any) -> Any:  # noqa: PLR0911 - one line for each kind
    """Return what JSON has for a value inside a list or a mapping."""
    match value:
        case None | bool():
            return value
        case Enum():
            return _json(value.value)
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case list() | tuple():
            return [_json(inner) for inner in value]
        case dict():
            return {cell_text(name): _json(inner) for name, inner in value.items()}
        case _ if hasattr(value, "tolist"):
            return _json(value.tolist())
        case _:
            return None if _is_missing(value) else cell_text(value)


def _no_rule(value: object) -> TableInvalid:
    return TableInvalid(
        f"A value of type {type(value).__name__} has no form as text: make it text, or leave its "
        "column out."
    )
