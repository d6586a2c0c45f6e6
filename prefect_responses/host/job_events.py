"""Tell Prefect that a row job was parked, or goes on, so that people can automate on it.

Best effort, within seconds: what cannot be sent is dropped.
"""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prefect.context import FlowRunContext
from prefect.events import Event, RelatedResource

from prefect_responses.errors import PrefectUnavailable
from prefect_responses.host.prefect_api import asking_prefect

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "prefect-responses.job"
_PATIENCE = 5.0
_LONGEST_TEXT = 400


class JobEvent(StrEnum):
    """Name what happened to a job."""

    #: Nothing can be submitted until a person acts.
    PARKED = "parked"
    #: A later run goes on with it.
    RESUMED = "resumed"


async def tell_of_job(event: JobEvent, job: str, facts: Mapping[str, Any]) -> bool:
    """Send an event about *job*, related to the flow run if there is one.

    Args:
        event: what happened.
        job: the name of the job.
        facts: the payload; no text that was sent to a model or came from one.

    Returns:
        Whether Prefect took it.
    """
    body = [job_event(event, job, facts).model_dump(mode="json")]
    with suppress(PrefectUnavailable):
        async with asking_prefect(_PATIENCE) as client:
            (await client.request("POST", "/events", json=body)).raise_for_status()
            return True
    return False


def job_event(event: JobEvent, job: str, facts: Mapping[str, Any]) -> Event:
    """Return *event* of *job*, as Prefect stores it."""
    name = job[:_LONGEST_TEXT]
    context = FlowRunContext.get()
    related = []
    if context is not None and context.flow_run is not None:
        labels = {
            "prefect.resource.id": f"prefect.flow-run.{context.flow_run.id}",
            "prefect.resource.role": "flow-run",
        }
        related.append(RelatedResource(labels))
    return Event(
        event=f"{_PREFIX}.{event.value}",
        resource={"prefect.resource.id": f"{_PREFIX}.{name}", "prefect.resource.name": name},
        related=related,
        payload={
            key: value[:_LONGEST_TEXT] if isinstance(value, str) else value
            for key, value in facts.items()
        },
    )
