"""Follow the events of a response to its end, over as many connections as it takes.

Following is the quick way to an end, polling the sure one: wherever a stream cannot be followed the
attempt is handed back, marked so, and polled from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import orjson

from prefect_responses.decisions.output_texts import has_output
from prefect_responses.decisions.stream_ends import (
    Connection,
    PollForGood,
    Reconnect,
    after_connection,
)
from prefect_responses.decisions.stream_fold import fold
from prefect_responses.decisions.verdicts import Seen
from prefect_responses.engine.alarms import before, sooner
from prefect_responses.engine.listening import Listeners
from prefect_responses.engine.open_streams import OpenStream
from prefect_responses.engine.stream_progress import StreamProgress
from prefect_responses.errors import AttemptUnknown, Parked
from prefect_responses.ledger import BeginFollowing, StopFollowing
from prefect_responses.statuses import AttemptState
from prefect_responses.wire.responses import read_response_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import ResponsesApi
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.policies import CallPolicy
    from prefect_responses.engine.listening import Listener
    from prefect_responses.engine.open_streams import OpenStreams
    from prefect_responses.engine.polling import Polling
    from prefect_responses.ledger import Ledger
    from prefect_responses.wire.stream_events import StreamEvent

#: Seconds of polling until it is looked again whether a stream is free.
UNTIL_A_STREAM_IS_FREE = 30.0


@dataclass(slots=True)
class _Tail:
    """What one follower remembers between connections; nothing that a crash would need."""

    progress: StreamProgress
    listeners: Listeners
    reached: int = -1
    fruitless: int = 0


class Following:
    """Follow the streams of one API.

    Args:
        ledger: where the cursor and the text so far are kept, and ends are recorded.
        api: whose streams are followed.
        clock: the time.
        polling: reads a response whose stream says nothing.
        streams: the streams that creates have opened.
    """

    def __init__(
        self,
        ledger: Ledger,
        api: ResponsesApi,
        clock: Clock,
        polling: Polling,
        streams: OpenStreams,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._clock = clock
        self._polling = polling
        self._streams = streams

    async def follow(
        self,
        attempt: Attempt,
        policy: CallPolicy,
        listeners: Sequence[Listener],
        until: float | None,
    ) -> Attempt:
        """Follow until the response has ended, its stream cannot be followed, or it is *until*.

        After a crash the next process goes on from the cursor that was kept: the events since the
        last commit, at most a quarter of a second or a hundred of them, are sent again.

        Args:
            attempt: a submitted attempt.
            policy: how stubbornly to follow.
            listeners: who hears the events.
            until: seconds since the epoch, or None.

        Raises:
            Parked: the credentials are refused; the response is left as it is.
        """
        if not (self._api.has_free_stream or self._streams.has(attempt)):
            until = sooner(until, self._clock.now() + UNTIL_A_STREAM_IS_FREE)
            return await self._polling.wait(attempt, policy.poll, is_new=False, until=until)
        if attempt.streamed is None:
            verb = BeginFollowing(attempt.id, self._clock.now())
            attempt = (await self._ledger.do(verb)).attempt
        tail = _Tail(StreamProgress(self._ledger, self._clock, attempt), Listeners(listeners))
        await tail.progress.load()
        tail.reached = tail.progress.state.reach
        tail.listeners.began(tail.progress.state)
        while attempt.state is AttemptState.SUBMITTED and attempt.streamed is not False:
            if until is not None and self._clock.now() >= until:
                break
            attempt = await self._follow_once(attempt, tail, policy, until)
        return attempt

    async def _follow_once(
        self, attempt: Attempt, tail: _Tail, policy: CallPolicy, until: float | None
    ) -> Attempt:
        went = await self._connect(attempt, tail, until)
        if tail.progress.state.response is not None:
            return await self._settle(attempt, tail, policy)
        if until is not None and self._clock.now() >= until:
            return attempt
        match after_connection(went, policy.follow):
            case PollForGood():
                return await self._stop(attempt)
            case Reconnect(wait, ask):
                if ask:
                    attempt = await self._ask(attempt, policy)
                if attempt.state is AttemptState.SUBMITTED:
                    await self._pause(wait, until)
                return attempt
            case never:
                assert_never(never)

    async def _connect(self, attempt: Attempt, tail: _Tail, until: float | None) -> Connection:
        """Follow one connection to its end."""
        opened = self._streams.take(attempt) or await self._open(attempt, tail)
        try:
            async with tail.progress.kept():
                await before(self._clock, until, self._hear_all(opened, tail))
        finally:
            await opened.close()
        is_new = tail.progress.state.reach > tail.reached
        tail.reached = max(tail.reached, tail.progress.state.reach)
        tail.fruitless = 0 if is_new else tail.fruitless + 1
        is_broken = opened.stream.broken is not None
        return Connection(opened.stream.answer, is_broken, is_new, tail.fruitless)

    async def _open(self, attempt: Attempt, tail: _Tail) -> OpenStream:
        state = tail.progress.state
        after = state.cursor if state.can_resume else None
        stream = self._api.stream(_response_id(attempt), starting_after=after)
        return OpenStream(await stream.__aenter__())

    async def _hear_all(self, opened: OpenStream, tail: _Tail) -> None:
        for event in opened.events:
            self._hear(event, tail)
        async for event in opened.stream:
            self._hear(event, tail)

    def _hear(self, event: StreamEvent, tail: _Tail) -> None:
        known = tail.progress.state
        state, changes = fold(known, event)
        if state is known:  # it was sent again, or says nothing
            return
        tail.progress.note(state)
        tail.listeners.heard(event, changes, state)

    async def _ask(self, attempt: Attempt, policy: CallPolicy) -> Attempt:
        """Read a response whose stream ended without saying how."""
        look = await self._polling.look(attempt, policy.poll)
        if isinstance(look.error, Parked):
            raise look.error
        return await self._stop(look.attempt) if look.missing else look.attempt

    async def _pause(self, wait: float, until: float | None) -> None:
        now = self._clock.now()
        await self._clock.sleep(max(0.0, (sooner(now + wait, until) or now) - now))

    async def _stop(self, attempt: Attempt) -> Attempt:
        return (await self._ledger.do(StopFollowing(attempt.id, self._clock.now()))).attempt

    async def _settle(self, attempt: Attempt, tail: _Tail, policy: CallPolicy) -> Attempt:
        state = tail.progress.state
        if not has_output(state.response) and state.text:
            # Some servers leave out of the last event what they sent before: read it whole.
            look = await self._polling.look(attempt, policy.poll)
            if look.attempt.is_settled:
                return look.attempt
        seen = Seen(read_response_object(state.response), orjson.dumps(state.response))
        return await self._polling.settle(attempt, seen)


def _response_id(attempt: Attempt) -> str:
    if attempt.response_id is None:
        raise AttemptUnknown(f"Attempt {attempt.id} has no response ID to follow.")
    return attempt.response_id
