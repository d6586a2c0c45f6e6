"""What to do when a key was used for another request before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import orjson

from prefect_responses.decisions.next_action import is_later_run
from prefect_responses.decisions.policies import InDoubtMode, OnChange
from prefect_responses.errors import RequestChanged, RequestInvalid, SubmissionInDoubt
from prefect_responses.identity import changed_paths, is_of_job, what_is_asked
from prefect_responses.job_errors import JobTakenOver
from prefect_responses.ledger import PlanNext, SetDeadline, Settle
from prefect_responses.statuses import AttemptState, CancelReason, Outcome

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.clock import Clock
    from prefect_responses.engine.calls import Call
    from prefect_responses.engine.cancelling import Cancelling
    from prefect_responses.engine.driver import Driver
    from prefect_responses.ledger import Ledger


_ACCEPTED = frozenset({AttemptState.SUBMITTED})
_BEGUN = _ACCEPTED | {AttemptState.SUBMITTING, AttemptState.IN_DOUBT}


class Changes:
    """Compare a call with the attempt that its key finds, and act on a difference.

    Args:
        ledger: the record.
        cancelling: cancels a superseded response.
        clock: the time.
        driver: waits for an attempt that somebody is submitting.
    """

    def __init__(
        self, ledger: Ledger, cancelling: Cancelling, clock: Clock, driver: Driver
    ) -> None:
        self._ledger = ledger
        self._cancelling = cancelling
        self._clock = clock
        self._driver = driver

    async def apply(self, attempt: Attempt, call: Call) -> Attempt:
        """Return the attempt that stands for *call*.

        Raises:
            RequestChanged: the request differs and `call.on_change` is ERROR.
            RequestInvalid: its response is at another endpoint than the call's.
            JobTakenOver: a later run of the job changed it; what that run pays for stays.
        """
        if call.on_change is OnChange.ADOPT:
            _check_place(attempt, call, _BEGUN)
        if attempt.digest == call.draft.digest:
            return attempt
        match call.on_change:
            case OnChange.ADOPT:
                return await self._adopt(attempt, call)
            case OnChange.ERROR:
                raise RequestChanged(attempt.name, await self._paths(attempt, call))
            case OnChange.RESUBMIT:
                return await self._supersede(attempt, call)
            case _:
                assert_never(call.on_change)

    async def _adopt(self, attempt: Attempt, call: Call) -> Attempt:
        """Take the earlier request's response, under the deadline of this call."""
        if call.draft.deadline_at is None or attempt.is_settled:
            return attempt
        verb = SetDeadline(attempt.id, call.draft.deadline_at, self._clock.now())
        return (await self._ledger.do(verb)).attempt

    async def _paths(self, attempt: Attempt, call: Call) -> tuple[str, ...]:
        before = await self.stored_request(attempt)
        paths = changed_paths(what_is_asked(before), what_is_asked(call.request))
        return paths or ("the endpoint, the account or the prompt version",)

    async def stored_request(self, attempt: Attempt) -> dict[str, Any]:
        """Return the request that *attempt* was planned with."""
        bodies = await self._ledger.bodies([attempt.id])
        stored = bodies[attempt.id].request if attempt.id in bodies else None
        request: dict[str, Any] = orjson.loads(stored or b"{}")
        return request

    async def _supersede(self, attempt: Attempt, call: Call) -> Attempt:
        """End *attempt* as far as it can be ended, and plan the changed request after it."""
        while attempt.state is AttemptState.SUBMITTING:
            attempt = await self._driver.ask_owner(attempt, call)
        if attempt.digest == call.draft.digest:
            return attempt
        if is_of_job(attempt.scope) and is_later_run(attempt.run, call.draft.run):
            raise JobTakenOver("A later run of this job changed what is asked of its rows.")
        _check_place(attempt, call, _ACCEPTED)
        match attempt.state:
            case AttemptState.PLANNED:
                attempt = await self._abandon(attempt)
            case AttemptState.IN_DOUBT:
                if call.policy.in_doubt.mode is InDoubtMode.FAIL:
                    raise SubmissionInDoubt(attempt.id)
                attempt = await self._abandon(attempt)
            case AttemptState.SUBMITTED:
                attempt = await self._cancelling.want(attempt, CancelReason.SUPERSEDED)
                attempt = await self._cancelling.deliver(attempt, call.policy.poll)
            case AttemptState.SETTLED | AttemptState.SUBMITTING:
                pass
            case _:
                assert_never(attempt.state)
        verb = PlanNext(attempt.id, call.draft, self._clock.now(), superseding=True)
        return (await self._ledger.do(verb)).attempt

    async def _abandon(self, attempt: Attempt) -> Attempt:
        error = {"error": "Superseded", "message": "Its request changed."}
        verb = Settle(attempt.id, Outcome.ABANDONED, self._clock.now(), error=error)
        return (await self._ledger.do(verb)).attempt


def _check_place(attempt: Attempt, call: Call, states: frozenset[AttemptState]) -> None:
    """Refuse to ask an endpoint for a response that another one has: it would say it is gone."""
    if attempt.state in states and attempt.endpoint != call.draft.endpoint:
        raise RequestInvalid(
            f"{attempt.name} is in flight at another endpoint, {attempt.endpoint.base_url}. Run "
            "with that one until it has ended, or harvest it; then change the endpoint."
        )
