"""Enrich: ask a model about every row of a table, and pay for each row once."""

from __future__ import annotations

import asyncio
import functools
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run
from prefect.utilities.asyncutils import run_coro_as_sync

from prefect_responses.blocks.responses_credentials import connection_of
from prefect_responses.decisions.policies import InDoubtMode
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.enrichment.job import EnrichJob, collect, run_shard
from prefect_responses.enrichment.output_types import OutputType
from prefect_responses.enrichment.prompts import Prompt
from prefect_responses.enrichment.reports import EnrichReport, ShardCounts
from prefect_responses.enrichment.sinks import CsvSink
from prefect_responses.enrichment.sources import CsvSource
from prefect_responses.errors import OwnerLost, RequestInvalid
from prefect_responses.host.origins import read_host
from prefect_responses.host.progress import RowProgress
from prefect_responses.host.report_artifacts import publish_report
from prefect_responses.identity import TASK_SHARD
from prefect_responses.tasks.asking import one_of, open_engine
from prefect_responses.tasks.retrying import worth_retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from pydantic import BaseModel

    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.blocks.responses_credentials import ResponsesCredentials
    from prefect_responses.engine.connections import Connection
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.enrichment.rows import Row
    from prefect_responses.enrichment.sinks import Sink
    from prefect_responses.enrichment.sources import Source
    from prefect_responses.host.origins import Host

P = ParamSpec("P")

#: Rows that one Prefect task run drives.
SHARD_ROWS = 1000
#: Shards under way at once, so that the slowest row of one does not hold up the next.
LANES = 2


