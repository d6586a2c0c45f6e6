"""Packages that only some tables need, imported when one of those is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from prefect_responses.errors import TableInvalid


def needed(module: str, *, extra: str, what: str) -> Any:
    """Import *module* and return it.

    Args:
        module: its full name.
        extra: the extra of this package that brings it.
        what: what needs it, as the beginning of a sentence.

    Raises:
        TableInvalid: it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".", maxsplit=1)[0]
        raise TableInvalid(
            f"{what} needs {package}: install `prefect-responses[{extra}]`."
        ) from error
