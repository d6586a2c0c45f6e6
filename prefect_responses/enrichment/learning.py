"""What the answered rows of a job took, for what the next ones reserve and are expected to take."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from prefect_responses.charges import said_tokens
from prefect_responses.decisions.estimates import Learned

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Answers that are remembered; what a job takes may drift.
_REMEMBERED = 500
#: Answers from which on they say something.
_ENOUGH = 20
_NEARLY_ALL = 0.95


class TokensLearned:
    """Remember what the last answers of a job took."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int, int]] = deque()
        self._sums = (0, 0, 0)
        self._since = 0
        self._high: int | None = None

    def learn(self, size: int, usage: Mapping[str, Any] | None) -> None:
        """Take in the *usage* of an answer, as the API reports it.

        Args:
            size: bytes of the canonical JSON of its request.
            usage: nothing is learned where it is None or says nothing.
        """
        counts = [
            said_tokens((usage or {}).get(name)) for name in ("input_tokens", "output_tokens")
        ]
        read, written = counts
        if isinstance(read, int) and isinstance(written, int):
            self._seen.append((size, read, written))
            first = self._seen.popleft() if len(self._seen) > _REMEMBERED else (0, 0, 0)
            sums = zip(self._sums, self._seen[-1], first, strict=True)
            sizes, reads, writings = (known + new - old for known, new, old in sums)
            self._sums = (sizes, reads, writings)
            self._since += 1

    def high(self) -> int | None:
        """Return the tokens that 95 % of the answers stayed within, or None if too few are known.

        It is counted anew each 20 answers.
        """
        if self._since >= _ENOUGH:
            outputs = sorted(written for _, _, written in self._seen)
            self._high = outputs[math.ceil(_NEARLY_ALL * len(outputs)) - 1]
            self._since = 0
        return self._high

    def learned(self) -> Learned | None:
        """Return what answers took on average, or None if too few are known."""
        if len(self._seen) < _ENOUGH:
            return None
        sizes, read, written = self._sums
        return Learned(tokens_a_byte=read / max(1, sizes), output=written / len(self._seen))
