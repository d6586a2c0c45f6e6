"""Wait for the end of a submitted response in the way that was decided, or bring it about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias, assert_never

from prefect_responses.decisions.next_action import Cancel, Follow, Poll, Watch
from prefect_responses.decisions.policies import PollPolicy

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.engine.calls import Call
    from prefect_responses.engine.cancelling import Cancelling
    from prefect_responses.engine.following import Following
    from prefect_responses.engine.open_streams import OpenStreams
    from prefect_responses.engine.polling import Polling
    from prefect_responses.ledger import Ledger
    from prefect_responses.statuses import CancelReason

#: Seconds between two tries to deliver a cancel.
CANCEL_AGAIN = 1.0
#: A response that was told to stop ends within seconds (API reference, Cancel), or not at all.
WINDING_DOWN = PollPolicy(least=0.5, most=2.0, learns=False)

Await: TypeAlias = Follow | Poll | Cancel | Watch


class Awaiting:
    """Wait for ends at one API.

    Args:
        ledger: where it is read what another process did.
        clock: the time.
        polling: reads responses.
        following: follows their events.
        cancelling: ends them.
        streams: what creates have opened; it is closed where nobody follows.
    """

    def __init__(  # noqa: PLR0913 - the ways to an end, all named
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        polling: Polling,
        following: Following,
        cancelling: Cancelling,
        streams: OpenStreams,
    ) -> None:
        self._ledger = ledger
        self._streams = streams
        self._clock = clock
        self._polling = polling
        self._following = following
        self._cancelling = cancelling

    async def perform(
        self, action: Await, attempt: Attempt, call: Call, *, is_new: bool
    ) -> Attempt:
        """Do *action*, and return where the attempt stands then.

        Args:
            action: what was decided.
            attempt: a submitted attempt, or one to be watched.
            call: whose policy and listeners count.
            is_new: it was accepted just now, so that its first poll can wait.
        """
        if not isinstance(action, Follow):
            await self._streams.close(attempt)
        match action:
            case Poll(until):
                ends = attempt.cancel_wanted_at is not None
                policy = WINDING_DOWN if ends and until is not None else call.policy.poll
                return await self._polling.wait(attempt, policy, is_new=is_new, until=until)
            case Follow(until):
                return await self._following.follow(attempt, call.policy, call.listeners, until)
            case Cancel(reason):
                return await self._cancel(attempt, call, reason)
            case Watch(until):
                return await self._polling.watch(attempt, WINDING_DOWN, until)
            case _:
                assert_never(action)

    async def _cancel(self, attempt: Attempt, call: Call, reason: CancelReason) -> Attempt:
        wanted = await self._cancelling.want(attempt, reason, call.origin.run)
        try:
            # A server that says nothing holds nobody longer than the grace: the cancel is owed.
            async with asyncio.timeout(max(CANCEL_AGAIN, call.policy.timeout.grace)):
                told = await self._cancelling.deliver(wanted, call.policy.poll)
        except TimeoutError:
            return await self._ledger.attempt(attempt.id)
        if told.owes_cancel:
            await self._clock.sleep(CANCEL_AGAIN)
        return told
