"""Who wants to hear what the engine did. An observer shows things; it decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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
