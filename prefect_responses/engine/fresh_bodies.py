"""Hand on the body of an end that was read just now, so that nobody reads it from the ledger."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.attempt import Attempt, Draft


class FreshBodies:
    """Keep the last body of each call that wants it, and of no other."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, str], tuple[str, bytes] | None] = {}

    @contextmanager
    def wanted(self, draft: Draft) -> Iterator[None]:
        """Keep what is read for the call of *draft* until the block ends."""
        key = (draft.scope, draft.name)
        self._bodies[key] = None
        try:
            yield
        finally:
            self._bodies.pop(key, None)

    def is_wanted(self, attempt: Attempt) -> bool:
        """Tell whether a call that waits for *attempt* wants its body."""
        return (attempt.scope, attempt.name) in self._bodies

    def keep(self, attempt: Attempt, body: bytes | None) -> None:
        """Take the body of an end that was recorded just now, if its call wants it."""
        key = (attempt.scope, attempt.name)
        if body is not None and key in self._bodies:
            self._bodies[key] = (attempt.id, body)

    def of(self, attempt: Attempt) -> bytes | None:
        """Return the body that was read for the end of *attempt*, if it is at hand."""
        kept = self._bodies.get((attempt.scope, attempt.name))
        return kept[1] if kept is not None and kept[0] == attempt.id else None
