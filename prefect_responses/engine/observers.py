"""Who wants to hear what the engine did. An observer shows things; it decides nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect_responses.attempt import Attempt


class Observer(Protocol):
    """Hear of an attempt's life, always after the ledger has committed it.

    A method must not wait and must not raise; what it raises is dropped by the engine.
    """

    def submitted(self, attempt: Attempt) -> None:
        """Hear that a POST was answered and recorded."""

    def resubmitted(self, abandoned: Attempt, successor: Attempt) -> None:
        """Hear that an attempt in doubt was given up and another was planned."""

    def settled(self, attempt: Attempt) -> None:
        """Hear that an outcome was recorded."""


class Silent:
    """An observer that shows nothing."""

    def submitted(self, attempt: Attempt) -> None:
        """Show nothing."""

    def resubmitted(self, abandoned: Attempt, successor: Attempt) -> None:
        """Show nothing."""

    def settled(self, attempt: Attempt) -> None:
        """Show nothing."""


class Unfailing:
    """An observer that drops what another one raises: showing something never fails a call.

    Args:
        observer: who is told.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def submitted(self, attempt: Attempt) -> None:
        """Tell, if it can be told."""
        _try(self._observer.submitted, attempt)

    def resubmitted(self, abandoned: Attempt, successor: Attempt) -> None:
        """Tell, if it can be told."""
        _try(self._observer.resubmitted, abandoned, successor)

    def settled(self, attempt: Attempt) -> None:
        """Tell, if it can be told."""
        _try(self._observer.settled, attempt)


def _try(tell: Callable[..., None], *what: Attempt) -> None:
    # An observer that logs in a process whose console is gone gets SystemExit from rich.
    with suppress(Exception, SystemExit):
        tell(*what)
