"""How a task waits for the end of a response, and who hears of it meanwhile."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefect_responses.decisions.policies import (
    AwaitMode,
    CallPolicy,
    PollPolicy,
    TimeoutPolicy,
)
from prefect_responses.host.live_text import live_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prefect_responses.engine.listening import Listener


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a user may say about waiting.

    Args:
        mode: see `AwaitMode`.
        timeout: how long the response may take.
        poll: how polls are spaced, or None for the default.
        live_text: show the text so far in Prefect's UI.
        listeners: who else hears the events.
    """

    mode: AwaitMode = AwaitMode.AUTO
    timeout: TimeoutPolicy = field(default_factory=TimeoutPolicy)
    poll: PollPolicy | None = None
    live_text: bool = False
    listeners: tuple[Listener, ...] = ()

    def policy(self) -> CallPolicy:
        """Return the policy of a call that only waits."""
        return CallPolicy(self.mode, self.timeout, poll=self.poll or PollPolicy())

    @asynccontextmanager
    async def listening(self, title: str) -> AsyncIterator[tuple[Listener, ...]]:
        """Return who hears the events of the response called *title*."""
        async with AsyncExitStack() as stack:
            shown = [await stack.enter_async_context(live_text(title))] if self.live_text else []
            yield (*self.listeners, *shown)
