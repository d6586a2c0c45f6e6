"""Measure what prefect-responses takes beside what others take, and write it into the docs.

`bench.py rows polls scale re-attach start tables`, or some of them; all of them by default. It ends
with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from bench_lab import BenchLab  # noqa: E402 - beside us, as the measured processes import it
from machines import PrefectServer, Stub  # noqa: E402
from page import PAGE, TARGET_HEAD, write_part  # noqa: E402
from poll_part import polls  # noqa: E402
from reattach_part import reattach  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from row_part import rows  # noqa: E402
from scale_part import scale  # noqa: E402
from sizes import FULL, QUICK  # noqa: E402
from start_part import start  # noqa: E402
from table_part import tables  # noqa: E402

from flows.demo.servers import Servers  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from results import Part

PARTS: dict[str, Callable[[BenchLab], Part]] = {
    "rows": rows,
    "polls": polls,
    "scale": scale,
    "re-attach": reattach,
    "start": start,
    "tables": tables,
}
#: Seconds over which the Prefect server's own idle work is measured.
IDLE = 5.0


def main() -> int:
    """Measure; return 0 if all targets were met."""
    options, console, missed = _options(), Console(), 0
    with ExitStack() as stack:
        lab = _lab(options, console, stack)
        for name in options.parts:
            began = time.monotonic()
            part = PARTS[name](lab)
            _show(part, console, time.monotonic() - began)
            missed += sum(not target.is_met for target in part.targets)
            if options.write:
                write_part(part, options.page)
    return 0 if options.quick or not missed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="next to nothing: does it run at all")
    parser.add_argument("--write", action="store_true", help="write the figures into the page")
    parser.add_argument("--page", type=Path, default=PAGE, help="which page; by default the docs'")
    parser.add_argument("--prefect", metavar="URL", help="use this Prefect server")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part called {', '.join(sorted(unknown))}")
    return options


def _lab(options: argparse.Namespace, console: Console, stack: ExitStack) -> BenchLab:
    temporary = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
    folder = Path(stack.enter_context(temporary))
    environment = {"PREFECT_HOME": str(folder / "server"), "DO_NOT_TRACK": "1"}
    servers = stack.enter_context(Servers(folder, environment))

    @cache
    def prefect() -> PrefectServer:
        if options.prefect:
            return PrefectServer.running(options.prefect)
        console.print("starting a Prefect server ...")
        server = PrefectServer.start(servers)
        server.learn_idle(IDLE)
        return server

    size = QUICK if options.quick else FULL
    return BenchLab(folder, size, Stub(servers, folder), prefect, servers, console.print)


def _show(part: Part, console: Console, seconds: float) -> None:
    shown: list[tuple[Sequence[str], Sequence[Sequence[str]]]] = [
        (TARGET_HEAD, [target.as_cells() for target in part.targets]),
        *((figures.head, figures.rows) for figures in part.figures),
    ]
    console.print(f"{part.name}: measured in {seconds:.0f} s")
    for head, cells in shown:
        table = Table(*head)
        for row in cells:
            table.add_row(*row)
        if cells:
            console.print(table)


if __name__ == "__main__":
    sys.exit(main())
