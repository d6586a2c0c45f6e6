"""Our automations on the Prefect server of the current profile: made, listed and removed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - of a dataclass that is shown
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from prefect_responses.errors import ResponsesError
from prefect_responses.host.recovery import NAMES, Recovery, automations_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prefect.automations import AutomationCore
    from prefect.client.orchestration import PrefectClient
    from prefect.events.schemas.automations import Automation

#: Characters of what the server says when it refuses.
_LONGEST_REASON = 400


class Change(StrEnum):
    """Say what became of an automation."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Installed:
    """One automation of ours on the server.

    Args:
        name: its name there.
        does: what it does, in a sentence.
        enabled: False if somebody paused it.
        fired: how often it fired, as far back as the server keeps events.
        last_fired: when it did so last, or None if never.
    """

    name: str
    does: str
    enabled: bool
    fired: int
    last_fired: datetime | None


async def install(recovery: Recovery) -> dict[str, Change]:
    """Create our automations on the server of the current profile, or make them as *recovery* says.

    One that is as it should be is not touched, since the server forgets what an automation waits
    for when it is updated. One that somebody paused stays paused.

    Returns:
        What became of each, by name.

    Raises:
        ResponsesError: the server cannot be reached or refused; some may have been made.
    """
    async with _server() as client:
        return {wanted.name: await _put(client, wanted) for wanted in automations_of(recovery)}


async def installed() -> list[Installed]:
    """Return our automations on the server of the current profile.

    Raises:
        ResponsesError: the server cannot be reached or refused.
    """
    async with _server() as client:
        return [await _described(client, found) for found in await _ours(client)]


async def remove() -> list[str]:
    """Delete our automations, and nobody else's; return the names of those that were there.

    Raises:
        ResponsesError: the server cannot be reached or refused; some may have been deleted.
    """
    async with _server() as client:
        found = await _ours(client)
        for automation in found:
            await client.delete_automation(automation.id)
    return [automation.name for automation in found]


async def _put(client: PrefectClient, wanted: AutomationCore) -> Change:
    existing = await client.read_automations_by_name(wanted.name)
    if not existing:
        await client.create_automation(wanted)
        return Change.CREATED
    found, *surplus = existing
    for automation in surplus:
        await client.delete_automation(automation.id)
    if _content(found) == _content(wanted):
        return Change.UNCHANGED
    wanted.enabled = found.enabled
    await client.update_automation(found.id, wanted)
    return Change.UPDATED


def _content(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(include={"description", "trigger", "actions"})


async def _ours(client: PrefectClient) -> list[Automation]:
    return [found for name in NAMES for found in await client.read_automations_by_name(name)]


async def _described(client: PrefectClient, automation: Automation) -> Installed:
    fired = await client.read_events(
        EventFilter(
            event=EventNameFilter(name=["prefect.automation.triggered"]),
            resource=EventResourceFilter(id=[f"prefect.automation.{automation.id}"]),
        ),
        limit=1,
    )
    last = fired.events[0].occurred if fired.events else None
    return Installed(automation.name, automation.description, automation.enabled, fired.total, last)


@asynccontextmanager
async def _server() -> AsyncIterator[PrefectClient]:
    """Yield a client of the server of the current profile, which must be there.

    Without an address Prefect would start a server of its own for as long as this process lives.
    """
    if not PREFECT_API_URL.value():
        raise ResponsesError(
            "Automations live on a Prefect server, and none is named: set PREFECT_API_URL or "
            "choose a profile."
        )
    async with get_client() as client:
        if (problem := await client.api_healthcheck()) is not None:
            raise ResponsesError(
                f"Prefect's server cannot be reached ({type(problem).__name__}): check "
                "PREFECT_API_URL."
            )
        try:
            yield client
        except PrefectHTTPStatusError as error:
            answer = error.response
            raise ResponsesError(
                f"Prefect's server refused ({answer.status_code}): {answer.text[:_LONGEST_REASON]}"
            ) from error
