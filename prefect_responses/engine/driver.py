"""The only loop: ask `next_action` what to do with an attempt, do it, look again."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

import orjson

from prefect_responses.decisions.next_action import (
    Abandon,
    Action,
    AskOwner,
    Cancel,
    Follow,
    GiveUp,
    LeaveRunning,
    PlanNext,
    Poll,
    Resubmit,
    Return,
    Search,
    Situation,
    Submit,
    Wait,
    Watch,
    is_unwanted,
    next_action,
)
from prefect_responses.decisions.searching import CannotList, NotThere
from prefect_responses.decisions.timeouts import (
    DEADLINE_PASSED,
    TimeoutOutcome,
    timeout_outcome,
)
from prefect_responses.engine.outcomes import timed_out
from prefect_responses.engine.searching import Found
from prefect_responses.engine.submission import is_under_way
from prefect_responses.errors import IllegalMove, SubmissionInDoubt
from prefect_responses.ledger import Deliver, MarkInDoubt, Settle
from prefect_responses.ledger import PlanNext as PlanNextVerb
from prefect_responses.ledger import Resubmit as ResubmitVerb
from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.engine.admission import Admission
    from prefect_responses.engine.awaiting import Awaiting
    from prefect_responses.engine.calls import Call
    from prefect_responses.engine.observers import Observer
    from prefect_responses.engine.searching import Searching
    from prefect_responses.engine.submission import Submission
    from prefect_responses.ledger import Ledger


#: Leases of looking after which a POST has left or will never leave, whatever any clock says.
LEASES_OF_A_POST = 3.0


#: A POST was begun, and its end is not recorded.
_UNCERTAIN = frozenset({AttemptState.SUBMITTING, AttemptState.IN_DOUBT})


class Until(Enum):
    """Say how far to drive an attempt."""

    #: Its response ID is stored, or it ended without one.
    ACCEPTED = auto()
    #: An outcome is recorded.
    SETTLED = auto()


@dataclass(slots=True)
class _Drive:
    """What one drive remembers between two looks; nothing that a crash would need."""

    since: float
    sends: int = 0


class Driver:
    """Drive calls through their attempts.

    Args:
        ledger: the record.
        submission: how attempts are sent.
        awaiting: how their ends are waited for, or brought about.
        searching: how one in doubt is looked for.
        admission: says when the next request may leave.
        clock: the time.
        observer: who is told of what happened.
    """

    def __init__(  # noqa: PLR0913 - the doors of the loop, all named
        self,
        ledger: Ledger,
        submission: Submission,
        awaiting: Awaiting,
        searching: Searching,
        *,
        admission: Admission,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._ledger = ledger
        self._submission = submission
        self._awaiting = awaiting
        self._searching = searching
        self._admission = admission
        self._clock = clock
        self._observer = observer
        #: When what others are sending was first looked at.
        self._first_seen: dict[tuple[str, int], float] = {}

    async def drive(self, attempt: Attempt, call: Call, until: Until) -> Attempt:
        """Take *attempt*, or its successors, to where *until* says.

        Returns:
            The attempt that stands for the call then; it may be a later one of the same call.

        Raises:
            SubmissionInDoubt: a POST may have been accepted, and the policy leaves it to a person.
            ResponseTimedOut: its deadline passed, and it could not be stopped.
            Parked: nothing can be submitted until a person acts.
            EndpointUnreachable: no connection could be made, several times.
        """
        drive = _Drive(self._clock.now())
        while True:
            done = until is Until.ACCEPTED and attempt.state is AttemptState.SUBMITTED
            situation = await self._situation(attempt, call, drive)
            action = next_action(attempt, situation, call.policy)
            if done or isinstance(action, Return):
                return await self._told(attempt) if until is Until.SETTLED else attempt
            attempt = await self._perform(action, attempt, call, drive)

    async def resolve(self, attempt: Attempt, call: Call) -> None:
        """Find out what became of a POST that nobody waits for; what would be sent is only planned.

        Raises:
            SubmissionInDoubt: the policy leaves it to a person.
        """
        drive = _Drive(self._clock.now())
        while attempt.state in _UNCERTAIN and not await self._is_being_sent(attempt):
            situation = await self._situation(attempt, call, drive)
            action = next_action(attempt, situation, call.policy)
            attempt = await self._perform(action, attempt, call, drive)

    async def _situation(self, attempt: Attempt, call: Call, drive: _Drive) -> Situation:
        return Situation(
            now=self._clock.now(),
            since=drive.since,
            run=call.origin.run,
            attempts_in_run=await self._attempts_in_run(attempt, call),
            acts_outside=call.acts_outside,
        )

    async def _attempts_in_run(self, attempt: Attempt, call: Call) -> int:
        if not attempt.is_settled or call.policy.retry.max_attempts == 1:
            return 1
        history = await self._ledger.history(attempt.scope, attempt.name, attempt.ordinal)
        return sum(earlier.run == attempt.run for earlier in history)

    async def _perform(  # noqa: C901, PLR0911 - one an action
        self, action: Action, attempt: Attempt, call: Call, drive: _Drive
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
            case Search():
                return await self._search(attempt, call)
            case PlanNext():
                return await self._plan_next(attempt, call)
            case Abandon():
                return await self._abandon(attempt)
            case Follow() | Poll() | Cancel() | Watch():
                is_new = drive.sends > 0
                return await self._awaiting.perform(action, attempt, call, is_new=is_new)
            case GiveUp():
                raise SubmissionInDoubt(attempt.id)
            case LeaveRunning():
                attempt = await self._told(attempt)
                raise timed_out(attempt, timeout_outcome(attempt) or TimeoutOutcome.UNKNOWN)
            case Return():
                return attempt
            case _:
                assert_never(action)

    async def _told(self, attempt: Attempt) -> Attempt:
        """Note that the caller hears what its deadline came to: a later run may submit anew then.

        After a crash before this commit the next run hears of it, and pays for nothing.
        """
        if timeout_outcome(attempt) in {None, TimeoutOutcome.COMPLETED}:
            return attempt
        return (await self._ledger.do(Deliver(attempt.id, self._clock.now(), timeout=True))).attempt

    async def _send(self, attempt: Attempt, call: Call, drive: _Drive) -> Attempt:
        drive.sends += 1
        request = await self._request(attempt, call)
        # Before the intent: between it and the POST nothing waits.
        async with self._admission.admit(call):
            sent = await self._submission.send(attempt, request, call, drive.sends)
        if _went_straight(attempt, sent):
            return sent
        # A refused claim means that another attempt of this call may stand for it now.
        return await self.look_again(sent)

    async def _request(self, attempt: Attempt, call: Call) -> Mapping[str, Any]:
        if attempt.digest == call.draft.digest and attempt.replay is None:
            return call.request
        # The caller adopts what its key was first used for, or its answer is asked for in another
        # way: what was planned is sent.
        request: dict[str, Any] = orjson.loads(await self._planned_request(attempt))
        return request

    async def _planned_request(self, attempt: Attempt) -> bytes:
        bodies = await self._ledger.bodies([attempt.id])
        return (bodies[attempt.id].request if attempt.id in bodies else None) or b"{}"

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
        return others and self._may_be_sent(attempt) and await self._owner_lives(attempt)

    def _may_be_sent(self, attempt: Attempt) -> bool:
        """Tell whether a POST may still be on its way: it takes half of a lease at most.

        It is counted from the first look: clocks of two machines say nothing of each other.
        """
        now = self._clock.now()
        since = now - self._first_seen.setdefault((attempt.id, attempt.fence), now)
        return since < LEASES_OF_A_POST * self._ledger.lease_seconds

    async def _owner_lives(self, attempt: Attempt) -> bool:
        return await self._ledger.owner_is_alive(attempt.owner_id or "")

    async def look_again(self, attempt: Attempt) -> Attempt:
        """Read which attempt stands for the call of *attempt* now."""
        standing = await self._ledger.latest(attempt.scope, attempt.name, attempt.ordinal)
        return standing or attempt

    async def _resubmit(self, attempt: Attempt, call: Call, not_before: float) -> Attempt:
        draft = replace(
            call.draft,
            ordinal=attempt.ordinal,
            not_before=not_before,
            deadline_at=attempt.deadline_at,
            resubmissions=attempt.resubmissions + 1,
        )
        if attempt.replay is not None:
            draft = replace(draft, request=await self._planned_request(attempt))
        verdict = await self._ledger.do(ResubmitVerb(attempt.id, draft, self._clock.now()))
        self._observer.resubmitted(attempt, verdict.attempt)
        return verdict.attempt

    async def _search(self, attempt: Attempt, call: Call) -> Attempt:
        """Look for an attempt in doubt on the server; one that is not there is sent again."""
        match await self._searching.search(attempt):
            case Found():
                return await self.look_again(attempt)
            case NotThere() if self._may_follow(attempt, call):
                return await self._resubmit(attempt, call, self._clock.now())
            case NotThere():
                raise SubmissionInDoubt(attempt.id)
            case CannotList(error):
                raise SubmissionInDoubt(attempt.id) from error
            case never:
                assert_never(never)

    def _may_follow(self, attempt: Attempt, call: Call) -> bool:
        is_left = attempt.resubmissions < call.policy.in_doubt.max_resubmissions
        return is_left and not is_unwanted(attempt, call.origin.run)

    async def _plan_next(self, attempt: Attempt, call: Call) -> Attempt:
        now = self._clock.now()
        deadline_at = call.policy.timeout.deadline(now)
        draft = replace(call.draft, ordinal=attempt.ordinal, deadline_at=deadline_at)
        return (await self._ledger.do(PlanNextVerb(attempt.id, draft, now))).attempt

    async def _abandon(self, attempt: Attempt) -> Attempt:
        """Give up an attempt that was never sent, unless somebody is sending it after all."""
        error = {"error": DEADLINE_PASSED, "message": "Its deadline passed before it was sent."}
        verb = Settle(attempt.id, Outcome.ABANDONED, self._clock.now(), error=error)
        with suppress(IllegalMove):
            await self._ledger.do(verb)
        return await self.look_again(attempt)


def _went_straight(planned: Attempt, sent: Attempt) -> bool:
    """Tell whether *sent* is *planned*, claimed once and accepted: then it speaks for its call.

    It was the speaker when it was claimed, and the commit of its ID would have made it surplus
    beside another one. Only a doubt, which leaves its error, lets others plan in between.
    """
    claimed_once = sent.id == planned.id and sent.fence == planned.fence + 1
    accepted = sent.state is AttemptState.SUBMITTED or sent.is_answered
    return claimed_once and accepted and sent.error == planned.error


def new_claim_id() -> str:
    """Return an ID for a claim, unique over all processes."""
    return uuid.uuid4().hex