async def aenrich(  # noqa: PLR0913 - each is a named choice of the user
    *,
    job: str,
    rows: Source | str | Path,
    key: str | tuple[str, ...],
    prompt: Prompt | str,
    output_type: type[BaseModel] | dict[str, Any],
    model: str,
    sink: Sink | str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    max_in_flight: int = 200,
    shard_rows: int = SHARD_ROWS,
    in_doubt: InDoubtMode | str = InDoubtMode.AUTO,
    accept_new_ledger: bool = False,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> EnrichReport:
    """Ask a model about every row of a table, and pay for each row once.

    A row that is finished is not asked again, by a retry or by a later run of the same job; a row
    that was in flight when a process died is found again. A changed row is submitted again.

    Args:
        job: the job's name, by which later runs find its rows.
        rows: a CSV file or a `Source`.
        key: the column, or columns, that tell rows apart.
        prompt: what is asked, with `{column}` placeholders.
        output_type: a pydantic model or a JSON schema.
        model: the model that answers.
        sink: a CSV file or a `Sink` for the results.
        options: further request fields, named as the API names them.
        max_in_flight: responses under way at once.
        shard_rows: rows that one Prefect task run drives.
        in_doubt: `auto`, `resubmit` or `fail`.
        accept_new_ledger: let this ledger replace the one that the flow run began with.
        credentials: the account that pays; the environment's by default.
        ledger: where to record; the default ledger if None.

    Returns:
        Counts, names of what is in doubt, and where the results lie.

    Raises:
        RequestInvalid: something is wrong with what was asked; nothing was sent.
        ResponsesError: what stopped the job (no quota, say); finished rows are written, and the
            next run goes on from there.
    """
    what = EnrichJob(
        name=job,
        source=CsvSource(rows) if isinstance(rows, str | Path) else rows,
        key=key,
        prompt=Prompt(prompt) if isinstance(prompt, str) else prompt,
        output_type=OutputType(output_type),
        model=model,
        options=options or {},
        in_doubt=one_of(InDoubtMode, "in_doubt", in_doubt),
    )
    for name, number in (("max_in_flight", max_in_flight), ("shard_rows", shard_rows)):
        if number < 1:
            raise RequestInvalid(f"{name} is {number}; it takes at least 1.")
    total = await asyncio.to_thread(what.check)
    size = _Size(total, shard_rows, max_in_flight)
    work = _Work(what, connection_of(credentials), ledger, size)
    await work.open(accept_new_ledger=accept_new_ledger)
    return await _run(work, CsvSink(sink) if isinstance(sink, str | Path) else sink)


def _sync_face(
    face: Callable[P, Coroutine[Any, Any, EnrichReport]],
) -> Callable[P, EnrichReport]:
    @functools.wraps(face)
    def enrich(*args: P.args, **choices: P.kwargs) -> EnrichReport:
        report: EnrichReport = run_coro_as_sync(face(*args, **choices))
        return report

    enrich.__name__ = enrich.__qualname__ = "enrich"
    return enrich


enrich = _sync_face(aenrich)


@dataclass(frozen=True, slots=True)
class _Size:
    """How many rows a job has, and how they are driven."""

    rows: int
    shard_rows: int
    max_in_flight: int

    @property
    def lanes(self) -> int:
        return LANES if self.rows > self.shard_rows else 1

    @property
    def in_flight_a_lane(self) -> int:
        return -(-self.max_in_flight // self.lanes)


class _Work:
    """What every shard of one run shares. A plain class: Prefect looks into dataclasses."""

    responses: DurableResponses
    host: Host

    def __init__(
        self,
        job: EnrichJob,
        connection: Connection,
        ledger: ResponseLedger | None,
        size: _Size,
    ) -> None:
        self.job = job
        self.connection = connection
        self.ledger = ledger
        self.size = size
        self.progress = RowProgress(job.name, size.rows)

    async def open(self, *, accept_new_ledger: bool = False) -> None:
        """Open the ledger and the engine for this flow run."""
        await current_runtime().arun(self._open(accept_new=accept_new_ledger))

    async def _open(self, *, accept_new: bool) -> None:
        self.host = await read_host(scope=None, key=None, job=self.job.name)
        self.responses = await open_engine(
            self.connection, self.ledger, self.host, accept_new=accept_new, transport="aiohttp"
        )

    def shards(self) -> Iterator[_Rows]:
        """Go through the table in shards."""
        rows, first = self.job.rows(), 1
        while shard := list(islice(rows, self.size.shard_rows)):
            yield _Rows(shard, first)
            first += len(shard)


class _Rows:
    """The rows of one shard, closed to Prefect's search for futures in parameters."""

    def __init__(self, rows: list[Row], first: int) -> None:
        self.rows = rows
        self.first = first


async def _run(work: _Work, sink: Sink | None) -> EnrichReport:
    started, stopped, counts = time.monotonic(), None, ShardCounts()
    with work.progress:
        for end in await _drive(work):
            if isinstance(end, BaseException):
                stopped = stopped or end
            else:
                counts += end
    table, dead = await current_runtime().arun(collect(work.job, work.responses.ledger, sink))
    report = EnrichReport.of_counts(
        _together(counts, table),
        job=work.job.name,
        rows=work.size.rows,
        seconds=time.monotonic() - started,
        output=str(sink.path) if isinstance(sink, CsvSink) else None,
        examples=dead,
    )
    await publish_report(report)
    if stopped is not None:
        raise stopped
    return report


async def _drive(work: _Work) -> list[ShardCounts | BaseException]:
    """Drive all shards, a few at a time; a lane that is stopped lets the others end theirs."""
    shards, reading = work.shards(), asyncio.Lock()

    async def next_shard() -> _Rows | None:
        async with reading:
            return await asyncio.to_thread(next, shards, None)

    async def lane() -> ShardCounts:
        counts = ShardCounts()
        while (rows := await next_shard()) is not None:
            counts += await _drive_shard(work, rows)
        return counts

    return await asyncio.gather(*(lane() for _ in range(work.size.lanes)), return_exceptions=True)


async def _drive_shard(work: _Work, rows: _Rows) -> ShardCounts:
    try:
        return await enrich_shard(work, rows)
    except OwnerLost:
        # This process was paused past its lease; it goes on as a new owner.
        await work.open()
        return await enrich_shard(work, rows)


def _name_of_shard() -> str:
    given = task_run.parameters
    work, rows = given["work"], given["rows"]
    return f"{work.job.name}-rows-{rows.first}-to-{rows.first + len(rows.rows) - 1}"


@task(
    name=TASK_SHARD,
    task_run_name=_name_of_shard,
    cache_policy=NO_CACHE,
    retry_condition_fn=worth_retrying,
)
async def enrich_shard(work: _Work, rows: _Rows) -> ShardCounts:
    """Drive the rows of one shard to their ends, and return counts."""
    shard = run_shard(
        work.job,
        rows.rows,
        work.responses,
        work.connection,
        work.host.origin,
        max_in_flight=work.size.in_flight_a_lane,
        ended=work.progress.row_ended,
    )
    return await current_runtime().arun(shard)


def _together(shards: ShardCounts, table: ShardCounts) -> ShardCounts:
    """Take what this run did from its shards, and how the rows stand from the table."""
    did = {"reused": shards.reused, "adopted": shards.adopted, "submitted": shards.submitted}
    return table.model_copy(update=did)
