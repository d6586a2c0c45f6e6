"""Hold a flow run to the ledger it began with: two ledgers would pay for everything twice."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from prefect_responses.errors import LedgerChanged
from prefect_responses.host.origins import flow_runs_above
from prefect_responses.host.prefect_api import asking_prefect
from prefect_responses.identity import LEDGER_BLOCK_INPUT_KEY, LEDGER_INPUT_KEY

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

#: Flow runs that this process has checked, with the ledger that they were checked against.
_checked: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class LedgerOfRun:
    """Say which ledger a flow run began with.

    Args:
        uuid: the ledger's UUID.
        block: the name of the block that it was reached by, or None for the default ledger or a
            block that was never saved.
    """

    uuid: str
    block: str | None = None


async def hold_to_ledger(
    flow_run_id: str, ledger_uuid: str, *, accept_new: bool, block: str | None = None
) -> None:
    """Write the ledger's UUID to the flow run's inputs, or compare it with the one there.

    The input store refuses a second value under one key, so of two machines with two ledgers one
    learns of the other before it sends anything. Beside the UUID lies the name of the ledger's
    block, by which a process that knows the flow run alone finds the ledger; never its URL.

    Args:
        flow_run_id: the outermost flow run.
        ledger_uuid: the ledger in use.
        accept_new: let this ledger replace the one that the flow run began with.
        block: the name under which the ledger's block was saved, if it was.

    Raises:
        LedgerChanged: the flow run began with another ledger.
    """
    if (flow_run_id, ledger_uuid) in _checked:
        return
    flow_run = UUID(flow_run_id)
    async with get_client() as client:
        first = await _first(client, flow_run, LEDGER_INPUT_KEY, ledger_uuid)
        if first != ledger_uuid:
            if not accept_new:
                raise LedgerChanged(
                    f"Flow run {flow_run_id} began with ledger {first}, and this is "
                    f"{ledger_uuid}: its responses would be paid for twice. Use the ledger it "
                    "began with (one URL for all workers), or pass accept_new_ledger=True."
                )
            await _forget(client, flow_run)
            await _first(client, flow_run, LEDGER_INPUT_KEY, ledger_uuid)
        if block is not None:
            await _first(client, flow_run, LEDGER_BLOCK_INPUT_KEY, block)
    _checked.add((flow_run_id, ledger_uuid))


async def ledger_of(flow_run: FlowRun) -> LedgerOfRun | None:
    """Return the ledger that *flow_run* began with, or None if it never used one.

    A subflow run uses the ledger of the flow run that is its scope.

    Raises:
        PrefectUnavailable: Prefect could not be asked, so nothing is known of its ledger.
    """
    async with asking_prefect() as client:
        outermost = [flow_run, *await flow_runs_above(flow_run)][-1]
        inputs = await client.filter_flow_run_input(
            outermost.id, LEDGER_INPUT_KEY, limit=2, exclude_keys=set()
        )
    said = {each.key: each.value for each in inputs}
    if LEDGER_INPUT_KEY not in said:
        return None
    return LedgerOfRun(said[LEDGER_INPUT_KEY], said.get(LEDGER_BLOCK_INPUT_KEY))


async def _first(client: PrefectClient, flow_run_id: UUID, key: str, value: str) -> str:
    """Return what was written first under *key*: *value*, if nothing was."""
    try:
        await client.create_flow_run_input(flow_run_id, key, value)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.CONFLICT:
            raise
        return await client.read_flow_run_input(flow_run_id, key)
    return value


async def _forget(client: PrefectClient, flow_run_id: UUID) -> None:
    for key in (LEDGER_BLOCK_INPUT_KEY, LEDGER_INPUT_KEY):
        try:
            await client.delete_flow_run_input(flow_run_id, key)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
