"""How a run of a row job ends: with the results written, by it or by another run, or stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.estimates import Pace
from prefect_responses.engine.crash_points import PassPoint, reach
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.enrichment.collecting import Asked, collect
from prefect_responses.enrichment.passes import WrittenByOthers, was_superseded
from prefect_responses.enrichment.reports import EnrichReport, ShardCounts
from prefect_responses.enrichment.rows import RowOutcome
from prefect_responses.enrichment.samples import Preview, sample_row
from prefect_responses.enrichment.sinks import place_of
from prefect_responses.errors import Parked, RequestInvalid, ResponsesError, type_name
from prefect_responses.host.job_events import JobEvent, tell_of_job
from prefect_responses.host.report_artifacts import publish_report, say
from prefect_responses.identity import row_name
from prefect_responses.job_errors import BudgetStopped, JobTakenOver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prefect_responses.ledger import Pass
    from prefect_responses.tasks.enrich_run import JobRun

#: What a report says of the run itself, and not of the table.
_DONE = ("adopted", "submitted", "superseded", "over_budget")


async def end_run(run: JobRun, closed: Pass | None) -> EnrichReport:
    """Write the results, or take them from the run that wrote them; report and publish.

    A kill before the pass is closed lets the next run write them again.

    Args:
        run: a run that has driven all shards that it could have.
        closed: the pass as another run closed it, or None if this one is to write.

    Raises:
        JobTakenOver: the pass was superseded.
        ResponsesError: what stopped the run; finished rows are written.
    """
    if run.stopped is not None:
        return await _end_stopped(run, run.stopped)
    if closed is not None and was_superseded(closed):
        raise JobTakenOver
    preview = await current_runtime().arun(_look_ahead(run))
    if preview is not None:
        say(preview.as_lines())
    if closed is None:
        try:
            report = await _write(run, run.check_held, preview=preview)
        except WrittenByOthers:  # this process was paused past its lease
            return await end_run(run, await run.go_over_again())
        reach(PassPoint.BEFORE_CLOSING)
        await current_runtime().arun(run.part.close(report.model_dump_json()))
    else:
        report = await _written_by_others(run, closed, preview)
    await publish_report(report)
    return report


async def _end_stopped(run: JobRun, error: Exception) -> EnrichReport:
    await run.leave()
    if not isinstance(error, ResponsesError) or isinstance(error, JobTakenOver | RequestInvalid):
        raise error  # what the rows come to now is another run's to say, or nobody's
    if isinstance(error, Parked):
        await _park(run, error)
    unsent = RowOutcome.BUDGET if isinstance(error, BudgetStopped) else RowOutcome.PARKED
    try:
        report = await _write(run, run.part.check_open, unsent, stopped=str(error))
    except (ResponsesError, WrittenByOthers):
        raise error from None  # what stopped the run says more than that its table is not written
    await publish_report(report)
    raise error


async def _park(run: JobRun, error: Parked) -> None:
    kind, reason = type_name(error), str(error)
    book = run.ledger.jobs
    await current_runtime().arun(book.park(run.job.name, kind, reason, time.time()))
    await tell_of_job(JobEvent.PARKED, run.job.name, {"kind": kind, "reason": reason})


async def _write(
    run: JobRun,
    check: Callable[[], Awaitable[None]],
    unsent: RowOutcome = RowOutcome.NOT_SELECTED,
    **facts: Any,
) -> EnrichReport:
    """Write how all rows stand, and report it; *check* may refuse it at the last moment."""
    over_budget = await run.over_budget()
    asked = Asked(run.job, run.drive.requests, run.ledger, run.part.pass_, check, over_budget)
    collected = await current_runtime().arun(collect(asked, run.sink, unsent))
    output, examples = place_of(run.sink), collected.examples
    others = await run.others()
    return report_of(run, collected.counts, others, output=output, examples=examples, **facts)


async def _written_by_others(run: JobRun, closed: Pass, preview: Preview | None) -> EnrichReport:
    """Take how the rows stand from the run that closed the pass; write a sink of one's own."""
    theirs = EnrichReport.model_validate_json(closed.report or "{}")
    if run.sink is not None and place_of(run.sink) != theirs.output:
        return await _write(run, _agree, preview=preview)
    facts = {"output": theirs.output, "examples": theirs.examples, "preview": preview}
    return report_of(run, theirs, await run.others(), **facts)


async def _agree() -> None:
    """Let a sink be written that nobody else writes."""


async def _look_ahead(run: JobRun) -> Preview | None:
    """Say what the rows outside the sample would take, by what the sample took."""
    keys = run.terms.keys
    if keys is None:
        return None
    standing = await run.ledger.standing(run.job.scope, [row_name(key) for key in keys])
    limits, prices = run.choices.limits, run.choices.prices
    return Preview.of_sample(
        [sample_row(one, run.price) for one in standing.values() if one.is_answered],
        job=run.job.name,
        model=run.job.model,
        rows_left=run.survey.unnamed,
        pace=Pace(
            run.choices.max_in_flight,
            None if limits is None else limits.requests_per_minute,
            None if limits is None else limits.tokens_per_minute,
        ),
        prices_as_of=None if prices is None else prices.as_of,
    )


def report_of(
    run: JobRun, table: ShardCounts, others: ShardCounts | None = None, **facts: Any
) -> EnrichReport:
    """Report what a run did, and how the rows of the table stand.

    Args:
        run: the run.
        table: over all rows of the table.
        others: what other runs did of the same pass meanwhile.
        facts: see `EnrichReport`.
    """
    others = others or ShardCounts()
    did = {name: getattr(run.did, name) for name in _DONE}
    did["reused"] = run.survey.plan.answered
    by_others = run.did.by_others + others.submitted + others.adopted + others.by_others
    # What several runs answered together is told by each of them, and counted once.
    most = max(0, run.survey.plan.driven - did["submitted"] - did["adopted"])
    did["by_others"] = min(by_others, most)
    return EnrichReport.of_counts(
        table.model_copy(update=did),
        job=run.job.name,
        rows=run.survey.plan.rows,
        seconds=time.monotonic() - run.began,
        plan=run.survey.plan,
        pass_number=run.part.pass_.number if hasattr(run, "part") else 0,
        **facts,
    )
