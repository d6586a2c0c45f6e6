"""Send one attempt: intent, POST, ID, in this order, each committed before the next.

Between the POST and the commit of its ID stands nothing: no log line, no artifact, no event. A
process whose console is gone dies in its next log call, and it must not die there.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from prefect_responses.decisions.verdicts import (
    CreateAccepted,
    CreateAmbiguous,
    CreateNotSent,
    CreateParked,
    CreateRefused,
    CreateRefusedForNow,
    CreateVerdict,
)
from prefect_responses.engine.crash_points import CrashPoint, reach
from prefect_responses.engine.settlement import settle_as_read
from prefect_responses.errors import (
    AnswerAmbiguous,
    LedgerError,
    LedgerLocked,
    OwnerLost,
    RequestInvalid,
    ResponseUnrecorded,
    type_name,
)
from prefect_responses.ledger import (
    Claim,
    MarkInDoubt,
    RecordAccepted,
    Release,
    Settle,
)
from prefect_responses.statuses import Outcome
from prefect_responses.wire.requests import expires_at, outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.policies import CallPolicy
    from prefect_responses.engine.calls import Call
    from prefect_responses.engine.cancelling import Cancelling
    from prefect_responses.engine.fresh_bodies import FreshBodies
    from prefect_responses.engine.observers import Observer
    from prefect_responses.engine.open_streams import OpenStreams
    from prefect_responses.engine.posting import Posting
    from prefect_responses.errors import ApiError
    from prefect_responses.ledger import Ledger
    from prefect_responses.wire.requests import ProviderProfile

#: Seconds that a cancelled caller waits for a POST of its own to be recorded.
RECORDING_GRACE = 10.0
#: Seconds until a lease that is about to be renewed is looked at again.
LEASE_WAIT = 0.5
#: Seconds between tries to commit an ID that the ledger would not take.
RECORDING_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)


#: Attempts that this process is sending, whichever engine does, and how many callers try to.
_under_way: Counter[str] = Counter()
#: Accepted IDs that the ledger would not take, by attempt.
_unrecorded: dict[str, RecordAccepted] = {}


def is_under_way(attempt_id: str) -> bool:
    """Tell whether this process is sending an attempt."""
    return _under_way[attempt_id] > 0


class Submission:
    """Submit attempts to one API, recording in one ledger.

    Args:
        ledger: where attempts are recorded.
        posting: sends them.
        cancelling: cancels a response that was accepted beside another.
        streams: where the stream of an accepted create waits for its follower.
        clock: the time.
        profile: what this server understands.
        on_the_wire: bounds how many POSTs are between intent and ID at once; what a kill leaves
            in doubt is at most this many.
        observer: who is told, after the commit.
        post_timeout: seconds that a whole POST may take; the lease must last as long.
        fresh_bodies: takes the body of a response that has ended with its POST.
    """

    def __init__(  # noqa: PLR0913 - the doors of a submission, all named
        self,
        ledger: Ledger,
        posting: Posting,
        cancelling: Cancelling,
        streams: OpenStreams,
        clock: Clock,
        *,
        profile: ProviderProfile,
        on_the_wire: asyncio.Semaphore,
        observer: Observer,
        post_timeout: float,
        fresh_bodies: FreshBodies,
    ) -> None:
        self._ledger = ledger
        self._posting = posting
        self._cancelling = cancelling
        self._streams = streams
        self._clock = clock
        self._profile = profile
        self._on_the_wire = on_the_wire
        self._observer = observer
        self._post_timeout = post_timeout
        self._fresh_bodies = fresh_bodies
        self._closing: set[asyncio.Future[None]] = set()

    async def send(
        self, attempt: Attempt, request: Mapping[str, Any], call: Call, tries: int
    ) -> Attempt:
        """Claim *attempt*, send it and record the answer; return where it stands then.

        Once claimed, a cancelled caller does not interrupt it: the POST and the commit of its ID
        go on, and the cancellation waits for them at most `RECORDING_GRACE` seconds.

        Args:
            attempt: a planned attempt.
            request: what to send, as the caller gave it.
            call: what it is charged, how long to wait after a refusal, and how often to connect.
            tries: how often this call has sent so far, this time included.

        Raises:
            EndpointUnreachable: no connection could be made, `policy.unreachable_tries` times.
            Parked: nothing can be submitted until a person acts; the attempt is planned again.
            OwnerLost: this process was paused past its lease; nothing was sent.
            AccountFull: what it is charged would exceed a limit; it is still planned.
        """
        async with self._on_the_wire:
            whole = asyncio.create_task(self._send_noted(attempt, request, call, tries))
            try:
                return await asyncio.shield(whole)
            except asyncio.CancelledError:
                await asyncio.wait({whole}, timeout=RECORDING_GRACE)
                self._leave(attempt, whole)
                raise

    def _leave(self, attempt: Attempt, whole: asyncio.Task[Attempt]) -> None:
        """See to it that nobody's stream is closed, as soon as the sending is over."""

        def close(done: asyncio.Task[Attempt]) -> None:
            del done
            closing = asyncio.ensure_future(self._streams.close(attempt))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

        whole.add_done_callback(close)

    async def record_what_was_not(self, attempt_id: str) -> None:
        """Commit the ID of an attempt that this process could not record before, if it has one."""
        verb = _unrecorded.get(attempt_id)
        if verb is not None:
            await self._ledger.do(verb)
            _unrecorded.pop(attempt_id, None)

    async def _send_noted(
        self, attempt: Attempt, request: Mapping[str, Any], call: Call, tries: int
    ) -> Attempt:
        _under_way[attempt.id] += 1
        try:
            return await self._send(attempt, request, call, tries)
        except BaseException:
            await self._streams.close(attempt)
            raise
        finally:
            _under_way[attempt.id] -= 1
            if not _under_way[attempt.id]:
                del _under_way[attempt.id]

    async def _send(
        self, attempt: Attempt, request: Mapping[str, Any], call: Call, tries: int
    ) -> Attempt:
        # Whatever is wrong with the request shows before the intent, which would look like a doubt.
        body = outgoing(request, key=attempt.key, profile=self._profile)
        reach(CrashPoint.BEFORE_INTENT)
        client_request_id = f"{attempt.id}-{uuid.uuid4().hex[:8]}"
        now = self._clock.now()
        claim = await self._ledger.do(Claim(attempt.id, client_request_id, now, call.charge))
        if not claim.moved:
            return claim.attempt
        reach(CrashPoint.AFTER_INTENT)
        if self._ledger.lease_left(claim.attempt.owner_id) <= self._post_timeout:
            return await self._wait_for_lease(claim.attempt)
        verdict = await self._post(claim.attempt, body, client_request_id)
        reach(CrashPoint.AFTER_POST)
        policy = call.policy
        match verdict:
            case CreateAccepted() as accepted:
                return await self._record(claim.attempt, request, accepted, policy)
            case CreateNotSent(error) if tries >= policy.unreachable_tries:
                await self._release(claim.attempt, error, None)
                raise error
            case CreateNotSent(error) | CreateRefusedForNow(error):
                wait = max(policy.refused_for_now.wait(tries), error.retry_after or 0.0)
                return await self._release(claim.attempt, error, self._clock.now() + wait)
            case CreateParked(error):
                await self._release(claim.attempt, error, None)
                raise error
            case CreateRefused(error):
                return await self._refuse(claim.attempt, error)
            case CreateAmbiguous(error):
                return await self._doubt(claim.attempt, error)
            case never:
                assert_never(never)

    async def _wait_for_lease(self, attempt: Attempt) -> Attempt:
        """Give *attempt* back: a POST now might end after others take this process for dead."""
        holds_lease = self._ledger.holds_lease(attempt.owner_id)
        released = await self._release(attempt, None, self._clock.now() + LEASE_WAIT)
        if not holds_lease:
            raise OwnerLost
        return released

    async def _post(
        self, attempt: Attempt, body: Mapping[str, Any], client_request_id: str
    ) -> CreateVerdict:
        try:
            return await self._posting.post(attempt, body, client_request_id)
        except RequestInvalid:
            # The client would not write it: nothing left.
            await self._release(attempt, None, None)
            raise
        except Exception as error:
            # A defect, not the network: whether bytes left is not known.
            await self._doubt(attempt, AnswerAmbiguous(f"Sending it raised {type_name(error)}."))
            raise

    async def _record(
        self,
        attempt: Attempt,
        request: Mapping[str, Any],
        accepted: CreateAccepted,
        policy: CallPolicy,
    ) -> Attempt:
        response, now = accepted.response, self._clock.now()
        recorded = await self._write_down(
            RecordAccepted(
                attempt.id,
                response.id,
                response.status,
                accepted.server_request_id,
                expires_at(request, now, response),
                now,
                streamed=self._streams.has(attempt) or None,
            )
        )
        reach(CrashPoint.AFTER_ID)
        if recorded.outcome is Outcome.SURPLUS:
            await self._streams.close(attempt)
            return await self._cancelling.deliver(recorded, policy.poll)
        self._observer.submitted(recorded)
        if response.status.is_terminal:
            reach(CrashPoint.BEFORE_SETTLING)
            verb = settle_as_read(recorded, response, accepted.body, polls=0, at=self._clock.now())
            recorded = (await self._ledger.do(verb)).attempt
            self._fresh_bodies.keep(recorded, accepted.body)
            reach(CrashPoint.AFTER_SETTLING)
            self._observer.settled(recorded)
        return recorded

    async def _write_down(self, verb: RecordAccepted) -> Attempt:
        """Commit the ID, trying for a while: it is the one thing that must not be lost."""
        for wait in (*RECORDING_WAITS, None):
            try:
                return (await self._ledger.do(verb)).attempt
            except LedgerError as error:
                if wait is None:
                    _unrecorded[verb.attempt_id] = verb
                    raise ResponseUnrecorded(verb.attempt_id, verb.response_id) from error
                await self._clock.sleep(wait)
        raise ResponseUnrecorded(verb.attempt_id, verb.response_id)

    async def _release(
        self, attempt: Attempt, error: ApiError | None, not_before: float | None
    ) -> Attempt:
        record = error.as_record() if error else None
        verb = Release(attempt.id, attempt.fence, not_before, record, self._clock.now())
        return (await self._ledger.do(verb)).attempt

    async def _doubt(self, attempt: Attempt, error: ApiError) -> Attempt:
        owner, record = self._ledger.owner_id, error.as_record()
        verb = MarkInDoubt(attempt.id, owner, attempt.fence, record, self._clock.now())
        for wait in RECORDING_WAITS:
            with suppress(LedgerLocked):
                return (await self._ledger.do(verb)).attempt
            await self._clock.sleep(wait)
        return (await self._ledger.do(verb)).attempt

    async def _refuse(self, attempt: Attempt, error: ApiError) -> Attempt:
        verb = Settle(
            attempt.id,
            Outcome.REFUSED,
            self._clock.now(),
            error=error.as_record(),
            fence=attempt.fence,
        )
        refused = (await self._ledger.do(verb)).attempt
        self._observer.settled(refused)
        return refused
