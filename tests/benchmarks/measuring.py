"""What a measured process says of itself, as the last line that it prints."""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass
class Cost:
    """What a block of code took: processor seconds of this process, user and system together."""

    cpu: float = 0.0
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def measured(cost: Cost) -> Iterator[None]:
    """Write into *cost* what the block takes."""
    cpu, began = time.process_time(), time.perf_counter()
    yield
    cost.cpu, cost.seconds = time.process_time() - cpu, time.perf_counter() - began


def resident_megabytes() -> float:
    """Return the most memory that this process ever had resident."""
    status = Path("/proc/self/status")
    if status.exists():  # not inherited from the parent, as the other is
        [peak] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peak.split()[1]) / 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2.0**20


def tell(cost: Cost) -> None:
    """Print *cost* for the parent."""
    facts = {"cpu": cost.cpu, "seconds": cost.seconds, "rss": resident_megabytes(), **cost.facts}
    print(json.dumps(facts), flush=True)  # noqa: T201 - it is what the parent reads


def main(kinds: Mapping[str, Callable[..., Cost]]) -> None:
    """Run what the command line names, with the arguments that it gives as JSON, and tell."""
    told = json.loads(sys.argv[2])
    tell(kinds[sys.argv[1]](**told))
