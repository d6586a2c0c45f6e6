"""Cancel what flow runs left in flight: owed in the ledger first, delivered then.

Whatever cannot be delivered in time stays owed, and the harvester delivers it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prefect_responses.errors import ResponsesError, type_name
from prefect_responses.identity import flow_run_scope
from prefect_responses.ledger import WantCancel
from prefect_responses.statuses import CancelReason, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from prefect_responses.attempt import Attempt, Endpoint
    from prefect_responses.clock import Clock
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.ledger import Ledger

#: Seconds for all deliveries: Prefect itself gives a cancelled flow run 30.
GRACE = 20.0
#: Deliveries at once at one account.
_ABREAST = 16

#: How an end is told, where its name alone says too little.
_TOLD = {
    Outcome.COMPLETED: "completed and kept",
    Outcome.INCOMPLETE: "incomplete and kept",
    Outcome.ABANDONED: "never sent",
}


class Connect(Protocol):
    """Find again the engine of an attempt's credentials and endpoint."""

    async def __call__(self, reference: str, endpoint: Endpoint) -> DurableResponses:
        """Return the engine; see `connection_for`."""


@dataclass(frozen=True, slots=True)
class CancelReport:
    """Say what became of the responses that were in flight.

    Args:
        ends: how many have ended, and how.
        left: how many have not: their cancel is in the ledger.
        troubles: what kept them from it, each once.
    """

    ends: Counter[Outcome]
    left: int = 0
    troubles: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        """Return how many were in flight."""
        return self.ends.total() + self.left

    def as_line(self) -> str:
        """Tell it in one line."""
        told = [f"{count} {_TOLD.get(end, end)}" for end, count in sorted(self.ends.items())]
        if self.left:
            told.append(f"{self.left} left to the harvester")
        why = f" ({'; '.join(self.troubles)})" if self.troubles else ""
        return f"{self.found} in flight: {', '.join(told)}{why}." if told else "None in flight."


async def cancel_flow_runs(
    ledger: Ledger,
    flow_run_ids: Collection[str],
    connect: Connect,
    clock: Clock,
    *,
    grace: float = GRACE,
) -> CancelReport:
    """Cancel every response of these flow runs that is in flight, and keep what ends all the same.

    Before the first cancel is sent all of them are owed in the ledger: after a crash, or when time
    is up, nothing is forgotten. Doing it again cancels nothing twice.

    Args:
        ledger: where the attempts are.
        flow_run_ids: the flow runs; those whose scope is one of them count as well.
        connect: finds the engine of a response's account.
        clock: the time.
        grace: seconds for all deliveries.

    Raises:
        LedgerError: the ledger cannot be read or written; nothing was sent.
    """
    wanted = await _want(ledger, flow_run_ids, clock.now())
    deliveries = _Deliveries(connect)
    await deliveries.run([attempt for attempt in wanted if attempt.owes_cancel], grace)
    final = [deliveries.delivered.get(attempt.id, attempt) for attempt in wanted]
    return CancelReport(
        Counter(attempt.outcome for attempt in final if attempt.outcome is not None),
        sum(attempt.outcome is None for attempt in final),
        tuple(dict.fromkeys(deliveries.troubles)),
    )


async def _want(ledger: Ledger, flow_run_ids: Collection[str], now: float) -> list[Attempt]:
    scopes = [flow_run_scope(flow_run_id) for flow_run_id in flow_run_ids]
    attempts = await ledger.of_flow_runs(flow_run_ids, scopes)
    reason = CancelReason.FLOW_RUN_CANCELLED
    verdicts = await ledger.do_all(WantCancel(attempt.id, reason, now) for attempt in attempts)
    return [verdict.attempt for verdict in verdicts]


class _Deliveries:
    """Deliver cancels side by side, each account's through its own engine."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self.delivered: dict[str, Attempt] = {}
        self.troubles: list[str] = []

    async def run(self, attempts: Iterable[Attempt], grace: float) -> None:
        accounts: dict[tuple[str, Endpoint], list[Attempt]] = {}
        for attempt in attempts:
            accounts.setdefault((attempt.credentials, attempt.endpoint), []).append(attempt)
        try:
            async with asyncio.timeout(grace), asyncio.TaskGroup() as group:
                for account, owed in accounts.items():
                    group.create_task(self._of_account(*account, owed))
        except TimeoutError:
            self.troubles.append(f"not done within {grace:g} s")

    async def _of_account(self, reference: str, endpoint: Endpoint, owed: list[Attempt]) -> None:
        try:
            responses = await self._connect(reference, endpoint)
        except Exception as error:  # noqa: BLE001 - other accounts' cancels must still be sent
            self.troubles.append(_told(error))
            return
        abreast = asyncio.Semaphore(_ABREAST)
        await asyncio.gather(*(self._deliver(responses, attempt, abreast) for attempt in owed))

    async def _deliver(
        self, responses: DurableResponses, attempt: Attempt, abreast: asyncio.Semaphore
    ) -> None:
        async with abreast:
            try:
                attempt = await responses.deliver_cancel(attempt)
            except Exception as error:  # noqa: BLE001 - the others' cancels must still be sent
                self.troubles.append(_told(error))
                return
        self.delivered[attempt.id] = attempt
        if attempt.owes_cancel:
            self.troubles.append(f"{attempt.endpoint.base_url} gave no usable answer")


def _told(error: Exception) -> str:
    """Tell an error: our own say no secrets, and what others say is not known."""
    return f"{type_name(error)}: {error}" if isinstance(error, ResponsesError) else type_name(error)
