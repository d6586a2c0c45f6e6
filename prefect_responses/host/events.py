"""Tell Prefect what became of responses, so that people can automate on it.

Best effort: what cannot be sent is dropped, and a harvest waits a few seconds for it at most. No
event holds a text that was sent to a model or came from one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prefect.events import Event

from prefect_responses.errors import ResponsesError
from prefect_responses.host.prefect_api import PATIENCE, asking_prefect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.harvest_doors import Expiring, ResponseEvent

PREFIX = "prefect-responses"
#: Events in one request.
_BATCH = 200
#: Events that wait to be sent at most; an API that is slower than that is not waited for.
_MOST_WAITING = 5_000
_LONGEST_LABEL = 200
_TOKENS = ("input_tokens", "output_tokens", "total_tokens")


class PrefectEvents:
    """Send events in the order in which they happened, some at once, beside the harvest.

    They are sent over HTTP and not by Prefect's own emitter, which would relate each of them to the
    flow run that harvests. After the first failure nothing more is tried.

    Args:
        ledger_uuid: the ledger that is harvested.
    """

    def __init__(self, ledger_uuid: str) -> None:
        self._ledger_uuid = ledger_uuid
        self._waiting: deque[Event] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._failed = False
        #: Events that were not sent.
        self.dropped = 0

    def response(self, event: ResponseEvent, attempt: Attempt) -> None:
        """Send *event* of *attempt* when its turn comes."""
        if self._failed or len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(event_of(event, attempt))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_waiting())

    async def expiring(self, warning: Expiring) -> bool:
        """Warn at once; return whether Prefect took the warning."""
        return await self._send([warning_of(warning, self._ledger_uuid)])

    async def aclose(self) -> None:
        """Send what is waiting, for a few seconds."""
        if self._sender is not None:
            await asyncio.wait({self._sender}, timeout=PATIENCE)
            self._sender.cancel()
            with suppress(asyncio.CancelledError):
                await self._sender
        self._drop_waiting()

    async def _send_waiting(self) -> None:
        await asyncio.sleep(0)  # let what happens together be sent together
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            await self._send(batch)

    async def _send(self, events: list[Event]) -> bool:
        if not self._failed:
            try:
                await _post(events)
            except ResponsesError:
                self._failed = True
                self._drop_waiting()
        self.dropped += len(events) if self._failed else 0
        return not self._failed

    def _drop_waiting(self) -> None:
        self.dropped += len(self._waiting)
        self._waiting.clear()


async def _post(events: Iterable[Event]) -> None:
    async with asking_prefect() as client:
        body = [event.model_dump(mode="json") for event in events]
        (await client.request("POST", "/events", json=body)).raise_for_status()


def event_of(event: ResponseEvent, attempt: Attempt) -> Event:
    """Return *event* of *attempt*, as Prefect stores it."""
    name = attempt.response_id or attempt.id
    labels = {
        "prefect.resource.id": f"{PREFIX}.response.{name}",
        "prefect.resource.name": name,
        f"{PREFIX}.attempt": attempt.id,
        f"{PREFIX}.name": attempt.name,
        f"{PREFIX}.scope": attempt.scope,
        f"{PREFIX}.model": attempt.model or "unknown",
    }
    return Event(
        event=f"{PREFIX}.response.{event.value}",
        resource={label: text[:_LONGEST_LABEL] for label, text in labels.items()},
        related=_related(attempt),
        payload=_payload(attempt),
    )


def _related(attempt: Attempt) -> list[dict[str, str]]:
    runs = {"flow-run": attempt.flow_run_id, "task-run": attempt.task_run_id}
    return [_run(role, run_id) for role, run_id in runs.items() if run_id is not None]


def _run(role: str, run_id: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.{role}.{run_id}", "prefect.resource.role": role}


def _payload(attempt: Attempt) -> dict[str, Any]:
    # The code of an error, and not its message: that may quote the request.
    facts = {
        "attempt_id": attempt.id,
        "response_id": attempt.response_id,
        "number": attempt.number,
        "state": attempt.state.value,
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "error_code": (attempt.error or {}).get("code"),
        "cancel_reason": attempt.cancel_reason.value if attempt.cancel_reason else None,
        "latency_seconds": attempt.latency,
        **{name: (attempt.usage or {}).get(name) for name in _TOKENS},
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def warning_of(warning: Expiring, ledger_uuid: str) -> Event:
    """Return the event that warns of all responses that may be lost unread."""
    return Event(
        event=f"{PREFIX}.responses.expiring",
        resource={
            "prefect.resource.id": f"{PREFIX}.ledger.{ledger_uuid}",
            "prefect.resource.name": "Ledger of responses",
        },
        related=[_run("flow-run", flow_run_id) for flow_run_id in warning.flow_run_ids],
        payload={
            "count": warning.count,
            "missing": warning.missing,
            "soonest_expires_at": warning.soonest,
            "response_ids": warning.response_ids,
        },
    )
