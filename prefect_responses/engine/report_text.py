"""Text from outside as it may stand in a report: on one line, short, and only text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST = 120
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str, longest: int = _LONGEST) -> str:
    """Return *text* on one line, shortened, without characters that a terminal acts on."""
    line = " ".join(text.split())
    short = line if len(line) <= longest else f"{line[: longest - 1]}…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Return *text* as Markdown that shows it as it is, on one line."""
    return escape(plain(text, longest))


def escape(line: str) -> str:
    """Return *line*, which is `plain`, as Markdown that shows it as it is."""
    return _PUNCTUATION.sub(r"\\\1", line)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of cells that are Markdown already."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
