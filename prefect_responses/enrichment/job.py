"""A row job: every row of a table becomes one durable call, and every answer one row."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.attempt import Draft
from prefect_responses.decisions.policies import (
    AwaitMode,
    CallPolicy,
    InDoubtMode,
    InDoubtPolicy,
    OnChange,
)
from prefect_responses.engine.calls import Call, Found
from prefect_responses.engine.shards import RowEnd, drive_shard
from prefect_responses.enrichment.reports import DeadRow, ShardCounts
from prefect_responses.enrichment.rows import DEAD, RowOutcome, RowResult
from prefect_responses.enrichment.sinks import ResultColumns, written
from prefect_responses.enrichment.sources import check_table, key_columns, keyed_rows
from prefect_responses.enrichment.validation import read_row
from prefect_responses.errors import RequestInvalid
from prefect_responses.identity import canonical_json, job_scope, request_digest, row_name
from prefect_responses.statuses import AttemptState, Outcome
from prefect_responses.wire.requests import outgoing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prefect_responses.attempt import Attempt, Endpoint, Origin
    from prefect_responses.engine.connections import Connection
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.enrichment.output_types import OutputType
    from prefect_responses.enrichment.prompts import Prompt
    from prefect_responses.enrichment.rows import Row
    from prefect_responses.enrichment.sinks import Sink
    from prefect_responses.enrichment.sources import Source
    from prefect_responses.ledger import Ledger

#: Rows that are read from the ledger and written to the sink at a time.
_PAGE = 500
_SHOWN_DEAD_ROWS = 10


@dataclass(frozen=True, slots=True)
class EnrichJob:
    """Say what to ask of each row of a table.

    Args:
        name: the job's name; a later run under the same name reuses what is finished.
        source: the table.
        key: the column, or columns, that tell rows apart.
        prompt: what is asked of a row.
        output_type: what an answer has to look like.
        model: the model that answers.
        options: further request fields, named as the API names them.
        in_doubt: what to do when a POST may or may not have been accepted.
    """

    name: str
    source: Source
    key: str | tuple[str, ...]
    prompt: Prompt
    output_type: OutputType
    model: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    in_doubt: InDoubtMode = InDoubtMode.AUTO

    def check(self) -> int:
        """Check everything that can be checked before anything is sent; return the rows.

        Raises:
            TableInvalid: no rows, a column missing, a key twice, a name taken twice.
            RequestInvalid: the job has no name, or a request could not be sent as it is.
        """
        if not self.name:
            raise RequestInvalid("The job has no name; a later run finds its rows by it.")
        rows = check_table(self.source, self.key, self.prompt.columns).rows
        self.result_columns()
        if self.options.get("stream"):
            raise RequestInvalid("The rows of a job are polled: leave `stream` out.")
        outgoing(self._request("A row."), key="")
        return rows

    def result_columns(self) -> ResultColumns:
        """Return the columns of the result table."""
        return ResultColumns(key_columns(self.key), self.output_type.columns)

    def rows(self) -> Iterator[Row]:
        """Go through the table's rows."""
        return keyed_rows(self.source, self.key)

    def call(self, row: Row, endpoint: Endpoint, credentials: str, origin: Origin) -> Call:
        """Return the durable call that asks for *row*.

        A change in the prompt's version, the model, the schema or the rendered text is another
        request: its row is submitted again. A column that the prompt does not use changes nothing.
        """
        request = self._request(self.prompt.render(row))
        draft = Draft(
            scope=job_scope(self.name),
            name=row_name(row.key),
            digest=request_digest(request, endpoint, version=self.prompt.version),
            endpoint=endpoint,
            credentials=credentials,
            request=canonical_json(request),
            ordinal=0,
            run=origin.run,
            flow_run_id=origin.flow_run_id,
            task_run_id=origin.task_run_id,
            model=self.model,
        )
        policy = CallPolicy(AwaitMode.POLL, in_doubt=InDoubtPolicy(self.in_doubt))
        return Call(draft, request, origin, policy, OnChange.RESUBMIT)

    def _request(self, text: str) -> dict[str, Any]:
        options = dict(self.options)
        text_options = {**options.pop("text", {}), "format": self.output_type.format}
        request = {"model": self.model, "input": text, "text": text_options, **options}
        if self.prompt.instructions is not None:
            request["instructions"] = self.prompt.instructions
        return request


