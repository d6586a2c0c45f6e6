"""Run the main job, kill it half-way, run it again, and prove what was paid for."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.demo.proof import AtTheKill, Proof, prove
from flows.demo.servers import Servers, wait_until
from flows.demo.standard_library import write_table
from flows.demo.ticker import Ticker
from prefect_responses.clock import SystemClock
from prefect_responses.enrichment.reports import EnrichReport
from prefect_responses.identity import job_scope
from prefect_responses.ledger import Ledger

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from prefect_responses.attempt import Attempt

JOB = "python-modules"
FLOW = Path(__file__).parent.parent / "enrich_table.py"
#: The share of the rows that is accepted and not yet ended when the process is killed.
SHARE_AT_THE_KILL = 0.4
RUN_TIMEOUT = 600.0
LATENCY = "lognormal:median=7,p95=14"


@dataclass(frozen=True)
class Story:
    """What one demo works with.

    Args:
        folder: everything that it writes.
        rows: rows of the table.
        run_id: the flow run.
        origin: the emulator, or None on the real API.
    """

    folder: Path
    rows: int
    run_id: str
    origin: str | None

    @property
    def ledger_url(self) -> str:
        """The URL of the ledger."""
        return f"sqlite:///{self.folder / 'responses.db'}"

    @property
    def output(self) -> Path:
        """The result table."""
        return self.folder / "enriched.csv"


def main() -> int:
    """Tell the story; return 0 if the proof holds."""
    options = _options()
    console = Console()
    folder = Path(options.folder).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Servers(folder) as servers:
        story = _prepare(console, servers, folder, options)
        killed = _kill_half_way(console, servers, story)
        _run_again(console, servers, story)
        proof = _prove(story, killed)
    _report(console, story, proof)
    return 0 if proof.holds else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument("--folder", default=".demo", help="where everything is written")
    parser.add_argument(
        "--live", action="store_true", help="use the real API and OPENAI_API_KEY: this costs money"
    )
    parser.add_argument("--model", help="the model, with --live")
    parser.add_argument("--rows", type=int, help="use only the first rows of the table")
    options = parser.parse_args()
    if options.live and not (options.model and os.environ.get("OPENAI_API_KEY")):
        parser.error("--live needs --model and OPENAI_API_KEY")
    return options


def _prepare(
    console: Console, servers: Servers, folder: Path, options: argparse.Namespace
) -> Story:
    rows = write_table(folder / "modules.csv")
    if options.rows:
        rows = _cut(folder / "modules.csv", options.rows)
    console.print(f"{rows} modules of the standard library are in {folder / 'modules.csv'}")
    servers.environment |= {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": f"sqlite:///{folder / 'responses.db'}",
    }
    origin = None
    if not options.live:
        console.print("starting the emulator and a Prefect server on this machine ...")
        origin = servers.start_emulator(latency=LATENCY)
        servers.environment |= {"OPENAI_API_KEY": "sk-demo", "OPENAI_BASE_URL": f"{origin}/v1"}
    api_url = servers.start_prefect()
    servers.environment["PREFECT_API_URL"] = api_url
    run_id = _create_run(api_url, folder, options.model or "extract", rows)
    return Story(folder, rows, run_id, origin)


def _cut(table: Path, rows: int) -> int:
    with table.open(newline="", encoding="utf-8") as file:
        kept = list(csv.reader(file))[: rows + 1]
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(kept)
    return len(kept) - 1


def _create_run(api_url: str, folder: Path, model: str, rows: int) -> str:
    os.environ |= {"PREFECT_API_URL": api_url, "PREFECT_HOME": str(folder / "prefect")}
    # Prefect reads its settings when it is imported.
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    from flows.enrich_table import enrich_table  # noqa: PLC0415

    parameters = {
        "table": str(folder / "modules.csv"),
        "output": str(folder / "enriched.csv"),
        "model": model,
        "job": JOB,
        "max_in_flight": rows,
    }
    with get_client(sync_client=True) as client:
        return str(client.create_flow_run(enrich_table, parameters=parameters).id)


def _start_run(servers: Servers, story: Story, name: str) -> subprocess.Popen[bytes]:
    engine = ("-m", "prefect.flow_engine", f"{FLOW}:enrich_table")
    return servers.start(name, *engine, extra={"PREFECT__FLOW_RUN_ID": story.run_id})


def _kill_half_way(console: Console, servers: Servers, story: Story) -> AtTheKill:
    run = _start_run(servers, story, "first-run")
    wanted = SHARE_AT_THE_KILL * story.rows
    with Ticker(console, "first run") as ticker:

        def enough() -> bool:
            accepted, ended = _progress(story)
            ticker.show(f"{accepted} rows accepted, {ended} of them ended")
            return accepted - ended >= wanted

        wait_until(enough, run, timeout=RUN_TIMEOUT, every=0.1)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    accepted, ended = _progress(story)
    killed = AtTheKill.of(asyncio.run(_attempts(story)))
    console.print(
        f"killed (SIGKILL) with {accepted - ended} rows accepted and not yet ended: "
        f"{len(killed.in_flight)} IDs were stored, {len(killed.on_the_wire)} POSTs were on the wire"
    )
    return killed


def _run_again(console: Console, servers: Servers, story: Story) -> None:
    started = time.monotonic()
    run = _start_run(servers, story, "second-run")
    with Ticker(console, "second run") as ticker:

        def over() -> bool:
            accepted, ended = _progress(story)
            ticker.show(f"{accepted} rows accepted, {ended} of them ended")
            return run.poll() == 0

        wait_until(over, run, timeout=RUN_TIMEOUT, every=0.2)
    console.print(f"the same flow run, run again, ended after {time.monotonic() - started:.0f} s")


def _progress(story: Story) -> tuple[int, int]:
    """Return how many responses were accepted, and how many of them have ended."""
    if story.origin is None:
        attempts = asyncio.run(_attempts(story))
        accepted = [attempt for attempt in attempts if attempt.response_id is not None]
        return len(accepted), sum(attempt.is_settled for attempt in accepted)
    state = _control(story, "/state")
    return state["accepted"], state["terminal"]


def _control(story: Story, path: str) -> dict[str, Any]:
    url = f"{story.origin}/_emulator{path}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - loopback
        return dict(json.load(answer))


async def _attempts(story: Story) -> list[Attempt]:
    ledger = await Ledger.open(story.ledger_url, clock=SystemClock())
    try:
        return [attempt async for attempt in ledger.attempts(job_scope(JOB))]
    finally:
        await ledger.aclose()


def _prove(story: Story, killed: AtTheKill) -> Proof:
    journal = None if story.origin is None else _control(story, "/journal")["entries"]
    attempts: Sequence[Attempt] = asyncio.run(_attempts(story))
    adopted = _reported(story).adopted
    return prove(
        rows=story.rows,
        results=story.output,
        attempts=attempts,
        killed=killed,
        adopted=adopted,
        journal=journal,
    )


def _reported(story: Story) -> EnrichReport:
    """Ask Prefect for what the second run returned."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - see _create_run

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(story.run_id)).state
    if state is None:
        raise RuntimeError("The flow run has no state.")
    return EnrichReport.model_validate(asyncio.run(state.aresult()))


def _report(console: Console, story: Story, proof: Proof) -> None:
    rows = Table("module", "category", "keywords", "deprecation", "summary", title="Ten rows")
    for row in _ten_rows(story.output):
        rows.add_row(*(escape(_cut_text(row[name])) for name in _SHOWN))
    console.print(rows)
    table = Table("claim", "expected", "seen", "", title="What was paid for")
    for what, expected, seen, holds in proof.checks:
        table.add_row(what, _short(expected), _short(seen), "ok" if holds else "NO")
    console.print(table)
    console.print(f"results: {story.output}", soft_wrap=True)
    console.print(proof.summary, soft_wrap=True)
    console.print("PROVEN" if proof.holds else "NOT PROVEN", style="bold")


_SHOWN = ("module", "category", "keywords", "mentions_deprecation", "summary")


def _ten_rows(output: Path) -> list[dict[str, str]]:
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return rows[:: max(1, len(rows) // 10)][:10]


def _cut_text(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDEST else f"{flat[: _WIDEST - 3]}..."


_WIDEST = 60


def _short(value: Any) -> str:
    return str(len(value)) if isinstance(value, frozenset) else str(value)


if __name__ == "__main__":
    sys.exit(main())
