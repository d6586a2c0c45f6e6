"""Take the programs out of the documentation, as a reader would."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:<!-- runs: (?P<name>[\w.]+) -->\n)?```python\n(?P<code>.*?)```\n", re.DOTALL
)
#: What stands for the arguments that a fragment leaves out.
_LEFT_OUT = re.compile(r"(?<=[(,\s])(?:\.\.\.|…)(?=\s*[,)])")


def programs_of(document: str) -> dict[str, str]:
    """Return the programs of a document by the name that it tells the reader to give them."""
    return {block["name"]: block["code"] for block in _blocks(document) if block["name"]}


def fragments_of(document: str) -> list[str]:
    """Return the Python that is no program; `**rest` stands for what it leaves out of a call."""
    parts = [block["code"] for block in _blocks(document) if not block["name"]]
    return [_LEFT_OUT.sub("**rest", textwrap.dedent(code)) for code in parts]


def _blocks(document: str) -> list[re.Match[str]]:
    return list(_BLOCK.finditer((ROOT / document).read_text()))
