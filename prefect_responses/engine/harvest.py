"""One harvest: everything that is due, in one pass over the ledger, whoever submitted it.

It needs no owner and submits nothing. It may be killed at any point and run twice at once: what is
wanted is committed before it is sent, and the ledger takes each end once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_responses.engine.harvest_accounts import AccountBook
from prefect_responses.engine.harvest_cancels import Cancels
from prefect_responses.engine.harvest_doors import ResponseEvent
from prefect_responses.engine.harvest_reads import Choices, Reads, Round
from prefect_responses.engine.report_text import plain
from prefect_responses.ledger import MarkInDoubt
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.engine.harvest_doors import Accounts, FlowRuns
    from prefect_responses.engine.harvest_report import HarvestReport
    from prefect_responses.engine.harvest_tally import Tally
    from prefect_responses.ledger import Ledger

#: Seconds that the ledger's writer waits for more to commit at once.
LINGER = 0.02
#: Seconds after which a doubt is a person's although its process lives: until then that may be
#: about to end it by its own policy.
OWN_DOUBT = 600.0


class Harvest:
    """Harvest a ledger once.

    Args:
        ledger: the record.
        accounts: where responses are read.
        flow_runs: how flow runs ended, or None where there is no Prefect API.
        tally: counts what happens; it must observe what *accounts* opens.
        clock: the time.
        choices: what the user said.
    """

    def __init__(  # noqa: PLR0913 - the doors of a harvest, all named
        self,
        ledger: Ledger,
        accounts: Accounts,
        flow_runs: FlowRuns | None,
        *,
        tally: Tally,
        clock: Clock,
        choices: Choices,
    ) -> None:
        self._round = Round(ledger, AccountBook(accounts), tally, clock, choices)
        self._flow_runs = flow_runs
        self._alive: dict[str, bool] = {}

    async def run(self) -> HarvestReport:
        """Harvest, and return what was done and found.

        Accounts that do not work are left with their reason; the others are harvested.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        began, reads = self._round.clock.now(), Reads(self._round)
        cancels = Cancels(self._round, reads)
        with self._round.ledger.lingering(LINGER):
            self._round.tally.step = "delivering owed cancels"
            await cancels.deliver_owed()
            self._round.tally.step = "asking how flow runs ended"
            await cancels.follow_flow_runs(self._flow_runs)
            self._round.tally.step = "ending what is past its deadline"
            await cancels.end_at_deadlines()
            self._round.tally.step = "reading what is due"
            await reads.read_due()
            self._round.tally.step = "watching what was cancelled"
            await reads.read_watched()
            self._round.tally.step = "looking for dead processes"
            await self._doubt()
            await reads.warn()
        return self._round.tally.report(self._round.book, self._round.clock.now() - began)

    async def _doubt(self) -> None:
        """Doubt what dead processes were submitting, and name what is in doubt.

        Nothing is submitted again here: that is for its flow run's policy, or a person.
        """
        async for attempt in self._round.ledger.attempts(states=[AttemptState.SUBMITTING]):
            if not await self._is_alive(attempt):
                await self._mark_in_doubt(attempt)
        async for attempt in self._round.ledger.attempts(states=[AttemptState.IN_DOUBT]):
            age = self._round.clock.now() - (attempt.submitting_at or 0.0)
            if age >= OWN_DOUBT or not await self._is_alive(attempt):
                self._round.tally.in_doubt.add(attempt, _how_to_end(attempt))

    async def _is_alive(self, attempt: Attempt) -> bool:
        owner = attempt.owner_id or ""
        if owner not in self._alive:
            self._alive[owner] = await self._round.ledger.owner_is_alive(owner)
        return self._alive[owner]

    async def _mark_in_doubt(self, attempt: Attempt) -> None:
        error = {"error": "OwnerDied", "message": "Its process died while it was submitting."}
        owner, now = attempt.owner_id or "", self._round.clock.now()
        verb = MarkInDoubt(attempt.id, owner, attempt.fence, error, now)
        verdict = await self._round.ledger.do(verb)
        if verdict.moved:
            self._round.tally.happened(ResponseEvent.IN_DOUBT, verdict.attempt)


def _how_to_end(attempt: Attempt) -> str:
    why = plain(str((attempt.error or {}).get("message", "")))
    command = f"prefect-responses resolve {attempt.id} --created RESP_ID | --not-created"
    return f"{command} ({why})" if why else command
