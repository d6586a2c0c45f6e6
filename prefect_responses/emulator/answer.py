"""What a handler answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_responses.emulator.stored_responses import StoredResponse


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON body."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """The events of a response, those after a number where one is given."""

    response: StoredResponse
    starting_after: int | None = None
    obfuscated: bool = True
