"""What a model reads of an input."""

from __future__ import annotations

from typing import Any


def user_text(request: dict[str, Any]) -> str:
    """Return what the user says last; other roles and earlier turns are context, not text."""
    given: str | list[dict[str, Any]] = request.get("input") or ""
    if isinstance(given, str):
        return given
    for item in reversed(given):
        if _role(item) == "user":
            return _text_of(item.get("content"))
    return _item_text(given[-1]) if given else ""


def all_text(request: dict[str, Any]) -> str:
    """Return everything that is read and has to be counted: instructions and all items."""
    given = request.get("input") or ""
    items = [given] if isinstance(given, str) else [_item_text(item) for item in given]
    return " ".join([request.get("instructions") or "", *items])


def _role(item: dict[str, Any]) -> str | None:
    return item.get("role") if item.get("type", "message") == "message" else None


def _item_text(item: dict[str, Any]) -> str:
    return _text_of(item.get("content") or item.get("output") or item.get("arguments"))


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if part.get("text"))
