"""Read a response until it has ended, and record the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from prefect_responses.decisions.answers import read_retrieve_answer
from prefect_responses.decisions.verdicts import (
    Gone,
    RetrieveParked,
    RetrieveVerdict,
    Seen,
    TryLater,
)
from prefect_responses.engine.crash_points import CrashPoint, reach
from prefect_responses.engine.settlement import settle_as_read
from prefect_responses.errors import AttemptUnknown, IllegalMove
from prefect_responses.ledger import Observe, Settle, Verdict
from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import ResponsesApi
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.policies import PollPolicy
    from prefect_responses.engine.observers import Observer
    from prefect_responses.errors import ApiError
    from prefect_responses.ledger import Ledger


class Polling:
    """Poll responses of one API.

    Args:
        ledger: where ends are recorded.
        api: where responses are read.
        clock: the time.
        observer: who is told.
    """

    def __init__(self, ledger: Ledger, api: ResponsesApi, clock: Clock, observer: Observer) -> None:
        self._ledger = ledger
        self._api = api
        self._clock = clock
        self._observer = observer

    async def wait(self, attempt: Attempt, policy: PollPolicy, *, is_new: bool) -> Attempt:
        """Poll until the response has ended, and settle it.

        A poll that changed nothing is not written. After a crash the next process polls again:
        nothing is lost.

        Args:
            attempt: a submitted attempt.
            policy: how the polls are spaced.
            is_new: it was accepted just now, so the first poll can wait; one that an earlier
                process submitted is asked at once.

        Raises:
            Parked: the credentials are refused; the response is left as it is.
            ApiError: too many answers in a row could not be read.
        """
        if is_new:
            await self._pause(attempt, policy)
        bad, polls = 0, attempt.polls
        while attempt.state is AttemptState.SUBMITTED:
            answer = read_retrieve_answer(await self._api.retrieve(_response_id(attempt)))
            polls += 1
            bad = bad + 1 if isinstance(answer, TryLater) else 0
            attempt = await self._take_in(answer, attempt, policy, polls=polls, bad=bad)
        return attempt

    async def _take_in(
        self, answer: RetrieveVerdict, attempt: Attempt, policy: PollPolicy, *, polls: int, bad: int
    ) -> Attempt:
        match answer:
            case Seen(response) if response.status.is_terminal:
                return await self._settle(attempt, answer, polls)
            case Seen():
                return await self._still_at_work(attempt, answer, policy, polls)
            case Gone(error) if not self._is_fresh(attempt, policy):
                return await self._expire(attempt, error, polls)
            case Gone():
                await self._clock.sleep(policy.least)
            case TryLater(error) if bad >= policy.bad_answers:
                raise error
            case TryLater(_, wait):
                await self._clock.sleep(max(wait or 0.0, policy.backoff.wait(bad)))
            case RetrieveParked(error):
                raise error
            case _:
                assert_never(answer)
        return attempt

    async def _still_at_work(
        self, attempt: Attempt, seen: Seen, policy: PollPolicy, polls: int
    ) -> Attempt:
        reach(CrashPoint.WHILE_POLLING)
        if seen.response.status is not attempt.remote_status:
            verb = Observe(attempt.id, seen.response.status, polls, self._clock.now())
            attempt = (await self._ledger.do(verb)).attempt
        await self._pause(attempt, policy)
        return attempt

    async def _pause(self, attempt: Attempt, policy: PollPolicy) -> None:
        now = self._clock.now()
        await self._clock.sleep(policy.next_wait(now - (attempt.submitted_at or now)))

    def _is_fresh(self, attempt: Attempt, policy: PollPolicy) -> bool:
        return self._clock.now() - (attempt.submitted_at or 0.0) < policy.missing_grace

    async def _settle(self, attempt: Attempt, seen: Seen, polls: int) -> Attempt:
        reach(CrashPoint.BEFORE_SETTLING)
        now = self._clock.now()
        verb = settle_as_read(attempt, seen.response, seen.body, polls=polls, at=now)
        verdict = await self._record_end(verb)
        reach(CrashPoint.AFTER_SETTLING)
        if verdict.moved:
            self._observer.settled(verdict.attempt)
        return verdict.attempt

    async def _record_end(self, verb: Settle) -> Verdict:
        try:
            return await self._ledger.do(verb)
        except IllegalMove:
            # Another process saw another end before; that one stays.
            ended = await self._ledger.attempt(verb.attempt_id)
            if not ended.is_settled:
                raise
            return Verdict(ended, moved=False)

    async def _expire(self, attempt: Attempt, error: ApiError, polls: int) -> Attempt:
        record, now = error.as_record(), self._clock.now()
        verb = Settle(attempt.id, Outcome.EXPIRED, now, error=record, polls=polls)
        verdict = await self._record_end(verb)
        if verdict.moved:
            self._observer.settled(verdict.attempt)
        return verdict.attempt


def _response_id(attempt: Attempt) -> str:
    if attempt.response_id is None:
        raise AttemptUnknown(f"Attempt {attempt.id} has no response ID to read.")
    return attempt.response_id
