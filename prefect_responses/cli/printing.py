"""Print for people and for machines; text from outside stays text.

It is never read as markup, and what a terminal would act on is replaced.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefect_responses.attempt import Attempt

#: Where no terminal says how wide it is, nothing is folded that a program may look for.
_UNFOLDED = 240


def console() -> Console:
    """Return the console that tables and sentences are printed on."""
    wide = Console(markup=False, highlight=False, emoji=False)
    return (
        wide
        if wide.is_terminal
        else Console(markup=False, highlight=False, emoji=False, width=_UNFOLDED)
    )


def plain(text: object, style: str = "") -> Text:
    """Return *text* as it may be shown, whoever wrote it."""
    return Text(cleaned(str(text)), style=style, overflow="fold")


def cleaned(text: str) -> str:
    """Return *text* with what a terminal would act on replaced; line ends stay."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def one_line(text: str) -> str:
    """Return *text* as it may stand in a line of ours, so that it cannot make up lines."""
    return cleaned(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


def table(*columns: str, rows: Iterable[Iterable[object]], title: str | None = None) -> Table:
    """Return a table of texts."""
    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    return made


def facts(named: Mapping[str, object]) -> Table:
    """Return a table of names and what they stand for, leaving out what is not there."""
    made = Table.grid(padding=(0, 2))
    for name, value in named.items():
        if value not in (None, "", (), {}):
            made.add_row(plain(name, "bold"), plain(value))
    return made


def print_json(document: Any) -> None:
    """Print one JSON document: ASCII only, so that no terminal acts on it."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def attempt_record(attempt: Attempt) -> dict[str, Any]:
    """Return *attempt* as JSON types; times are seconds since the epoch, UTC."""
    return asdict(attempt)


_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def age(seconds: float) -> str:
    """Return a time span in its largest unit: `45s`, `3m`, `2h`, `5d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "0s"


_SIZES = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def size(count: int) -> str:
    """Return a number of bytes in its largest unit: `12 B`, `3.4 MB`."""
    for bytes_, unit in _SIZES:
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}"
    return f"{count} B"


#: Characters of a key that are shown before it is cut; a digest keeps its end.
_LONGEST_NAME = 48
_DIGEST_SHOWN = 12


def name_of(attempt: Attempt) -> str:
    """Return what tells an attempt from others, short enough for a table."""
    head, digest, sum_ = attempt.name.partition("sha256:")
    name = f"{head}{digest}{sum_[:_DIGEST_SHOWN]}…" if digest else attempt.name
    shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return one_line(f"{shown} [{attempt.ordinal}]" if attempt.ordinal else shown)


def standing_of(attempt: Attempt) -> str:
    """Return the outcome of an attempt, or its state where it has none yet."""
    return str(attempt.outcome or attempt.state)
