"""Write how every row of a job stands: the ledger is the truth, a result table its picture."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from prefect_responses.engine.crash_points import PassPoint, reach
from prefect_responses.enrichment.readings import key_of, read_rows
from prefect_responses.enrichment.reports import DeadRow, ShardCounts
from prefect_responses.enrichment.rows import DEAD, RowOutcome, RowResult
from prefect_responses.enrichment.sinks import written
from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from prefect_responses.enrichment.job import EnrichJob
    from prefect_responses.enrichment.row_requests import RowRequests
    from prefect_responses.enrichment.sinks import ResultColumns, Sink
    from prefect_responses.ledger import Ledger

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


async def collect(
    job: EnrichJob,
    requests: RowRequests,
    ledger: Ledger,
    sink: Sink | None,
    unsent: RowOutcome = RowOutcome.PARKED,
) -> Collected:
    """Read how every row of the job stands, write it to *sink*, and count.

    Rows that an earlier run finished are written too. A kill leaves the sink's earlier table or the
    new one, never half of it.

    Args:
        job: what was asked.
        requests: forms the requests of rows.
        ledger: the record.
        sink: where to write, or None to count alone.
        unsent: what to call a row that was not sent.
    """
    counts, dead = ShardCounts(), list[DeadRow]()
    rows, columns, render = job.rows(), job.result_columns(), job.prompt.render

    def next_page() -> dict[str, str]:
        return {row.key: requests.digest(render(row)) for row in islice(rows, _PAGE)}

    with written(sink or _Nowhere(), columns) as out:
        while page := await asyncio.to_thread(next_page):
            results = await read_rows(job, ledger, page, unsent)
            counts += ShardCounts.of_results(results)
            dead += [_dead(result) for result in results if result.outcome in DEAD]
            del dead[_SHOWN_DEAD_ROWS:]
            await asyncio.to_thread(_write, out, results)
            reach(PassPoint.WHILE_WRITING)
    return Collected(counts.model_copy(update=await _named(job, ledger)), tuple(dead))


def _write(sink: Sink, results: list[RowResult]) -> None:
    for result in results:
        sink.write(result)


async def _named(job: EnrichJob, ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """Name the rows with attempts that were given up, or accepted beside another."""
    named: dict[Outcome, list[str]] = {Outcome.ABANDONED: [], Outcome.SURPLUS: []}
    settled = ledger.attempts(job.scope, {AttemptState.SETTLED})
    async for attempt in settled:
        if attempt.outcome in named:
            named[attempt.outcome].append(key_of(attempt.name))
    return {str(outcome): tuple(keys) for outcome, keys in named.items()}


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
