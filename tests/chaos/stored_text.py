"""A consumer's own store of a text that comes piece by piece: it survives its process."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class PieceLost(Exception):
    """A piece began after the end of what is stored."""


class StoredText:
    """Keep (offset, text) of each piece in a file, each on disk before `put` returns.

    Args:
        file: one JSON line a piece; made if it is not there.
    """

    def __init__(self, file: Path) -> None:
        file.touch()
        whole = file.read_bytes().rpartition(b"\n")[0]
        kept = whole + b"\n" if whole else b""
        os.truncate(file, len(kept))  # a line that a kill cut short was never stored
        self.pieces = [json.loads(line) for line in kept.splitlines()]
        self.offset = sum(len(text) for _, text in self.pieces)
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND)

    def put(self, offset: int, text: str) -> None:
        """Store what is new of a piece that begins at *offset*.

        Raises:
            PieceLost: there are characters between what is stored and *offset*.
        """
        if offset > self.offset:
            raise PieceLost(f"{offset} comes after {self.offset}.")
        new = text[self.offset - offset :]
        if not new:
            return
        os.write(self._file, json.dumps([self.offset, new]).encode() + b"\n")
        os.fsync(self._file)
        self.offset += len(new)


def long_text(words: int) -> str:
    """Return a text that is streamed in so many pieces, not all of one byte a character."""
    odd = ("Größe", "世界", "🌍", "naïve", "line\nbreak")
    return " ".join(odd[n % 5] if n % 7 == 0 else f"word{n}" for n in range(words))


def text_in(file: Path) -> str:
    """Return the text that is stored in *file*, whose pieces follow one upon the other.

    Raises:
        PieceLost: they do not.
    """
    text = ""
    for offset, piece in StoredText(file).pieces:
        if offset != len(text):
            raise PieceLost(f"{offset} comes after {len(text)}.")
        text += piece
    return text
