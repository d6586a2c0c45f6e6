"""Text that grows piece by piece without being copied each time."""

from __future__ import annotations


class GrowingText:
    """Hold a text; `+` gives a longer one, and this one stays as it is.

    The versions of one text share a list of pieces, each its own beginning of it, so that a stream
    of many small pieces costs no more than their sum.
    """

    __slots__ = ("_count", "_length", "_pieces")

    def __init__(self, text: str) -> None:
        self._pieces = [text]
        self._count = 1
        self._length = len(text)

    def __add__(self, more: str) -> GrowingText:
        grown = GrowingText.__new__(GrowingText)
        pieces = self._pieces
        if len(pieces) != self._count:  # another version went on from here
            pieces = pieces[: self._count]
        pieces.append(more)
        grown._pieces = pieces
        grown._count = self._count + 1
        grown._length = self._length + len(more)
        return grown

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        return "".join(self._pieces[: self._count])

    def __repr__(self) -> str:
        # Without the text: what a model wrote does not belong in a log.
        return f"GrowingText({self._length} characters)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GrowingText) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))
