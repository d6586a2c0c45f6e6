"""Write how every row of a job stands: the ledger is the truth, a result table its picture."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from prefect_responses.engine.crash_points import PassPoint, reach
from prefect_responses.enrichment.key_sets import TableDigest, key_hash
from prefect_responses.enrichment.readings import key_of, read_rows
from prefect_responses.enrichment.reports import DeadRow, ShardCounts
from prefect_responses.enrichment.rows import DEAD, OVER_BUDGET, RowOutcome, RowResult
from prefect_responses.enrichment.sinks import written
from prefect_responses.job_errors import TableChanged
from prefect_responses.statuses import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prefect_responses.enrichment.job import EnrichJob
    from prefect_responses.enrichment.row_requests import RowRequests
    from prefect_responses.enrichment.sinks import ResultColumns, Sink
    from prefect_responses.ledger import Ledger, Pass

#: Rows that are read from the ledger and written to the sink at a time.
_PAGE = 500
_SHOWN_DEAD_ROWS = 10


@dataclass(frozen=True, slots=True)
class Collected:
    """What was found in the ledger.

    Args:
        counts: over all rows of the table.
        examples: a few rows without a usable answer.
    """

    counts: ShardCounts
    examples: tuple[DeadRow, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Say what was asked of a table, and by which pass.

    Args:
        job: what was asked.
        requests: forms the requests of rows.
        ledger: the record.
        pass_: the pass that asked it.
        check: raises if this run is not to write the results any more; called just before they are
            made seen by others.
        over_budget: keys of rows that were not sent because they alone exceed a budget.
    """

    job: EnrichJob
    requests: RowRequests
    ledger: Ledger
    pass_: Pass
    check: Callable[[], Awaitable[None]]
    over_budget: frozenset[str] = frozenset()


async def collect(
    asked: Asked, sink: Sink | None, unsent: RowOutcome = RowOutcome.PARKED
) -> Collected:
    """Read how every row of the job stands, write it to *sink*, and count.

    Rows that an earlier run finished are written too. A kill leaves a file as it was or whole; a
    database has some rows as they stand now, and the others as they stood, each of them whole.

    Args:
        asked: what was asked.
        sink: where to write, or None to count alone.
        unsent: what to call a row that was not sent.

    Raises:
        TableChanged: the table is not the one that the pass goes over; a file is as it was.
    """
    job, requests, ledger = asked.job, asked.requests, asked.ledger
    counts, dead = ShardCounts(), list[DeadRow]()
    rows, columns, render = job.rows(), job.result_columns(), job.prompt.render
    table = TableDigest()

    def next_page() -> dict[str, str]:
        return {row.key: requests.digest(render(row)) for row in islice(rows, _PAGE)}

    with written(sink or _Nowhere(), columns) as out:
        while page := await asyncio.to_thread(next_page):
            for key, digest in page.items():
                table.add(key_hash(key), digest)
            results = await read_rows(job, ledger, page, asked.pass_.run, unsent)
            if asked.over_budget:
                results = [_named_over(one, unsent, asked.over_budget) for one in results]
            counts += ShardCounts.of_results(results)
            dead += [_dead(result) for result in results if result.outcome in DEAD]
            del dead[_SHOWN_DEAD_ROWS:]
            await asyncio.to_thread(_write, out, results)
            reach(PassPoint.WHILE_WRITING)
        _check_table(table, asked.pass_)
        await asked.check()
    return Collected(counts.model_copy(update=await _named(job, ledger)), tuple(dead))


def _check_table(table: TableDigest, pass_: Pass) -> None:
    if table.hexdigest() != pass_.table_digest:
        raise TableChanged(
            "The table changed while the job went over it. Answers are kept: run the job again, "
            "which writes the results of the table as it is then."
        )


def _named_over(result: RowResult, unsent: RowOutcome, over_budget: frozenset[str]) -> RowResult:
    if result.outcome is not unsent or result.key not in over_budget:
        return result
    return replace(result, outcome=RowOutcome.BUDGET, error=OVER_BUDGET)


def _write(sink: Sink, results: list[RowResult]) -> None:
    for result in results:
        sink.write(result)


async def _named(job: EnrichJob, ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """Name the rows with attempts that were given up, or accepted beside another."""
    named: dict[Outcome, list[str]] = {Outcome.ABANDONED: [], Outcome.SURPLUS: []}
    for name, outcome in await ledger.names_ended(job.scope, named):
        named[outcome].append(key_of(name))
    return {str(outcome): tuple(dict.fromkeys(keys)) for outcome, keys in named.items()}


def _dead(result: RowResult) -> DeadRow:
    return DeadRow(key=result.key, outcome=result.outcome, error=result.error)


class _Nowhere:
    """A sink for those who want the counts alone."""

    def open(self, columns: ResultColumns) -> None:
        """Take nothing."""

    def write(self, result: RowResult) -> None:
        """Take nothing."""

    def commit(self) -> None:
        """Take nothing."""

    def abort(self) -> None:
        """Take nothing."""
