"""What a row costs, beside what it costs others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from results import Figures, Part, Target, number

if TYPE_CHECKING:
    from bench_lab import BenchLab
    from sizes import Size

OURS = "`enrich`"
LEARNED = "`enrich`, polling as it learns"
ENGINE = "its engine and ledger, no Prefect"
HTTPX_ON_AIOHTTP = "bare loop, httpx on aiohttp"
HTTPX = "bare loop, httpx"
AIOHTTP = "bare loop, aiohttp + orjson"
TASKS = "Prefect, a task per row, SDK"
HEAD = (
    "who",
    "client CPU, ms a row",
    "server CPU, ms a row",
    "creates a row",
    "polls a row",
    "rows a second",
    "memory, MB",
)


def rows(lab: BenchLab) -> Part:
    """Measure what a row costs beside what it costs others."""
    size = lab.size
    many = {"in_flight": size.in_flight}
    ours = partial(lab.enrich, size.rows, size.in_flight, latency=size.latency)
    found = lab.medians(
        {
            OURS: partial(ours, poll=size.poll),
            **({LEARNED: ours} if size.learns else {}),
            ENGINE: partial(_engine, lab),
            HTTPX_ON_AIOHTTP: partial(lab.peer, "httpx-aiohttp", size.rows, **many),
            HTTPX: partial(lab.peer, "httpx", size.rows, **many),
            AIOHTTP: partial(lab.peer, "aiohttp", size.rows, **many),
            TASKS: partial(_tasks, lab),
        }
    )
    cells = [_row_cells(name, each) for name, each in found.items()]
    return Part("rows", [Figures(HEAD, cells, _note(size))], _targets(found))


def _note(size: Size) -> str:
    return (
        f"{size.rows:,} rows, {size.in_flight:,} in flight, {size.latency:g} s of latency, a poll "
        f"every {size.poll:g} s; the task per row with {size.task_rows:,} rows, all in flight, for "
        "its costs are a row's. On loopback, without TLS; `enrich` (on aiohttp) and httpx on "
        "aiohttp's transport may use 100 connections, the other loops 16. CPU is that of the work "
        "itself, without importing and starting a flow run."
    )


def _targets(found: dict[str, dict[str, Any]]) -> list[Target]:
    cost = {name: each["cpu"] for name, each in found.items()}
    whole = found[OURS]["whole"] / found[TASKS]["whole"]
    tax = cost[ENGINE] / cost[HTTPX_ON_AIOHTTP]
    speed = found[ENGINE]["rate"] / found[HTTPX_ON_AIOHTTP]["rate"]
    return [
        Target("client CPU a row, of bare httpx's", cost[OURS] / cost[HTTPX], 0.5),
        Target("client CPU a row, of bare aiohttp's", cost[OURS] / cost[AIOHTTP], 3.0),
        Target("client and server CPU a row, of a task per row's", whole, 0.05),
        Target("create calls a row", found[OURS]["creates"], 1.0),
        Target("engine's CPU, of bare httpx on aiohttp's", tax, 1.25),
        Target("engine's rows a second, of the same loop's", speed, 0.85, at_least=True),
    ]


def _engine(lab: BenchLab) -> dict[str, Any]:
    size = lab.size
    lab.stub.reset(median=size.latency)
    told = {"rows": size.rows, "in_flight": size.in_flight, "poll": size.poll}
    took = lab.measured().run("ours.py", "engine", ledger="ledger.db", **told)
    return lab.together(took, size.rows)


def _tasks(lab: BenchLab) -> dict[str, Any]:
    size = lab.size
    lab.stub.reset(median=size.latency)
    server = lab.prefect().taken()
    measured = lab.measured(prefect=True)
    took = measured.run("peers.py", "task-per-row", rows=size.task_rows, poll=size.poll)
    return lab.together(took, size.task_rows, server=server.spent())


def _row_cells(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    server = number(found["server"]) if found["server"] else ""
    asked = (f"{found['creates']:.2f}", f"{found['polls']:.2f}")
    return (name, number(found["cpu"]), server, *asked, *pace_cells(found))


def pace_cells(found: dict[str, Any]) -> tuple[str, str]:
    """Return rows a second and memory."""
    return number(round(found["rate"])), number(round(found["rss"]))
