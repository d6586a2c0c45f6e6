"""Harvest the ledger: keep every response that has ended, whoever submitted it."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State  # noqa: TC002 - Prefect reads it
from prefect.states import Completed
from pydantic import PositiveFloat, PositiveInt  # noqa: TC002 - Prefect reads it

from prefect_responses import ResponseLedger
from prefect_responses.engine.harvest_reads import WARN_BEFORE, Choices
from prefect_responses.tasks.harvest import harvest_in_flow


@flow(name="harvest", persist_result=False)
async def harvest(
    *,
    limit: PositiveInt | None = None,
    warn_before: PositiveFloat = WARN_BEFORE,
    cancel_orphans: bool = False,
    ledger: ResponseLedger | None = None,
) -> State[None]:
    """Harvest once: deliver owed cancels, end what is past its deadline, keep what has ended.

    Args:
        limit: how many due responses to read at most, the soonest-expiring first; all by default.
        warn_before: seconds before a response may be gone in which an event warns of it, if it
            cannot be read.
        cancel_orphans: cancel responses that no call of a completed flow run asked for.
        ledger: the record; by default the one of the worker's settings.
    """
    choices = Choices(limit=limit, warn_before=warn_before, cancel_orphans=cancel_orphans)
    report = await harvest_in_flow(choices, ledger)
    return Completed(message=report.headline())
