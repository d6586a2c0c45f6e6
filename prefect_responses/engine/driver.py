"""The only loop: ask `next_action` what to do with an attempt, do it, look again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

import orjson

from prefect_responses.decisions.next_action import (
    AskOwner,
    GiveUp,
    PlanNext,
    Poll,
    Resubmit,
    Return,
    Situation,
    Submit,
    Wait,
    next_action,
)
from prefect_responses.engine.submission import is_under_way
from prefect_responses.errors import SubmissionInDoubt
from prefect_responses.ledger import MarkInDoubt
from prefect_responses.ledger import PlanNext as PlanNextVerb
from prefect_responses.ledger import Resubmit as ResubmitVerb
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.engine.calls import Call
    from prefect_responses.engine.observers import Observer
    from prefect_responses.engine.polling import Polling
    from prefect_responses.engine.submission import Submission
    from prefect_responses.ledger import Ledger


class Until(Enum):
    """Say how far to drive an attempt."""

    #: Its response ID is stored, or it ended without one.
    ACCEPTED = auto()
    #: An outcome is recorded.
    SETTLED = auto()


@dataclass(slots=True)
class _Drive:
    """What one drive remembers between two looks; nothing that a crash would need."""

    sends: int = 0


class Driver:
    """Drive calls through their attempts.

    Args:
        ledger: the record.
        submission: how attempts are sent.
        polling: how responses are read.
        clock: the time.
        observer: who is told of what happened.
    """

    def __init__(
        self,
        ledger: Ledger,
        submission: Submission,
        polling: Polling,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._ledger = ledger
        self._submission = submission
        self._polling = polling
        self._clock = clock
        self._observer = observer

    async def drive(self, attempt: Attempt, call: Call, until: Until) -> Attempt:
        """Take *attempt*, or its successors, to where *until* says.

        Returns:
            The attempt that stands for the call then; it may be a later one of the same call.

        Raises:
            SubmissionInDoubt: a POST may have been accepted, and the policy leaves it to a person.
            Parked: nothing can be submitted until a person acts.
            EndpointUnreachable: no connection could be made, several times.
        """
        drive = _Drive()
        while True:
            done = until is Until.ACCEPTED and attempt.state is AttemptState.SUBMITTED
            situation = await self._situation(attempt, call)
            action = next_action(attempt, situation, call.policy)
            if done or isinstance(action, Return):
                return attempt
            attempt = await self._perform(action, attempt, call, drive)

    async def _situation(self, attempt: Attempt, call: Call) -> Situation:
        return Situation(
            now=self._clock.now(),
            run=call.origin.run,
            attempts_in_run=await self._attempts_in_run(attempt, call),
            acts_outside=call.acts_outside,
        )

    async def _attempts_in_run(self, attempt: Attempt, call: Call) -> int:
        if not attempt.is_settled or call.policy.retry.max_attempts == 1:
            return 1
        history = await self._ledger.history(attempt.scope, attempt.name, attempt.ordinal)
        return sum(earlier.run == attempt.run for earlier in history)

    async def _perform(
        self,
        action: Submit | Wait | AskOwner | Resubmit | GiveUp | PlanNext | Poll,
        attempt: Attempt,
        call: Call,
        drive: _Drive,
    ) -> Attempt:
        match action:
            case Submit():
                return await self._send(attempt, call, drive)
            case Wait(at):
                await self._clock.sleep(at - self._clock.now())
                return await self.look_again(attempt)
            case AskOwner():
                return await self.ask_owner(attempt, call)
            case Resubmit(not_before):
                return await self._resubmit(attempt, call, not_before)
            case PlanNext():
                return await self._plan_next(attempt, call)
            case Poll():
                return await self._polling.wait(attempt, call.policy.poll, is_new=drive.sends > 0)
            case GiveUp():
                raise SubmissionInDoubt(attempt.id)
            case _:
                assert_never(action)

    async def _send(self, attempt: Attempt, call: Call, drive: _Drive) -> Attempt:
        drive.sends += 1
        request = await self._request(attempt, call)
        sent = await self._submission.send(attempt, request, call.policy, drive.sends)
        # A refused claim means that another attempt of this call may stand for it now.
        return await self.look_again(sent)

    async def _request(self, attempt: Attempt, call: Call) -> Mapping[str, Any]:
        if attempt.digest == call.draft.digest:
            return call.request
        # The caller adopts what its key was first used for, so that is what is sent.
        bodies = await self._ledger.bodies([attempt.id])
        request: dict[str, Any] = orjson.loads(bodies[attempt.id].request or b"{}")
        return request

    async def ask_owner(self, attempt: Attempt, call: Call) -> Attempt:
        """Wait a little for a living owner; mark the attempt of a dead one as in doubt."""
        await self._submission.record_what_was_not(attempt.id)
        if await self._is_being_sent(attempt):
            await self._clock.sleep(call.policy.owner_poll)
            return await self.look_again(attempt)
        owner = attempt.owner_id or ""
        error = {"error": "OwnerDied", "message": "Its process died while it was submitting."}
        verb = MarkInDoubt(attempt.id, owner, attempt.fence, error, self._clock.now())
        await self._ledger.do(verb)
        return await self.look_again(attempt)

    async def _is_being_sent(self, attempt: Attempt) -> bool:
        if is_under_way(attempt.id):
            return True
        # Ours and not under way: its sender left with an error, and would be waited for for ever.
        others = attempt.owner_id not in {None, self._ledger.owner_id}
        return others and await self._ledger.owner_is_alive(attempt.owner_id or "")

    async def look_again(self, attempt: Attempt) -> Attempt:
        """Read which attempt stands for the call of *attempt* now."""
        standing = await self._ledger.latest(attempt.scope, attempt.name, attempt.ordinal)
        return standing or attempt

    async def _resubmit(self, attempt: Attempt, call: Call, not_before: float) -> Attempt:
        draft = replace(
            call.draft,
            ordinal=attempt.ordinal,
            not_before=not_before,
            resubmissions=attempt.resubmissions + 1,
        )
        verdict = await self._ledger.do(ResubmitVerb(attempt.id, draft, self._clock.now()))
        self._observer.resubmitted(attempt, verdict.attempt)
        return verdict.attempt

    async def _plan_next(self, attempt: Attempt, call: Call) -> Attempt:
        draft = replace(call.draft, ordinal=attempt.ordinal)
        verdict = await self._ledger.do(PlanNextVerb(attempt.id, draft, self._clock.now()))
        return verdict.attempt


def new_claim_id() -> str:
    """Return an ID for a claim, unique over all processes."""
    return uuid.uuid4().hex
