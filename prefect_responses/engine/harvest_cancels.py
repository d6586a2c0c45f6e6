"""Deliver the cancels that are owed, and want those that flow runs and deadlines call for.

What is wanted is committed before it is sent: after a crash the next harvest finds it owed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_responses.decisions.timeouts import TimeoutOutcome, timeout_outcome
from prefect_responses.engine.abreast import each_abreast, one_by_one
from prefect_responses.engine.harvest_doors import ResponseEvent
from prefect_responses.engine.harvest_report import Happened
from prefect_responses.errors import ResponsesError
from prefect_responses.identity import flow_run_scope
from prefect_responses.ledger import MarkOrphaned, WantCancel
from prefect_responses.ledger.reads import PAGE
from prefect_responses.statuses import AttemptState, CancelReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.harvest_doors import Ended, FlowRuns
    from prefect_responses.engine.harvest_reads import Reads, Round

NO_PREFECT = "Flow runs were not looked at: no Prefect API is configured."


class Cancels:
    """Cancel the responses that are to be cancelled in a round.

    Args:
        round_: what is shared.
        reads: tells why a cancel got no answer.
    """

    def __init__(self, round_: Round, reads: Reads) -> None:
        self._round = round_
        self._ledger = round_.ledger
        self._reads = reads

    # --- what is owed -----------------------------------------------------------------------------

    async def deliver_owed(self) -> None:
        """Deliver every cancel that is owed, of surplus responses too; keep a late completion.

        One that cannot be delivered stays owed.
        """
        tried: set[str] = set()
        while owed := await self._owed_beside(tried):
            await self._deliver_all(owed)
            tried |= {attempt.id for attempt in owed}

    async def _owed_beside(self, tried: set[str]) -> list[Attempt]:
        page = await self._ledger.owed_cancels(limit=PAGE + len(tried))
        return [attempt for attempt in page if attempt.id not in tried]

    async def _deliver_all(self, attempts: Iterable[Attempt]) -> None:
        await each_abreast(one_by_one(attempts), self._deliver, self._round.choices.abreast)

    async def _deliver(self, attempt: Attempt) -> Attempt:
        known = await self._read_first(attempt)
        if known is not None:
            attempt = await self._send(known)
        self._round.tally.answered_cancel(attempt)
        return attempt

    async def _read_first(self, attempt: Attempt) -> Attempt | None:
        """Return *attempt*, read once if it is not known whether its account works; None if not.

        An endpoint that hangs would else be waited for three times: cancel, read, and read for why.
        """
        if self._round.book.has_worked(attempt):
            return attempt
        look = await self._reads.look(attempt)
        return look.attempt if look is not None and (not look.error or look.missing) else None

    async def _send(self, attempt: Attempt) -> Attempt:
        reader = await self._round.book.reader_for(attempt)
        if reader is None:
            return attempt
        told = await reader.deliver_cancel(attempt)
        if told.owes_cancel:
            await self._reads.look(told)  # it says why, and leaves an account that fails
        return told

    # --- flow runs --------------------------------------------------------------------------------

    async def follow_flow_runs(self, flow_runs: FlowRuns | None) -> None:
        """Cancel what cancelled flow runs left, and name what completed ones left unasked for.

        Flow runs that failed or crashed may yet be retried: what they left is left alone.
        """
        if flow_runs is None:
            self._round.tally.skipped.append(NO_PREFECT)
            return
        ids = await self._flow_run_ids()
        try:
            ended = await flow_runs.ended(ids)
        except ResponsesError as error:
            self._round.tally.skipped.append(f"Flow runs were not looked at: {error}")
            return
        await self._follow(ended)

    async def _flow_run_ids(self) -> set[str]:
        """Return the flow runs of all unsettled attempts: their own, and those of their scopes."""
        prefix, found = flow_run_scope(""), set()
        for scope, flow_run_id in await self._ledger.unsettled_runs():
            if scope.startswith(prefix):
                found.add(scope.removeprefix(prefix))
            if flow_run_id is not None:
                found.add(flow_run_id)
        return found

    async def _follow(self, ended: Ended) -> None:
        for flow_run_id in sorted(ended.cancelled):
            left = await self._ledger.of_flow_runs([flow_run_id], [flow_run_scope(flow_run_id)])
            await self._want_all(left, CancelReason.FLOW_RUN_CANCELLED)
        for flow_run_id, last_running in sorted(ended.completed.items()):
            await self._find_orphans(flow_run_scope(flow_run_id), f"{last_running}:")

    async def _find_orphans(self, scope: str, execution_prefix: str) -> None:
        found = await self._ledger.unclaimed(scope, execution_prefix)
        sent = [attempt for attempt in found if attempt.state is not AttemptState.PLANNED]
        now = self._round.clock.now()
        marks = [MarkOrphaned(one.id, now) for one in sent if one.orphaned_at is None]
        for verdict in await self._ledger.do_all(marks):
            if verdict.moved:
                self._report_orphan(verdict.attempt)
        if self._round.choices.cancel_orphans:
            await self._want_all(sent, CancelReason.ORPHANED)

    def _report_orphan(self, attempt: Attempt) -> None:
        is_left = not self._round.choices.cancel_orphans
        note = "left to end; --cancel-orphans cancels it" if is_left else "its cancel is wanted"
        self._round.tally.orphaned.add(attempt, note)
        self._round.tally.happened(ResponseEvent.ORPHANED, attempt)

    async def _want_all(self, attempts: Iterable[Attempt], reason: CancelReason) -> None:
        """Want all of *attempts* cancelled that nobody wanted cancelled before, then deliver."""
        now = self._round.clock.now()
        unwanted = [attempt for attempt in attempts if attempt.cancel_wanted_at is None]
        verdicts = await self._ledger.do_all(
            [WantCancel(attempt.id, reason, now) for attempt in unwanted]
        )
        for verdict in verdicts:
            if verdict.moved and verdict.attempt.is_settled:
                self._round.tally.settled(verdict.attempt)
        await self._deliver_all(one.attempt for one in verdicts if one.attempt.owes_cancel)

    # --- deadlines --------------------------------------------------------------------------------

    async def end_at_deadlines(self) -> None:
        """Cancel and read the responses whose deadline passed while nobody waited for them."""
        abreast, now = self._round.choices.abreast, self._round.clock.now()
        tried: set[str] = set()
        while overdue := await self._overdue_beside(tried, now):
            await each_abreast(one_by_one(overdue), self._end_at_deadline, abreast)
            tried |= {attempt.id for attempt in overdue}

    async def _overdue_beside(self, tried: set[str], now: float) -> list[Attempt]:
        page = await self._ledger.overdue(now, limit=PAGE + len(tried))
        return [attempt for attempt in page if attempt.id not in tried]

    async def _end_at_deadline(self, attempt: Attempt) -> None:
        verb = WantCancel(attempt.id, CancelReason.DEADLINE, self._round.clock.now())
        wanted = (await self._ledger.do(verb)).attempt
        ended = await self._deliver(wanted) if wanted.owes_cancel else wanted
        match timeout_outcome(ended):
            case TimeoutOutcome.CANCEL_REFUSED:
                self._round.tally.add(Happened.DEADLINES_REFUSED)
            case TimeoutOutcome.UNKNOWN:
                self._round.tally.add(Happened.DEADLINES_OPEN)
            case _:  # it has ended, and was counted when it was settled
                pass
