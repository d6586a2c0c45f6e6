"""Follow the events of a response to its end, over as many connections as it takes.

Following is the quick way to an end, polling the sure one: wherever a stream cannot be followed the
attempt is handed back, marked so, and polled from then on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import orjson

from prefect_responses.decisions.output_texts import has_output
from prefect_responses.decisions.stream_ends import (
    Connection,
    PollForGood,
    Reconnect,
    after_connection,
)
from prefect_responses.decisions.stream_fold import fold, reconnected
from prefect_responses.decisions.verdicts import Seen
from prefect_responses.engine.alarms import first_of, sooner
from prefect_responses.engine.listening import Listeners
from prefect_responses.engine.open_streams import OpenStream
from prefect_responses.engine.stream_progress import StreamProgress
from prefect_responses.errors import AttemptUnknown, Parked
from prefect_responses.ledger import BeginFollowing, StopFollowing
from prefect_responses.statuses import ANSWERED, OUTCOME_OF_STATUS, AttemptState
from prefect_responses.wire.responses import ResponseUnreadable, read_response_object
from prefect_responses.wire.stream_events import EventType

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
    from prefect_responses.wire.responses import Response
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
    is_silent: bool = True


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
        left = None if until is None else max(0.0, until - self._clock.now())
        try:
            # Whatever it waits for, a turn or an event: the deadline holds.
            async with asyncio.timeout(left) as limit:
                return await self._follow(attempt, policy, listeners, until)
        except TimeoutError:
            if not limit.expired():
                raise
            return await self._ledger.attempt(attempt.id)

    async def _follow(
        self,
        attempt: Attempt,
        policy: CallPolicy,
        listeners: Sequence[Listener],
        until: float | None,
    ) -> Attempt:
        if attempt.streamed is None:
            verb = BeginFollowing(attempt.id, self._clock.now())
            attempt = (await self._ledger.do(verb)).attempt
        tail = _Tail(
            StreamProgress(self._ledger, self._clock, attempt, clean=self._api.redact),
            Listeners(listeners),
        )
        await tail.progress.load()
        tail.reached = tail.progress.state.reach
        tail.listeners.began(tail.progress.state)
        known = _what_others_set(attempt)
        while attempt.state is AttemptState.SUBMITTED and attempt.streamed is not False:
            if _what_others_set(attempt) != known:
                break
            if self._api.has_free_stream or self._streams.has(attempt):
                attempt = await self._follow_once(attempt, tail, policy)
            else:
                attempt = await self._poll_a_while(attempt, policy, until)
        return attempt

    async def _poll_a_while(
        self, attempt: Attempt, policy: CallPolicy, until: float | None
    ) -> Attempt:
        soon = sooner(until, self._clock.now() + UNTIL_A_STREAM_IS_FREE)
        return await self._polling.wait(attempt, policy.poll, is_new=False, until=soon)

    async def _follow_once(self, attempt: Attempt, tail: _Tail, policy: CallPolicy) -> Attempt:
        went = await self._connect(attempt, tail, policy)
        if tail.progress.state.response is not None:
            return await self._settle(attempt, tail, policy)
        match after_connection(went, policy.follow):
            case PollForGood():
                return await self._stop(attempt)
            case Reconnect(wait, ask):
                if ask:
                    attempt = await self._ask(attempt, policy)
                if attempt.state is AttemptState.SUBMITTED:
                    await self._clock.sleep(wait)
                return attempt
            case never:
                assert_never(never)

    async def _connect(self, attempt: Attempt, tail: _Tail, policy: CallPolicy) -> Connection:
        """Follow one connection to its end."""
        opened, reached = (
            self._streams.take(attempt) or await self._open(attempt, tail),
            tail.reached,
        )
        self._begin_again(opened, tail)
        try:
            async with tail.progress.kept():
                await first_of(self._hear_all(opened, tail), self._mind(attempt, tail, policy))
        finally:
            await opened.close()
        is_new = tail.reached > reached
        tail.fruitless = 0 if is_new else tail.fruitless + 1
        is_broken = opened.stream.broken is not None
        return Connection(opened.stream.answer, is_broken, is_new, tail.fruitless)

    def _begin_again(self, opened: OpenStream, tail: _Tail) -> None:
        """Void what a server that numbers nothing is about to send again."""
        if opened.stream.answer is not None:
            return
        state, changes = reconnected(tail.progress.state)
        if changes:
            tail.progress.note(state)
            tail.listeners.voided(changes, state)

    async def _mind(self, attempt: Attempt, tail: _Tail, policy: CallPolicy) -> None:
        """End when a silent stream's response has ended, or another process wrote of it."""
        while True:
            tail.is_silent = True
            await self._clock.sleep(policy.follow.silence)
            stored = await self._ledger.attempt(attempt.id)
            if tail.is_silent and stored.state is AttemptState.SUBMITTED:
                stored = (await self._polling.look(stored, policy.poll)).attempt
            if stored.is_settled or _what_others_set(stored) != _what_others_set(attempt):
                return

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
        if event.event_type is not EventType.KEEPALIVE:
            tail.reached, tail.is_silent = max(tail.reached, state.reach), False
        tail.progress.note(state)
        tail.listeners.heard(event, changes, state)

    async def _ask(self, attempt: Attempt, policy: CallPolicy) -> Attempt:
        """Read a response whose stream ended without saying how; see what others wrote of it."""
        stored = await self._ledger.attempt(attempt.id)
        if stored.is_settled:
            return stored
        look = await self._polling.look(stored, policy.poll)
        if isinstance(look.error, Parked):
            raise look.error
        return await self._stop(look.attempt) if look.missing else look.attempt

    async def _stop(self, attempt: Attempt) -> Attempt:
        return (await self._ledger.do(StopFollowing(attempt.id, self._clock.now()))).attempt

    async def _settle(self, attempt: Attempt, tail: _Tail, policy: CallPolicy) -> Attempt:
        """Settle *attempt* by its last event, if that says it all; else let it be polled."""
        state = tail.progress.state
        response = _as_told(state.response, attempt)
        if response is None:
            return await self._stop(attempt)
        said_more = bool(state.parts or state.outputs)
        if said_more and not has_output(state.response):
            # Some servers leave out of the last event what they sent before: read it whole.
            look = await self._polling.look(attempt, policy.poll)
            if look.attempt.is_settled:
                return look.attempt
            if not look.missing and OUTCOME_OF_STATUS[response.status] in ANSWERED:
                return await self._stop(attempt)
        return await self._polling.settle(attempt, Seen(response, orjson.dumps(state.response)))


def _as_told(document: dict[str, Any] | None, attempt: Attempt) -> Response | None:
    """Return the response that a last event holds, or None if it is not the attempt's own end."""
    try:
        response = read_response_object(document)
    except ResponseUnreadable:
        return None
    is_end = response.id == attempt.response_id and response.status.is_terminal
    return response if is_end else None


def _what_others_set(attempt: Attempt) -> tuple[float | None, float | None]:
    return attempt.deadline_at, attempt.cancel_wanted_at


def _response_id(attempt: Attempt) -> str:
    if attempt.response_id is None:
        raise AttemptUnknown(f"Attempt {attempt.id} has no response ID to follow.")
    return attempt.response_id
