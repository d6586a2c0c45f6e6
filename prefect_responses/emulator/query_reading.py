"""Read the query of a URL, in the ways that clients write one."""

from __future__ import annotations

from urllib.parse import parse_qs

from prefect_responses.emulator.envelopes import ApiError


def read_text(query: str, name: str) -> str | None:
    """Return the last value under a name."""
    values = parse_qs(query).get(name)
    return values[-1] if values else None


def asks_for(query: str, name: str, *, default: bool = False) -> bool:
    """Read a switch."""
    value = read_text(query, name)
    return default if value is None else value.lower() in {"true", "1"}


def read_integer(query: str, name: str) -> int | None:
    """Read a whole number; refuse any other text."""
    text = read_text(query, name)
    try:
        return None if text is None else int(text)
    except ValueError:
        raise ApiError(
            400,
            f"Invalid type for '{name}': expected an integer, but got a string instead.",
            param=name,
            code="invalid_type",
        ) from None
