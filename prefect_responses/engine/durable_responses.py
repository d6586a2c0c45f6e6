"""The use-cases of one call: create it, wait for it, or both."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from prefect_responses.attempt import Draft, Origin
from prefect_responses.decisions.next_action import needs_deadline_cancel
from prefect_responses.engine.admission import Unlimited
from prefect_responses.engine.awaiting import WINDING_DOWN, Awaiting
from prefect_responses.engine.calls import Call, Settled, found_in
from prefect_responses.engine.cancelling import Cancelling
from prefect_responses.engine.changes import Changes
from prefect_responses.engine.driver import Driver, Until, new_claim_id
from prefect_responses.engine.following import Following
from prefect_responses.engine.observers import Unfailing
from prefect_responses.engine.open_streams import OpenStreams
from prefect_responses.engine.polling import Polling
from prefect_responses.engine.posting import Posting
from prefect_responses.engine.searching import Searching
from prefect_responses.engine.submission import Submission
from prefect_responses.engine.unattended import Unattended
from prefect_responses.errors import ResponsesError
from prefect_responses.ledger import Attach, Deliver, DropClaim, Plan, Reject, SetDeadline, Take
from prefect_responses.statuses import AttemptState, CancelReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import ResponsesApi
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.policies import CallPolicy
    from prefect_responses.engine.admission import Admission
    from prefect_responses.engine.listening import Listener
    from prefect_responses.engine.observers import Observer
    from prefect_responses.engine.polling import Look
    from prefect_responses.ledger import Ledger
    from prefect_responses.wire.requests import ProviderProfile

#: POSTs between intent and ID at once: a kill leaves at most this many in doubt.
ON_THE_WIRE = 16


class DurableResponses:
    """Create responses at one endpoint and wait for them, recording in one ledger.

    Args:
        ledger: the record.
        api: the endpoint.
        clock: the time.
        profile: what the server understands.
        observer: who is told of what happened.
        on_the_wire: POSTs between intent and ID at once.
        post_timeout: seconds that a whole POST may take.
        admission: says when the next request may leave; at once if None.
    """

    def __init__(  # noqa: PLR0913 - the doors of the engine, all named
        self,
        ledger: Ledger,
        api: ResponsesApi,
        clock: Clock,
        profile: ProviderProfile,
        observer: Observer,
        *,
        on_the_wire: int = ON_THE_WIRE,
        post_timeout: float = 0.0,
        admission: Admission | None = None,
    ) -> None:
        self.ledger = ledger
        self._clock = clock
        observer, admission = Unfailing(observer), admission or Unlimited()
        self._streams = OpenStreams()
        self._polling = Polling(ledger, api, clock, observer)
        self._cancelling = Cancelling(ledger, api, clock, self._polling)
        following = Following(ledger, api, clock, self._polling, self._streams)
        submission = Submission(
            ledger,
            Posting(api, self._streams, post_timeout, admission),
            self._cancelling,
            self._streams,
            clock,
            profile=profile,
            on_the_wire=asyncio.Semaphore(on_the_wire),
            observer=observer,
            post_timeout=post_timeout,
            fresh_bodies=self._polling.fresh_bodies,
        )
        self._driver = Driver(
            ledger,
            submission,
            Awaiting(
                ledger,
                clock,
                polling=self._polling,
                following=following,
                cancelling=self._cancelling,
                streams=self._streams,
            ),
            Searching(ledger, api, clock),
            admission=admission,
            clock=clock,
            observer=observer,
        )
        fresh = self._polling.fresh_bodies
        self.unattended = Unattended(ledger, self._look_after, fresh.is_wanted)
        self._changes = Changes(ledger, self._cancelling, clock, self._driver)

    async def create(self, call: Call) -> Attempt:
        """Submit *call*, or find what an earlier process submitted for it.

        After a crash the same call finds the same response: no POST is repeated.

        Returns:
            An attempt with a response ID, or one that was refused.

        Raises:
            RequestChanged: its key was used for another request.
            SubmissionInDoubt: a POST may have been accepted; a person must say.
            Parked: nothing can be submitted until a person acts.
        """
        async with self._claimed(call, new_claim_id()) as taken:
            attempt = await self._drive(taken, call, Until.ACCEPTED)
            return await self._deliver(attempt)

    async def respond(self, call: Call) -> Settled:
        """Submit *call* or find it, wait until it has ended, and return the end.

        Raises:
            RequestChanged, SubmissionInDoubt, Parked: see `create`.
        """
        claim_id = new_claim_id()
        async with self._claimed(call, claim_id) as taken:
            attempt = await self._drive(taken, call, Until.SETTLED)
            settled = await self._read(await self._deliver(attempt), taken)
        return replace(settled, claim_id=claim_id)

    async def drive_row(self, call: Call) -> Settled:
        """Do what `respond` does for a row of a job, whose key alone tells it apart.

        The body stays in the ledger, but for one that was read just now: that is handed on.

        Raises:
            AccountFull: what it is charged would exceed a limit; its attempt is still planned.
            SubmissionInDoubt, Parked: see `create`.
        """
        fresh = self._polling.fresh_bodies
        with fresh.wanted(call.draft):
            planned = (await self.ledger.do(Plan(call.draft, self._clock.now()))).attempt
            taken = await self._changes.apply(planned, call)
            attempt = await self._driver.drive(taken, call, Until.SETTLED)
            return Settled(attempt, fresh.of(attempt), found_in(taken, attempt))

    async def wait(
        self,
        attempt_id: str,
        policy: CallPolicy,
        origin: Origin | None = None,
        listeners: Iterable[Listener] = (),
    ) -> Settled:
        """Wait until the response of *attempt_id* has ended, whoever submitted it.

        Args:
            attempt_id: the ledger's ID; a later attempt of the same call may stand for it by now.
            policy: how to wait.
            origin: who waits. If it failed, and its own scope was asked to run again since, it is
                submitted once more, as the call that created it would do.
            listeners: who hears what the response says while it is made.

        Raises:
            AttemptUnknown: the ledger has no such attempt.
            ResponseTimedOut: its deadline passed, and it could not be stopped.
        """
        named = await self.ledger.attempt(attempt_id)
        standing = await self._driver.look_again(named)
        call = replace(await self._call_again(standing, policy, origin), listeners=tuple(listeners))
        taken = await self._limited(standing, call)
        attempt = await self._drive(taken, call, Until.SETTLED)
        return await self._read(attempt, taken)

    async def look(self, attempt: Attempt) -> Look:
        """Read the response of *attempt* once, whoever owns it; settle it if it has ended."""
        return await self._polling.look(attempt, WINDING_DOWN)

    async def _look_after(self, attempt: Attempt, like: Call) -> None:
        """Find out how an attempt stands that nobody waits for; see `Unattended`."""
        if attempt.state is AttemptState.SUBMITTED:
            look = await self.look(attempt)
            if look.missing and look.error is not None:
                # As whoever drives a row of this job takes it.
                await self._polling.expire(attempt, look.error, polls=attempt.polls + 1)
            return
        await self._driver.resolve(attempt, await self._call_again(attempt, like.policy, None))

    async def watch(self, attempt: Attempt) -> Attempt:
        """Read a cancelled response once more; one that turned out completed is kept."""
        return await self._polling.watch(attempt, WINDING_DOWN, self._clock.now())

    async def want_cancel(self, attempt: Attempt, reason: CancelReason) -> Attempt:
        """Write down that *attempt* shall be cancelled; see `Cancelling.want`."""
        return await self._cancelling.want(attempt, reason)

    async def deliver_cancel(self, attempt: Attempt) -> Attempt:
        """Send the cancel that *attempt* owes, and read it once more; see `Cancelling.deliver`."""
        return await self._cancelling.deliver(attempt, WINDING_DOWN)

    async def enforce_deadline(self, attempt_id: str) -> Attempt:
        """Cancel a response whose deadline has passed and that nobody awaits; read it once more."""
        attempt = await self.ledger.attempt(attempt_id)
        is_due = needs_deadline_cancel(attempt, self._clock.now())
        if attempt.state is not AttemptState.SUBMITTED or not is_due:
            return attempt
        return await self.deliver_cancel(await self.want_cancel(attempt, CancelReason.DEADLINE))

    async def _limited(self, attempt: Attempt, call: Call) -> Attempt:
        """Give *attempt* the waiter's deadline, unless it has an earlier one or has ended."""
        now = self._clock.now()
        deadline_at = call.policy.timeout.deadline(now)
        if attempt.cancel_reason is CancelReason.DEADLINE:
            return await self._cancelling.want(attempt, CancelReason.DEADLINE, call.origin.run)
        if deadline_at is None or attempt.is_settled:
            return attempt
        return (await self.ledger.do(SetDeadline(attempt.id, deadline_at, now))).attempt

    async def _drive(self, taken: Attempt, call: Call, until: Until) -> Attempt:
        """Drive *taken*, and leave no stream open that was opened for it and is not followed."""
        attempt = taken
        try:
            attempt = await self._driver.drive(taken, call, until)
        finally:
            for each in {taken, attempt}:
                await self._streams.close(each)
        return attempt

    async def attach(self, draft: Draft, response_id: str) -> Attempt:
        """Take over a response that was created elsewhere, so that it can be waited for here."""
        verb = Attach(draft, response_id, None, self._clock.now())
        return (await self.ledger.do(verb)).attempt

    async def reject(self, attempt_id: str, reason: str) -> Attempt:
        """Mark an answer as not wanted, durably: the same call submits again next time."""
        return (await self.ledger.do(Reject(attempt_id, reason, self._clock.now()))).attempt

    async def _read(self, attempt: Attempt, taken: Attempt) -> Settled:
        bodies = await self.ledger.bodies([attempt.id])
        body = bodies[attempt.id].response if attempt.id in bodies else None
        return Settled(attempt, body, found_in(taken, attempt))

    async def _deliver(self, attempt: Attempt) -> Attempt:
        if attempt.is_settled and not attempt.is_answered:
            return attempt
        return (await self.ledger.do(Deliver(attempt.id, self._clock.now()))).attempt

    async def _call_again(
        self, attempt: Attempt, policy: CallPolicy, waiter: Origin | None
    ) -> Call:
        same_scope = waiter is not None and waiter.scope == attempt.scope
        run = waiter.run if waiter is not None and same_scope else attempt.run
        bodies = await self.ledger.bodies([attempt.id])
        request = bodies[attempt.id].request if attempt.id in bodies else None
        draft = Draft(
            scope=attempt.scope,
            name=attempt.name,
            digest=attempt.digest,
            endpoint=attempt.endpoint,
            credentials=attempt.credentials,
            request=request or b"{}",
            ordinal=attempt.ordinal,
            run=run,
            flow_run_id=attempt.flow_run_id,
            task_run_id=attempt.task_run_id,
            model=attempt.model,
        )
        origin = Origin(attempt.scope, execution="", run=run)
        return Call(draft, orjson.loads(draft.request), origin, _as_limited(policy, attempt))

    @asynccontextmanager
    async def _claimed(self, call: Call, claim_id: str) -> AsyncIterator[Attempt]:
        """Hold a claim on the call's ordinal; give it up if the body leaves without an outcome."""
        origin = call.origin
        take = Take(call.draft, origin.execution, origin.chain, claim_id, self._clock.now())
        try:
            taken = (await self.ledger.do(take)).attempt
            yield await self._changes.apply(taken, call)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._drop(claim_id)))
            raise

    async def _drop(self, claim_id: str) -> None:
        # The caller must hear what went wrong before this; perhaps nothing was ever claimed.
        with suppress(ResponsesError):
            await self.ledger.do(DropClaim(claim_id, self._clock.now()))


def _as_limited(policy: CallPolicy, attempt: Attempt) -> CallPolicy:
    """Give an attempt that may follow *attempt* as long as that one had, if no more is said."""
    said = policy.timeout.seconds is not None or policy.timeout.at is not None
    if said or attempt.deadline_at is None:
        return policy
    seconds = attempt.deadline_at - attempt.planned_at
    return replace(policy, timeout=replace(policy.timeout, seconds=seconds))
