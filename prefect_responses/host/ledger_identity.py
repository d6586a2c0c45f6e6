"""Hold a flow run to the ledger it began with: two ledgers would pay for everything twice."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from prefect_responses.errors import LedgerChanged
from prefect_responses.identity import LEDGER_INPUT_KEY

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

_CONFLICT = 409

#: Flow runs that this process has checked, with the ledger that they were checked against.
_checked: set[tuple[str, str]] = set()


async def hold_to_ledger(flow_run_id: str, ledger_uuid: str, *, accept_new: bool) -> None:
    """Write the ledger's UUID to the flow run's inputs, or compare it with the one there.

    The input store refuses a second value under one key, so of two machines with two ledgers one
    learns of the other before it sends anything.

    Args:
        flow_run_id: the outermost flow run.
        ledger_uuid: the ledger in use.
        accept_new: let this ledger replace the one that the flow run began with.

    Raises:
        LedgerChanged: the flow run began with another ledger.
    """
    if (flow_run_id, ledger_uuid) in _checked:
        return
    async with get_client() as client:
        first = await _first_ledger(client, UUID(flow_run_id), ledger_uuid)
        if first != ledger_uuid:
            if not accept_new:
                raise LedgerChanged(
                    f"Flow run {flow_run_id} began with ledger {first}, and this is "
                    f"{ledger_uuid}: its responses would be paid for twice. Use the ledger it "
                    "began with (one URL for all workers), or pass accept_new_ledger=True."
                )
            await client.delete_flow_run_input(UUID(flow_run_id), LEDGER_INPUT_KEY)
            await _first_ledger(client, UUID(flow_run_id), ledger_uuid)
    _checked.add((flow_run_id, ledger_uuid))


async def _first_ledger(client: PrefectClient, flow_run_id: UUID, ledger_uuid: str) -> str:
    try:
        await client.create_flow_run_input(flow_run_id, LEDGER_INPUT_KEY, ledger_uuid)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != _CONFLICT:
            raise
        return await client.read_flow_run_input(flow_run_id, LEDGER_INPUT_KEY)
    return ledger_uuid
