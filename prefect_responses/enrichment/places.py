"""Where tables lie, in words that hold no credentials."""

from __future__ import annotations

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*://")


def is_url(text: str) -> bool:
    """Say whether *text* is a URL rather than a path."""
    return _URL.match(text) is not None


def place_of(table: object) -> str | None:
    """Return where a source or sink has its table, or None if it does not say."""
    place = getattr(table, "place", None)
    return None if place is None else str(place)
