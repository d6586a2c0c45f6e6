"""Take the programs out of the documentation, as a reader would."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PROGRAM = re.compile(r"<!-- runs: (?P<name>[\w.]+) -->\n```python\n(?P<code>.*?)```\n", re.DOTALL)


def programs_of(document: str) -> dict[str, str]:
    """Return the programs of a document by the name that it tells the reader to give them."""
    found = _PROGRAM.finditer((ROOT / document).read_text())
    return {program["name"]: program["code"] for program in found}
