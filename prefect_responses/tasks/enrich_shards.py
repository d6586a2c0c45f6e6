"""Drive the shards of a pass, a few at a time, each as one Prefect task run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import AsyncClientContext
from prefect.runtime import task_run

from prefect_responses.engine.crash_points import PassPoint, reach
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.enrichment.driving import choose_rows, drive_rows
from prefect_responses.enrichment.reports import ShardCounts
from prefect_responses.errors import OwnerLost
from prefect_responses.identity import TASK_SHARD
from prefect_responses.tasks.retrying import worth_retrying

if TYPE_CHECKING:
    from prefect_responses.enrichment.driving import Todo
    from prefect_responses.ledger import Shard
    from prefect_responses.tasks.enrich_run import JobRun


class ShardRows:
    """The rows of one shard, closed to Prefect's search for futures in parameters."""

    def __init__(self, shard: Shard, todos: list[Todo]) -> None:
        self.shard = shard
        self.todos = todos


def _name_of_shard() -> str:
    given: dict[str, Any] = task_run.parameters
    shard = given["rows"].shard
    return f"{given['work'].job.name}-rows-{shard.first + 1}-to-{shard.first + shard.rows}"


@task(
    name=TASK_SHARD,
    task_run_name=_name_of_shard,
    cache_policy=NO_CACHE,
    retry_condition_fn=worth_retrying,
)
async def enrich_shard(work: JobRun, rows: ShardRows) -> ShardCounts:
    """Drive the rows of one shard to their ends, and return counts."""
    end = await current_runtime().arun(drive_rows(work.drive, rows.todos))
    work.did += end.counts
    if end.stopped is not None:
        raise end.stopped
    return end.counts


async def drive_shards(work: JobRun) -> None:
    """Drive shard after shard until none is free, or something stops the run.

    A lane that is stopped lets the others end theirs. What stopped the first one is in
    `work.stopped`.
    """
    # Without this each task run would make a client of its own, with its own TLS settings.
    async with AsyncClientContext.get_or_create():
        await asyncio.gather(*(_lane(work) for _ in range(work.lanes)))


async def _lane(work: JobRun) -> None:
    while work.stopped is None:
        try:
            shard = await work.next_shard()
            if shard is None or work.is_last(shard):
                return
            await _drive(work, shard)
        except OwnerLost:
            # This process was paused past its lease; it goes on as a new owner, and the shards of
            # the former one are free.
            await work.open()
        except Exception as error:  # noqa: BLE001 - it is raised when the other lanes have ended
            work.stop(error)


async def _drive(work: JobRun, shard: Shard) -> None:
    reach(PassPoint.AFTER_TAKING)
    counts = ShardCounts()
    if work.survey.has_work(shard.first, shard.rows):
        rows = await asyncio.to_thread(work.reader.read, shard.first, shard.rows)
        todos = await current_runtime().arun(choose_rows(work.drive, rows))
        planned = work.survey.driven[shard.first : shard.first + shard.rows].count(1)
        counts = ShardCounts(by_others=max(0, planned - len(todos)))
        work.did += counts
        if todos:
            counts += await enrich_shard(work, ShardRows(shard, todos))
    reach(PassPoint.BEFORE_FINISHING)
    await current_runtime().arun(work.part.finish(shard, counts))
