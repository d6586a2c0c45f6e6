"""One run of a row job: come into a pass, drive its shards, write the results, tell of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from prefect_responses.decisions.budgets import overrun_of
from prefect_responses.decisions.job_definitions import UNKNOWN
from prefect_responses.decisions.policies import (
    AwaitMode,
    CallPolicy,
    InDoubtPolicy,
    OnChange,
    PollPolicy,
)
from prefect_responses.decisions.row_selection import RowChoice
from prefect_responses.engine.crash_points import PassPoint, reach
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.enrichment.charging import Charging
from prefect_responses.enrichment.driving import Drive
from prefect_responses.enrichment.passes import WATCH_EVERY, Entrance, OpenPass, ShardReader
from prefect_responses.enrichment.reports import ShardCounts
from prefect_responses.enrichment.samples import sample_of
from prefect_responses.enrichment.sinks import check_sink
from prefect_responses.errors import ResponsesError
from prefect_responses.host.job_events import JobEvent, tell_of_job
from prefect_responses.host.live_progress import live_progress
from prefect_responses.host.origins import read_host
from prefect_responses.host.progress import RowProgress
from prefect_responses.host.report_artifacts import say
from prefect_responses.job_errors import JobChanged
from prefect_responses.tasks.asking import open_engine
from prefect_responses.tasks.enrich_ends import end_run, report_of
from prefect_responses.tasks.enrich_shards import drive_shards

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.charges import Price
    from prefect_responses.decisions.budgets import Budget
    from prefect_responses.decisions.rate_limits import RateLimits
    from prefect_responses.engine.connections import Connection
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.enrichment.job import EnrichJob
    from prefect_responses.enrichment.plans import JobPlan
    from prefect_responses.enrichment.prices import ModelPrices
    from prefect_responses.enrichment.reports import EnrichReport
    from prefect_responses.enrichment.sinks import Sink
    from prefect_responses.enrichment.surveys import PassTerms, Survey
    from prefect_responses.host.origins import Host
    from prefect_responses.ledger import Ledger, Pass, Shard


@dataclass(frozen=True, slots=True)
class RunChoices:
    """What a user may choose for one run of a job.

    Args:
        terms: which rows the pass is about.
        max_in_flight: responses that this process has under way at once.
        sample: how many rows of a sample to ask, or None for all.
        seed: another seed draws another sample.
        dry_run: say what would be done, and do nothing.
        prices: what models cost, or None where that is not known.
        budgets: what may be spent.
        limits: how fast all workers together may go.
        accept_new_ledger: let this ledger replace the one that the flow run began with.
    """

    terms: PassTerms
    max_in_flight: int = 200
    sample: int | None = None
    seed: int = 0
    dry_run: bool = False
    prices: ModelPrices | None = None
    budgets: tuple[Budget, ...] = ()
    limits: RateLimits | None = None
    accept_new_ledger: bool = False


class JobRun:
    """One run of a job, shared by its lanes. A plain class: Prefect looks into dataclasses.

    Args:
        job: what is asked.
        choices: how.
        connection: the account.
        ledger: the record, or None for the default one.
        sink: where the results go, or None.
    """

    responses: DurableResponses
    host: Host
    drive: Drive
    survey: Survey
    part: OpenPass

    def __init__(
        self,
        job: EnrichJob,
        choices: RunChoices,
        connection: Connection,
        ledger: ResponseLedger | None,
        sink: Sink | None,
    ) -> None:
        self.job = job
        self.choices = choices
        self.connection = connection
        self.reader = ShardReader(job)
        self.terms = choices.terms
        self.did = ShardCounts()
        self.stopped: Exception | None = None
        self.sink = sink
        self.began = time.monotonic()
        self._ledger = ledger
        self._gate = InFlight(choices.max_in_flight)
        self._next: list[Shard] = []
        self._last: Shard | None = None

    # --- what lanes ask -------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """Return how many shards are driven at once: enough to fill what may be in flight.

        One more, so that the slowest row of one does not hold up the next.
        """
        size = self.part.pass_.shard_rows
        shards = -(-self.part.pass_.rows // size)
        return min(shards, -(-self.choices.max_in_flight // size) + 1)

    async def next_shard(self) -> Shard | None:
        """Return a shard that this run holds now, or None if none is free."""
        if self._next:
            return self._next.pop()
        return await current_runtime().arun(self.part.take())

    def is_last(self, shard: Shard) -> bool:
        """Tell whether *shard* is the writing of the results, and keep it if it is."""
        if shard.is_last:
            self._last = shard
        return shard.is_last

    def stop(self, error: Exception) -> None:
        """Let no lane begin another shard; the first reason is kept."""
        self.stopped = self.stopped or error

    # --- the run --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the ledger and the engine for this flow run; again if the lease was lost."""
        await current_runtime().arun(self._open())

    async def _open(self) -> None:
        self.host = await read_host(scope=None, key=None, job=self.job.name)
        self.responses = await open_engine(
            self.connection,
            self._ledger,
            self.host,
            accept_new=self.choices.accept_new_ledger,
            transport="aiohttp",
            limits=self.choices.limits,
            max_in_flight=self.choices.max_in_flight,
        )
        if hasattr(self, "part"):
            self.drive = replace(self.drive, responses=self.responses)
            self.part.go_on_with(self.ledger)

    @property
    def ledger(self) -> Ledger:
        """Return the record."""
        return self.responses.ledger

    async def run(self) -> EnrichReport:
        """Do it all; see `aenrich`."""
        await self._check_sink()
        await self._draw_sample()
        await self.open()
        entrance = self._entrance()
        if self.choices.dry_run:
            self.survey, _ = await current_runtime().arun(entrance.look())
            self._agree(self.survey.plan)
            say([f"{self.job.name}: nothing was sent; this was a dry run."])
            return report_of(self, ShardCounts())
        try:
            await current_runtime().arun(self._enter(entrance))
            with self.progress:
                async with live_progress(self.progress, self.others):
                    closed = await self._go_over()
            return await end_run(self, closed)
        finally:
            with anyio.CancelScope(shield=True):
                await self.leave()

    async def _draw_sample(self) -> None:
        size, seed = self.choices.sample, self.choices.seed
        if size is not None:
            wants = self.terms.wants()
            keys = (row.key for row in self.job.rows() if wants(row))
            drawn = await asyncio.to_thread(sample_of, keys, size, seed)
            self.terms = replace(self.terms, keys=drawn)

    def _entrance(self) -> Entrance:
        return Entrance(
            self.job,
            self.ledger,
            self.connection.endpoint,
            self.terms,
            time.time,
            self._agree,
            self._wait_for,
        )

    def _agree(self, plan: JobPlan) -> None:
        say([*plan.as_lines(), *self._overrun()])
        changed = plan.count(RowChoice.CHANGED)
        if changed and self.job.on_change is OnChange.ERROR:
            why = ", ".join(plan.changed_because) or UNKNOWN
            raise JobChanged(
                f"{changed:,} rows of {self.job.name} changed ({why}) and {plan.paid:,} would be "
                'paid for; nothing was sent. Pass on_change="resubmit" to let it, or '
                'on_change="adopt" to keep the earlier answers.'
            )

    def _overrun(self) -> list[str]:
        """Say how far a budget may be overrun, if one is held."""
        limits = self.choices.limits
        in_flight = limits.in_flight if limits is not None else None
        request = self.job.example()
        most = in_flight or self.choices.max_in_flight
        return [overrun_of(request, most)] if self.choices.budgets else []

    async def _check_sink(self) -> None:
        """Find out whether the results can be written, before anything is paid for."""
        if self.sink is not None:
            await asyncio.to_thread(check_sink, self.sink, self.job.result_columns())

    def _wait_for(self, other: Pass) -> None:
        which = f"{self.job.name}: another run is at work on pass {other.number} of this job"
        say([f"{which}, with another table, prompt or selection. This one waits for its end."])

    async def _enter(self, entrance: Entrance) -> None:
        entered = await entrance.enter()
        reach(PassPoint.AFTER_OPENING)
        self.part = OpenPass(self.ledger, entered.pass_, time.time)
        self.survey = entered.survey
        await self.part.begin()
        self.progress = RowProgress(self.job.name, self.survey.plan.driven, self._gate)
        self.drive = self._drive(entered.pass_)
        if entered.parked is not None:
            facts = {"kind": entered.parked.parked_kind, "parked_at": entered.parked.parked_at}
            await tell_of_job(JobEvent.RESUMED, self.job.name, facts)

    def _drive(self, pass_: Pass) -> Drive:
        run = self.host.flow_run_id or f"pass-{pass_.number}"
        limits = self.choices.limits
        return Drive(
            job=self.job,
            responses=self.responses,
            requests=self.job.requests(self.connection.endpoint),
            endpoint=self.connection.endpoint,
            credentials=self.connection.reference,
            # Within a pass a failed row is paid once, however often its runs are retried.
            origin=replace(self.host.origin, run=pass_.run),
            terms=self.terms,
            gate=self._gate,
            charging=Charging(
                self.job.name,
                run,
                self.choices.budgets,
                self.price,
                limits.in_flight if limits is not None else None,
            ),
            policy=CallPolicy(
                AwaitMode.POLL,
                in_doubt=InDoubtPolicy(self.job.in_doubt),
                poll=PollPolicy(notes=False),
            ),
            now=time.time,
            ended=self.progress.row_ended,
        )

    @property
    def price(self) -> Price | None:
        """Return what the model costs, or None where that is not known."""
        if self.choices.prices is None:
            return None
        return self.choices.prices.price_of(self.job.model, self.job.options.get("service_tier"))

    async def _go_over(self) -> Pass | None:
        """Drive shards until the pass can be written, or another run has written it.

        Returns:
            The pass as another run closed it, or None.
        """
        while True:
            await drive_shards(self)
            if self.stopped is not None or self._last is not None:
                return None
            if (closed := await self._watch()) is not None:
                return closed

    async def _watch(self) -> Pass | None:
        """Wait until a shard is free again, or the pass is closed, which is returned then."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            closed = await current_runtime().arun(self.part.closed())
            if closed is not None:
                return closed
            shard = await current_runtime().arun(self.part.take())
            if shard is not None:
                self._next.append(shard)
                return None

    async def go_over_again(self) -> Pass | None:
        """Take part again in a pass whose last shard was lost; see `_go_over`."""
        self._last = None
        return await self._go_over()

    async def check_held(self) -> None:
        """Check that this run still holds the writing of the results."""
        if self._last is not None:
            await self.part.check_held(self._last)

    async def others(self) -> ShardCounts:
        """Return what other runs have done of this pass since this one began."""
        return _sum_of(await current_runtime().arun(self.part.by_others()))

    async def over_budget(self) -> frozenset[str]:
        """Return the keys of the pass's rows that alone exceed a budget."""
        done = _sum_of(await current_runtime().arun(self.part.done()))
        return frozenset((*done.over_budget, *self.did.over_budget))

    async def leave(self) -> None:
        """Give back what this run holds of the pass."""
        if hasattr(self, "part"):
            with suppress(ResponsesError):
                await current_runtime().arun(self.part.leave())


def _sum_of(shards: Iterable[Shard]) -> ShardCounts:
    counts = (ShardCounts.model_validate_json(shard.counts or "{}") for shard in shards)
    return sum(counts, ShardCounts())
