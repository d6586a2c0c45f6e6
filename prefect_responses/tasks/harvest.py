"""Harvest a ledger: what the command line and the flow of a deployment have in common."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from prefect.context import FlowRunContext

from prefect_responses.blocks.response_ledger import address_of
from prefect_responses.blocks.responses_credentials import connection_for
from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.clock import SystemClock
from prefect_responses.engine.connections import CONNECTIONS
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.harvest import Harvest
from prefect_responses.engine.harvest_doors import Untold
from prefect_responses.engine.harvest_tally import Tally
from prefect_responses.host.events import PrefectEvents
from prefect_responses.host.harvest_doors import PrefectFlowRuns, has_prefect_api
from prefect_responses.host.report_artifacts import publish_harvest
from prefect_responses.ledger import Ledger
from prefect_responses.ledger.reading import check_is_there

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prefect_responses.attempt import Endpoint
    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.engine.harvest_doors import Events, FlowRuns
    from prefect_responses.engine.harvest_reads import Choices
    from prefect_responses.engine.harvest_report import HarvestReport

#: Seconds for one read: an endpoint that hangs keeps the others waiting for so long, once.
READ_TIMEOUT = 30.0


class EngineAccounts:
    """Open the engines of a harvest by what the ledger says of their credentials.

    Args:
        ledger: the record.
        tally: observes the engines.
        stack: closes what was opened.
    """

    def __init__(self, ledger: Ledger, tally: Tally, stack: AsyncExitStack) -> None:
        self._ledger = ledger
        self._tally = tally
        self._stack = stack

    async def open(self, credentials: str, endpoint: Endpoint) -> DurableResponses:
        """Return the engine of an account; see `connection_for`."""
        connection = await connection_for(credentials, endpoint)
        api = HttpResponsesApi(
            endpoint,
            connection.api_key,
            transport="aiohttp",
            timeouts=Timeouts(read=READ_TIMEOUT),
            max_connections=CONNECTIONS["aiohttp"],
            allow_insecure=connection.allow_insecure,
        )
        self._stack.push_async_callback(api.aclose)
        return DurableResponses(self._ledger, api, SystemClock(), connection.profile, self._tally)


@asynccontextmanager
async def unshown(tally: Tally) -> AsyncIterator[None]:
    """Show nobody how a harvest gets on."""
    del tally
    yield


async def harvest_once(
    ledger: Ledger,
    choices: Choices,
    showing: Callable[[Tally], AbstractAsyncContextManager[None]] = unshown,
) -> HarvestReport:
    """Harvest *ledger* once, in the loop that opened it.

    Flow runs are asked for and events are sent only where a Prefect API is configured.

    Args:
        ledger: the record.
        choices: what the user said.
        showing: shows how the harvest gets on.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    if not has_prefect_api():
        return await _harvest(ledger, choices, Untold(), None, showing)
    events = PrefectEvents(ledger.uuid)
    try:
        report = await _harvest(ledger, choices, events, PrefectFlowRuns(), showing)
    finally:
        await events.aclose()
    return report.without_events(events.dropped)


async def _harvest(
    ledger: Ledger,
    choices: Choices,
    events: Events,
    flow_runs: FlowRuns | None,
    showing: Callable[[Tally], AbstractAsyncContextManager[None]],
) -> HarvestReport:
    tally = Tally(events)
    async with AsyncExitStack() as stack, showing(tally):
        accounts = EngineAccounts(ledger, tally, stack)
        harvest = Harvest(
            ledger, accounts, flow_runs, tally=tally, clock=SystemClock(), choices=choices
        )
        return await harvest.run()


async def harvest_in_flow(choices: Choices, ledger: ResponseLedger | None = None) -> HarvestReport:
    """Harvest once in a flow run, and show the report in its log and as an artifact.

    Args:
        choices: what the user said.
        ledger: the record, or None for the one of the settings.

    Raises:
        LedgerError: the ledger is not there, would die with its machine, or cannot be used.
    """
    context = FlowRunContext.get()
    flow_run = context.flow_run if context is not None else None
    deployed = flow_run is not None and flow_run.deployment_id is not None
    address = address_of(ledger, deployed=deployed)
    check_is_there(address.url)
    opened = await Ledger.open(
        address.url, clock=SystemClock(), lease_seconds=address.lease_seconds
    )
    try:
        report = await harvest_once(opened, choices)
    finally:
        await opened.aclose()
    await publish_harvest(report)
    return report
