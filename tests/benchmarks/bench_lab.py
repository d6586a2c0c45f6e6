"""What every part of the benchmark works with."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from machines import Measured
from peers import texts_of
from results import median_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from machines import PrefectServer, Stub
    from sizes import Size

    from flows.demo.servers import Servers


@dataclass
class BenchLab:
    """A stub, a Prefect server if one is needed, and a folder.

    Args:
        folder: where everything is written.
        size: how much is measured.
        stub: the Responses API.
        prefect: the Prefect server, started when it is first needed.
        servers: starts more processes, and ends them all at last.
        say: tells the terminal how far it is.
    """

    folder: Path
    size: Size
    stub: Stub
    prefect: Callable[[], PrefectServer]
    servers: Servers
    say: Callable[[str], None]
    _numbers: count[int] = field(default_factory=count)

    def measured(self, *, prefect: bool = False) -> Measured:
        """Return what starts measured processes, in a folder of their own."""
        folder = self.folder / f"run-{next(self._numbers)}"
        folder.mkdir()
        environment = {
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_BASE_URL": f"{self.stub.origin}/v1",
            "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        if prefect:
            environment["PREFECT_API_URL"] = self.prefect().url
        return Measured(folder, environment)

    def table(self, rows: int) -> str:
        """Return a CSV file of *rows* rows."""
        path = self.folder / f"table-{rows}.csv"
        if not path.exists():
            with path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("key", "text"))
                writer.writerows((f"k{i}", text) for i, text in enumerate(texts_of(rows)))
        return str(path)

    def enrich(
        self, rows: int, in_flight: int, *, latency: float, poll: float | None = None
    ) -> dict[str, Any]:
        """Run one job under Prefect; return what it took, the server's share and what was asked."""
        self.stub.reset(median=latency)
        measured = self.measured(prefect=True)
        server = self.prefect().taken()
        told = {
            "table": self.table(rows),
            "sink": "results.csv",
            "rows": rows,
            "in_flight": in_flight,
            "job": "bench",
            "poll": poll,
        }
        took = measured.run("ours.py", "enrich", **told)
        return self.together(took, rows, server=server.spent())

    def peer(self, kind: str, rows: int, **told: Any) -> dict[str, Any]:
        """Run one bare loop."""
        self.stub.reset(median=self.size.latency)
        took = self.measured().run("peers.py", kind, rows=rows, poll=self.size.poll, **told)
        return self.together(took, rows)

    def together(self, took: dict[str, Any], rows: int, *, server: float = 0.0) -> dict[str, Any]:
        """Return the figures of one run, a row each where they are costs.

        Raises:
            RuntimeError: not every row was answered.
        """
        stats = self.stub.stats()
        if took["answered"] != rows:
            raise RuntimeError(f"{took['answered']} of {rows} rows were answered.")
        return {
            "cpu": 1000.0 * took["cpu"] / rows,
            "server": 1000.0 * server / rows,
            "whole": 1000.0 * (took["cpu"] + server) / rows,
            "creates": stats["posts"] / rows,
            "polls": stats["gets"] / rows,
            "rate": rows / took["seconds"],
            "rss": took["rss"],
            "seconds": took["seconds"],
        }

    def median(self, what: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measure as often as it takes; return the medians."""
        return self.medians({what: run})[what]

    def medians(self, runs: dict[str, Callable[[], dict[str, Any]]]) -> dict[str, dict[str, Any]]:
        """Measure several in turn, as often as it takes: noise then hits all of them."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
        for turn in range(self.size.times):
            for name, run in runs.items():
                self.say(f"{name} ({turn + 1} of {self.size.times})")
                found[name].append(run())
        return {name: median_of(each) for name, each in found.items()}
