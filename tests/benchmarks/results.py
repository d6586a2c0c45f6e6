"""What a part of the benchmark found: figures, and targets that were met or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Target:
    """A figure that has a bound.

    Args:
        what: what was measured.
        value: what came out.
        bound: what it may be at most, or at least.
        unit: of both.
        at_least: the bound is a lower one.
    """

    what: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Tell whether the value is within its bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def as_cells(self) -> tuple[str, ...]:
        """Return the cells of its row in a table."""
        word = "at least" if self.at_least else "at most"
        return (
            self.what,
            f"{number(self.value)}{self.unit}",
            f"{word} {number(self.bound)}{self.unit}",
            "met" if self.is_met else "**missed**",
        )


@dataclass(frozen=True)
class Figures:
    """A table of what was measured.

    Args:
        head: the names of the columns.
        rows: the cells.
        note: what must be known to read it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass
class Part:
    """What one part found."""

    name: str
    figures: list[Figures] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)


def number(value: float) -> str:
    """Return *value* with as many digits as it is worth."""
    if value == int(value) and abs(value) < 1000.0:
        return str(int(value))
    size = abs(value)
    for least, digits in ((100.0, 0), (10.0, 1), (1.0, 2)):
        if size >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def median_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of each fact that is a number."""
    return {
        name: median(run[name] for run in runs)
        for name, value in runs[0].items()
        if isinstance(value, int | float)
    }
