"""Show in Prefect's UI how a job gets on: a progress bar and a table, written anew in place.

Best effort: Prefect's API is asked beside the job, and what cannot be shown is not worth a failure.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import FlowRunContext

from prefect_responses.engine.report_text import escaped, markdown_table
from prefect_responses.enrichment.rows import RowOutcome
from prefect_responses.enrichment.samples import duration, usd
from prefect_responses.host.report_artifacts import artifact_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient

    from prefect_responses.enrichment.reports import ShardCounts
    from prefect_responses.host.progress import ProgressNow, RowProgress

#: Seconds until the first look; a job that is over by then has its report.
_FIRST = 1.0
#: Seconds between two updates.
EVERY = 5.0
#: How often that doubles at most while Prefect's API fails.
_MOST_DOUBLINGS = 4
#: Seconds in which Prefect's API must have answered.
_PATIENCE = 5.0
#: Seconds that the last update may take.
_LAST_WORD = 1.0


@asynccontextmanager
async def live_progress(
    progress: RowProgress, others: Callable[[], Awaitable[ShardCounts]]
) -> AsyncIterator[None]:
    """Show *progress* until the block is left.

    Args:
        progress: what is shown; it is told of what others did.
        others: asks what other runs have done of the same pass so far.
    """
    over = asyncio.Event()
    showing = asyncio.create_task(_show(progress, others, over))
    try:
        yield
    finally:
        over.set()
        await asyncio.wait({showing}, timeout=_LAST_WORD)
        showing.cancel()


async def _show(
    progress: RowProgress, others: Callable[[], Awaitable[ShardCounts]], over: asyncio.Event
) -> None:
    context, pages = FlowRunContext.get(), None
    if context is not None and context.flow_run is not None:
        pages = _Pages(progress.job, context.flow_run.id)
    failures, pause = 0, _FIRST
    while not await _is_over(over, pause):
        try:
            async with asyncio.timeout(_PATIENCE):
                progress.others_ended(await others())
                await _write(pages, progress.now())
        except (Exception, SystemExit):  # noqa: BLE001 - nothing that only shows something may fail
            failures += 1
        else:
            failures = 0
        pause = EVERY * 2.0 ** min(failures, _MOST_DOUBLINGS)
    if pages is not None and pages.are_there:
        with suppress(Exception, SystemExit):
            await _write(pages, progress.now())


async def _is_over(over: asyncio.Event, pause: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(pause):
            await over.wait()
    return over.is_set()


async def _write(pages: _Pages | None, now: ProgressNow) -> None:
    if pages is not None:
        async with get_client() as client:
            await pages.put(client, now)


@dataclass(slots=True)
class _Pages:
    """Two artifacts of the flow run, made once and then written anew in place.

    Args:
        job: the name of the job.
        flow_run_id: the flow run that they belong to.
    """

    job: str
    flow_run_id: UUID
    _ids: dict[str, UUID] = field(default_factory=dict)

    @property
    def are_there(self) -> bool:
        """Tell whether one of them was made."""
        return bool(self._ids)

    async def put(self, client: PrefectClient, now: ProgressNow) -> None:
        """Show *now*."""
        await self._put(client, "progress", round(now.percent, 1))
        await self._put(client, "markdown", as_markdown(now))

    async def _put(self, client: PrefectClient, kind: str, data: float | str) -> None:
        if kind in self._ids:
            # The client's own method would send the data as an event too, each time.
            update = ArtifactUpdate(data=data).model_dump(mode="json", exclude_unset=True)
            params = {"id": self._ids[kind]}
            await client.request("PATCH", "/artifacts/{id}", path_params=params, json=update)
            return
        suffix = "progress" if kind == "progress" else "now"
        artifact = ArtifactCreate(
            key=f"{artifact_key(self.job)}-{suffix}",
            type=kind,
            description=f"Job {escaped(self.job)}, while it runs",
            data=data,
            flow_run_id=self.flow_run_id,
        )
        self._ids[kind] = (await client.create_artifact(artifact)).id


def as_markdown(now: ProgressNow) -> str:
    """Return a table of outcomes, cost, rate and time left."""
    left = now.seconds_left
    rows = [
        ("rows ended", f"{now.ended:,} of {now.total:,}"),
        *(
            (outcome.value, f"{now.outcomes[outcome]:,}")
            for outcome in RowOutcome
            if now.outcomes.get(outcome)
        ),
        ("in flight here", f"{now.in_flight:,}"),
        ("rows a second", f"{now.rate:,.1f}"),
        ("time left", "unknown" if left is None else duration(round(left))),
        ("cost", usd(now.cost) if now.cost else "not known"),
        *([("not begun", now.waiting)] if now.waiting else []),
    ]
    return markdown_table(("what", "now"), rows) + "\n"
