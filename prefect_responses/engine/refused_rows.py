"""Tell a row that is refused again and again from a server that is asked for too much."""

from __future__ import annotations

#: So many others must be accepted for each other refusal, for a row to be the only trouble.
_MANY = 8
#: Rows that are kept in mind.
_MOST = 10_000


class RefusedRows:
    """Remember the rows of one process that a server refused for now.

    A row is its own trouble if it was refused before and since then hardly any other was, for so
    many that were accepted. In a storm others are refused beside it.

    Args:
        most: so many are kept in mind, the last ones.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._accepted = self._refused = 0
        #: How many were accepted and refused up to the last refusal of each.
        self._rows: dict[str, tuple[int, int]] = {}

    def accepted(self, attempt_id: str) -> None:
        """Take in that a row was accepted."""
        self._accepted += 1
        if self._rows:
            self._rows.pop(attempt_id, None)

    def is_its_own(self, attempt_id: str) -> bool:
        """Take in that a row was refused, and tell whether that is about this row alone."""
        before = self._rows.pop(attempt_id, None)
        self._refused += 1
        self._rows[attempt_id] = (self._accepted, self._refused)
        if len(self._rows) > self._most:
            del self._rows[next(iter(self._rows))]
        if before is None:
            return False
        accepted, refused = self._accepted - before[0], self._refused - before[1] - 1
        return accepted >= _MANY * refused