async def run_shard(  # noqa: PLR0913 - who asks what of whom, and who is told
    job: EnrichJob,
    rows: Sequence[Row],
    responses: DurableResponses,
    connection: Connection,
    origin: Origin,
    *,
    max_in_flight: int,
    ended: Callable[[RowEnd], None],
) -> ShardCounts:
    """Drive *rows* to their ends; return counts, not bodies.

    After a crash, the next run of the job finds each of them where it was.

    Raises:
        ResponsesError: what stopped the shard before its end; finished rows are kept.
    """
    counts = {Found.ANSWER: 0, Found.IN_FLIGHT: 0, Found.NOTHING: 0}

    def count(end: RowEnd) -> None:
        if end.settled is not None and end.settled.attempt.response_id is not None:
            counts[end.settled.found] += 1
        ended(end)

    calls = (job.call(row, connection.endpoint, connection.reference, origin) for row in rows)
    await drive_shard(responses, calls, max_in_flight=max_in_flight, ended=count)
    return ShardCounts(
        reused=counts[Found.ANSWER],
        adopted=counts[Found.IN_FLIGHT],
        submitted=counts[Found.NOTHING],
    )


async def collect(
    job: EnrichJob, ledger: Ledger, sink: Sink | None
) -> tuple[ShardCounts, list[DeadRow]]:
    """Read how every row of the job stands, write it to *sink*, and count.

    The ledger is the truth, so rows that an earlier run finished are written too. A kill leaves
    the sink's earlier table or the new one, never half of it.

    Returns:
        The counts over all rows, and a few rows without a usable answer.
    """
    counts, dead = ShardCounts(), list[DeadRow]()
    rows, columns = job.rows(), job.result_columns()
    with written(sink or _Nowhere(), columns) as out:
        while page := await asyncio.to_thread(lambda: list(islice(rows, _PAGE))):
            results = await _results(job, ledger, page)
            counts += ShardCounts.of_results(results)
            dead += [_dead(result) for result in results if result.outcome in DEAD]
            del dead[_SHOWN_DEAD_ROWS:]
            await asyncio.to_thread(_write, out, results)
    return counts.model_copy(update=await _named(job, ledger)), dead


def _write(sink: Sink, results: list[RowResult]) -> None:
    for result in results:
        sink.write(result)


async def _results(job: EnrichJob, ledger: Ledger, rows: Sequence[Row]) -> list[RowResult]:
    standing = await ledger.standing(job_scope(job.name), [row_name(row.key) for row in rows])
    bodies = await ledger.bodies([attempt.id for attempt in standing.values()])
    results = []
    for row in rows:
        attempt = standing.get(row_name(row.key))
        body = bodies[attempt.id].response if attempt and attempt.id in bodies else None
        results.append(_result(job, row, attempt, body))
    return results


def _result(job: EnrichJob, row: Row, attempt: Attempt | None, body: bytes | None) -> RowResult:
    if attempt is None:
        return RowResult(row.key, RowOutcome.PARKED, error="It was not submitted.")
    if body is not None and attempt.is_settled:
        return read_row(orjson.loads(body), job.output_type, row.key)
    error = str((attempt.error or {}).get("message", ""))
    return RowResult(
        row.key, _outcome_without_body(attempt), response_id=attempt.response_id, error=error
    )


def _outcome_without_body(attempt: Attempt) -> RowOutcome:
    by_state = {
        AttemptState.PLANNED: RowOutcome.PARKED,
        AttemptState.SUBMITTING: RowOutcome.IN_FLIGHT,
        AttemptState.SUBMITTED: RowOutcome.IN_FLIGHT,
        AttemptState.IN_DOUBT: RowOutcome.IN_DOUBT,
    }
    by_outcome = {
        Outcome.CANCELLED: RowOutcome.CANCELLED,
        Outcome.EXPIRED: RowOutcome.EXPIRED,
        Outcome.REFUSED: RowOutcome.REFUSED,
        Outcome.ABANDONED: RowOutcome.ABANDONED,
    }
    if attempt.outcome is None:
        return by_state[attempt.state]
    return by_outcome.get(attempt.outcome, RowOutcome.FAILED)


async def _named(job: EnrichJob, ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """Name the rows with attempts that were given up, or accepted beside another."""
    named: dict[Outcome, list[str]] = {Outcome.ABANDONED: [], Outcome.SURPLUS: []}
    settled = ledger.attempts(job_scope(job.name), {AttemptState.SETTLED})
    async for attempt in settled:
        if attempt.outcome in named:
            named[attempt.outcome].append(attempt.name.removeprefix(row_name("")))
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
