"""Read an error body, whoever wrote it: the API, a framework, a proxy.

OpenAI sends `{"error": {"message", "type", "param", "code"}}` (API reference, Errors). Others send
`{"error": "text"}`, `{"detail": ...}`, plain text, or an HTML page. What they say is data from
outside: it is shortened, stripped of control characters, and never trusted to be well formed.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import orjson

#: Characters kept of a message from outside.
LONGEST_MESSAGE = 500
#: Bytes looked at of a body that is not JSON; a message needs no more.
_LONGEST_TEXT = 4000
_LONGEST_TITLE = 120

_HTML_START = re.compile(r"^\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_HTML_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_HTML_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class ErrorEnvelope:
    """Say what an error body told, as far as it told anything.

    Args:
        message: one line for people, at most 500 characters; empty if there was nothing.
        type: the API's `error.type`.
        code: the API's `error.code`, as text even where a server sends a number.
        param: the API's `error.param`.
        enveloped: whether the body had the API's own shape, `{"error": {...}}`; only then it is
            known that the API itself answered, and not something in front of it.
        structured: whether the body was a JSON object at all, which no bare proxy page is.
    """

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    enveloped: bool = False
    structured: bool = False


def clean_message(text: str) -> str:
    """Return *text* on one line, without control characters, at most 500 characters."""
    line = " ".join(text[: 4 * LONGEST_MESSAGE].split())
    line = "".join(char for char in line if char.isprintable())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def read_error_body(body: bytes) -> ErrorEnvelope:
    """Read *body* in any of the shapes that servers send. Never raises."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ErrorEnvelope(_text_message(body))
    if not isinstance(document, dict):
        return ErrorEnvelope(_value_message(document))
    inner = document.get("error")
    if isinstance(inner, dict):
        return read_error_object(inner)
    return ErrorEnvelope(_outer_message(document), structured=True)


def read_error_object(inner: dict[str, Any]) -> ErrorEnvelope:
    """Read the inside of the API's envelope, which a failed response carries as well."""
    return ErrorEnvelope(
        _value_message(inner.get("message")),
        type=_as_text(inner.get("type")),
        code=_as_text(inner.get("code")),
        param=_as_text(inner.get("param")),
        enveloped=True,
        structured=True,
    )


def _outer_message(document: dict[str, Any]) -> str:
    for name in ("error", "detail", "message"):
        if document.get(name):
            return _value_message(document[name])
    return ""


def _value_message(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return clean_message(value)
        case _:
            return clean_message(_as_json(value))


def _as_json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested deeper than the encoder goes, though it was decoded
        return ""


def _as_text(value: object) -> str | None:
    match value:
        case str():
            return clean_message(value) or None
        case bool() | None:
            return None
        case int() | float():
            return str(value)
        case _:
            return None


def _text_message(body: bytes) -> str:
    text = body[:_LONGEST_TEXT].decode("utf-8", errors="replace")
    return _page_message(text) if _HTML_START.match(text) else clean_message(text)


def _page_message(page: str) -> str:
    found = _HTML_TITLE.search(page)
    title = clean_message(html.unescape(_HTML_TAG.sub(" ", found[2]))) if found else ""
    return f"an HTML page, titled {title[:_LONGEST_TITLE]!r}" if title else "an HTML page"
