"""Who wants to hear what a response says while it is made."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.decisions.stream_fold import Change, Fold
    from prefect_responses.wire.stream_events import StreamEvent


class Listener(Protocol):
    """Hear the events of one response. A method must not wait; what it raises is dropped."""

    def began(self, state: Fold) -> None:
        """Hear what was known when this process began to follow; after a crash, what was kept."""

    def heard(self, event: StreamEvent, changes: tuple[Change, ...], state: Fold) -> None:
        """Hear one event, how the text changed by it, and what is known then."""

    def voided(self, changes: tuple[Change, ...], state: Fold) -> None:
        """Hear that a server which numbers nothing sends its text again from the beginning."""


class Listeners:
    """Tell several listeners; one that raises hears no less and harms nobody.

    Args:
        listeners: who is told.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def began(self, state: Fold) -> None:
        """Tell all."""
        for listener in self._listeners:
            with suppress(Exception):
                listener.began(state)

    def voided(self, changes: tuple[Change, ...], state: Fold) -> None:
        """Tell all."""
        for listener in self._listeners:
            with suppress(Exception):
                listener.voided(changes, state)

    def heard(self, event: StreamEvent, changes: tuple[Change, ...], state: Fold) -> None:
        """Tell all."""
        for listener in self._listeners:
            with suppress(Exception):
                listener.heard(event, changes, state)
