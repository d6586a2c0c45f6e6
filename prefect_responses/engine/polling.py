"""Read a response until it has ended, and record the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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
from prefect_responses.engine.fresh_bodies import FreshBodies
from prefect_responses.engine.poll_learning import PollLearning
from prefect_responses.engine.settlement import settle_as_gone, settle_as_read
from prefect_responses.errors import AttemptUnknown, IllegalMove
from prefect_responses.ledger import Observe, Settle, Verdict
from prefect_responses.statuses import (
    ANSWERED,
    OUTCOME_OF_STATUS,
    AttemptState,
    Outcome,
    ResponseStatus,
)

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import ResponsesApi
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.policies import PollPolicy
    from prefect_responses.engine.observers import Observer
    from prefect_responses.errors import ApiError
    from prefect_responses.ledger import Ledger

#: A sleep this many times as long as was asked for, and more, was that of a machine.
_OVERSLEPT = 2.0
#: Polls a second at most, of one endpoint and model, as long as it is not known when they pay.
UNLEARNED_POLLS = 4000.0
#: Seconds between two looks at what other processes wrote of an attempt.
REREAD_AFTER = 60.0
#: Seconds that a read has at least, however near the end of the wait is.
_LEAST_LIMIT = 0.05
#: Seconds by which any sleep may be too long.
_SLEEP_SLACK = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """Say what one read of a response came to.

    Args:
        attempt: the record after it; settled if the response has ended.
        error: why nothing was learned of the response, or None.
        missing: the API answers that it has no such response, and it was not accepted just now.
    """

    attempt: Attempt
    error: ApiError | None = None
    missing: bool = False


@dataclass(slots=True)
class _Wait:
    """What one wait remembers from poll to poll; nothing that a crash would need.

    Args:
        policy: how the polls are spaced.
        until: when the wait ends at the latest, or None.
        is_ours: this process submitted the response, so it knows when it was accepted.
        polls: how often the response was polled, by earlier processes too.
        bad: answers in a row that could not be read.
        unfinished_at: when it was last seen at work, if it was watched without a gap since.
        reread_at: when the ledger was last asked what others did.
    """

    policy: PollPolicy
    until: float | None
    is_ours: bool
    polls: int
    bad: int = 0
    unfinished_at: float | None = None
    reread_at: float = 0.0


class Polling:
    """Poll responses of one API.

    Args:
        ledger: where ends are recorded, and from where it is learned when to poll.
        api: where responses are read.
        clock: the time.
        observer: who is told.
    """

    def __init__(self, ledger: Ledger, api: ResponsesApi, clock: Clock, observer: Observer) -> None:
        self._ledger = ledger
        self._api = api
        self._clock = clock
        self._observer = observer
        self._learning = PollLearning(ledger, clock)
        self.fresh_bodies = FreshBodies()

    # --- wait for the end -------------------------------------------------------------------------

    async def wait(
        self, attempt: Attempt, policy: PollPolicy, *, is_new: bool, until: float | None = None
    ) -> Attempt:
        """Poll until the response has ended, and settle it.

        A poll that changed nothing is not written. After a crash the next process polls again:
        nothing is lost. A server that asks to wait is waited for, however long.

        Args:
            attempt: a submitted attempt.
            policy: how the polls are spaced.
            is_new: it was accepted just now, so the first poll can wait; one that an earlier
                process submitted is asked at once.
            until: when to return at the latest, in seconds since the epoch: no sleep goes past it.

        Returns:
            The attempt, unsettled if *until* has come.

        Raises:
            Parked: the credentials are refused; the response is left as it is.
            ApiError: too many answers in a row could not be read.
        """
        waiting = _Wait(policy, until, is_ours=is_new, polls=attempt.polls)
        waiting.reread_at = self._clock.now()
        self._learning.begin(attempt)
        try:
            return await self._wait(attempt, waiting)
        finally:
            self._learning.leave(attempt)

    async def _wait(self, attempt: Attempt, waiting: _Wait) -> Attempt:
        if waiting.is_ours:
            waiting.unfinished_at = self._fresh_since(attempt)
            await self._sleep(await self._next_wait(attempt, waiting.policy), waiting)
        try:
            # A read that hangs holds nobody past the end of the wait.
            async with asyncio.timeout(self._left(waiting.until)) as limit:
                return await self._poll(attempt, waiting)
        except TimeoutError:
            if not limit.expired():
                raise
            return await self._ledger.attempt(attempt.id)

    async def _poll(self, attempt: Attempt, waiting: _Wait) -> Attempt:
        while attempt.state is AttemptState.SUBMITTED and not self._is_over(waiting.until):
            answer = await self._read(attempt)
            waiting.polls += 1
            attempt, pause = await self._take_in(answer, attempt, waiting)
            if attempt.state is AttemptState.SUBMITTED:
                attempt, is_news = await self._reread(attempt, waiting)
                if is_news:
                    break
            await self._sleep(pause, waiting)
        return attempt

    def _left(self, until: float | None) -> float | None:
        return None if until is None else max(_LEAST_LIMIT, until - self._clock.now())

    async def _reread(self, attempt: Attempt, waiting: _Wait) -> tuple[Attempt, bool]:
        """Look in the ledger, now and then, whether another process has set a deadline or more."""
        now = self._clock.now()
        if now - waiting.reread_at < REREAD_AFTER:
            return attempt, False
        waiting.reread_at = now
        stored = await self._ledger.attempt(attempt.id)
        is_news = (stored.deadline_at, stored.cancel_wanted_at, stored.state) != (
            attempt.deadline_at,
            attempt.cancel_wanted_at,
            attempt.state,
        )
        return stored, is_news

    def _fresh_since(self, attempt: Attempt) -> float | None:
        """Return when *attempt* was accepted, if it is so short ago that nothing was missed."""
        since = attempt.submitted_at
        is_fresh = since is not None and self._clock.now() - since < _SLEEP_SLACK
        return since if is_fresh else None

    async def _take_in(
        self, answer: RetrieveVerdict, attempt: Attempt, waiting: _Wait
    ) -> tuple[Attempt, float]:
        """Record what was read; return the seconds until the next poll as well."""
        policy = waiting.policy
        if isinstance(answer, Seen):
            waiting.bad = 0
            return await self._take_in_seen(answer, attempt, waiting)
        waiting.unfinished_at = None
        match answer:
            case Gone() if self.is_fresh(attempt, policy):
                waiting.bad = 0
                return attempt, policy.least
            case Gone(error):
                return await self.expire(attempt, error, polls=waiting.polls), 0.0
            case TryLater():
                waiting.bad += 1
                return attempt, _patience(answer, policy, waiting.bad)
            case RetrieveParked(error):
                raise error
            case _:
                assert_never(answer)

    async def _take_in_seen(
        self, seen: Seen, attempt: Attempt, waiting: _Wait
    ) -> tuple[Attempt, float]:
        if seen.response.status.is_terminal:
            settled = await self.settle(
                attempt, seen, polls=waiting.polls, unfinished_at=waiting.unfinished_at
            )
            return settled, 0.0
        reach(CrashPoint.WHILE_POLLING)
        if waiting.is_ours:
            waiting.unfinished_at = self._clock.now()
        if waiting.policy.notes:
            attempt = await self._note(attempt, seen.response.status, waiting.polls)
        return attempt, await self._next_wait(attempt, waiting.policy)

    async def _next_wait(self, attempt: Attempt, policy: PollPolicy) -> float:
        learned = await self._learning.schedule(attempt) if policy.learns else None
        now = self._clock.now()
        wait = policy.next_wait(now - (attempt.submitted_at or now), learned)
        if learned is None:
            # As long as nothing is known, thousands in flight are not asked twice a second each.
            wait = max(wait, self._learning.running(attempt) / UNLEARNED_POLLS)
        left = (attempt.expires_at or 0.0) - now
        # An end must be seen before its retention ends, which may be ten minutes.
        return min(wait, max(policy.least, left / 2.0)) if left > 0.0 else wait

    async def _sleep(self, seconds: float, waiting: _Wait) -> None:
        began = self._clock.now()
        if waiting.until is not None:
            seconds = min(seconds, waiting.until - began)
        if seconds <= 0.0:
            return
        await self._clock.sleep(seconds)
        if self._clock.now() - began > _OVERSLEPT * seconds + _SLEEP_SLACK:
            waiting.unfinished_at = None  # the machine slept, too

    def _is_over(self, until: float | None) -> bool:
        return until is not None and self._clock.now() >= until

    # --- look once, and watch what is cancelled ---------------------------------------------------

    async def look(self, attempt: Attempt, policy: PollPolicy) -> Look:
        """Read the response once, and settle it if it has ended; never raises for the network.

        A response that is not there is not settled: see `expire`.

        Args:
            attempt: an attempt with a response ID.
            policy: for how long after acceptance a 404 is read-after-write lag.
        """
        match await self._read(attempt):
            case Seen(response) as seen if response.status.is_terminal:
                return Look(await self.settle(attempt, seen, polls=attempt.polls + 1))
            case Seen(response):
                return Look(await self._note(attempt, response.status, attempt.polls + 1))
            case Gone(error):
                return Look(attempt, error, missing=not self.is_fresh(attempt, policy))
            case TryLater(error) | RetrieveParked(error):
                return Look(attempt, error)
            case never:
                assert_never(never)

    async def watch(self, attempt: Attempt, policy: PollPolicy, until: float) -> Attempt:
        """Read a cancelled response again until *until*: it may yet turn out completed.

        It is read at least once, the last time at *until*; one that completed is settled late.

        Args:
            attempt: one that is settled as cancelled; any other is returned as it is.
            policy: how the reads are spaced, from now on.
            until: seconds since the epoch.

        Raises:
            Parked: the credentials are refused.
            ApiError: too many answers in a row could not be read.
        """
        began, bad = self._clock.now(), 0
        while attempt.outcome is Outcome.CANCELLED:
            is_last = self._is_over(until)
            answer = await self._read(attempt)
            bad = bad + 1 if isinstance(answer, TryLater) else 0
            match answer:
                case Seen(response) as seen if _is_late_answer(response.status):
                    return await self.settle(attempt, seen, polls=attempt.polls + 1)
                case Seen():
                    wait = policy.next_wait(self._clock.now() - began)
                case Gone():
                    return attempt
                case TryLater():
                    wait = _patience(answer, policy, bad)
                case RetrieveParked(error):
                    raise error
                case _:
                    assert_never(answer)
            if is_last:
                break
            await self._clock.sleep(max(0.0, min(wait, until - self._clock.now())))
        return attempt

    # --- record an end ----------------------------------------------------------------------------

    async def settle(
        self,
        attempt: Attempt,
        seen: Seen,
        *,
        polls: int | None = None,
        unfinished_at: float | None = None,
    ) -> Attempt:
        """Record how a response ended, however that was learned, and tell the observer.

        Args:
            attempt: whose response it is.
            seen: a response that is terminal.
            polls: how often it was polled so far, if that has changed.
            unfinished_at: see `settle_as_read`.

        Returns:
            The settled attempt; as another process saw it end, if that one was first.
        """
        reach(CrashPoint.BEFORE_SETTLING)
        verb = settle_as_read(
            attempt,
            seen.response,
            seen.body,
            polls=attempt.polls if polls is None else polls,
            at=self._clock.now(),
            unfinished_at=unfinished_at,
        )
        return await self._record_end(verb)

    async def expire(self, attempt: Attempt, error: ApiError, *, polls: int = 0) -> Attempt:
        """Record that the API no longer knows the response, and whether its retention had ended.

        Args:
            attempt: a submitted attempt.
            error: the API's own answer.
            polls: how often it was polled so far.
        """
        verb = settle_as_gone(attempt, error, polls=polls, at=self._clock.now())
        return await self._record_end(verb)

    async def _record_end(self, verb: Settle) -> Attempt:
        try:
            verdict = await self._ledger.do(verb)
        except IllegalMove:
            # Another process saw another end before; that one stays.
            ended = await self._ledger.attempt(verb.attempt_id)
            if not ended.is_settled:
                raise
            verdict = Verdict(ended, moved=False)
        reach(CrashPoint.AFTER_SETTLING)
        if verdict.moved:
            self.fresh_bodies.keep(verdict.attempt, verb.response)
            self._learning.observe(verdict.attempt)
            self._observer.settled(verdict.attempt)
        return verdict.attempt

    # --- what they share --------------------------------------------------------------------------

    async def _read(self, attempt: Attempt) -> RetrieveVerdict:
        if attempt.response_id is None:
            raise AttemptUnknown(f"Attempt {attempt.id} has no response ID to read.")
        return read_retrieve_answer(await self._api.retrieve(attempt.response_id))

    async def _note(self, attempt: Attempt, status: ResponseStatus, polls: int) -> Attempt:
        if attempt.is_settled or status is attempt.remote_status:
            return attempt
        verb = Observe(attempt.id, status, polls, self._clock.now())
        return (await self._ledger.do(verb)).attempt

    def is_fresh(self, attempt: Attempt, policy: PollPolicy) -> bool:
        """Tell whether *attempt* was accepted so shortly ago that a 404 is lag."""
        return self._clock.now() - (attempt.submitted_at or 0.0) < policy.missing_grace


def _is_late_answer(status: ResponseStatus) -> bool:
    return OUTCOME_OF_STATUS.get(status) in ANSWERED


def _patience(answer: TryLater, policy: PollPolicy, bad: int) -> float:
    """Return for how long to leave the server alone after *bad* bad answers in a row.

    Raises:
        ApiError: they are too many.
    """
    if bad >= policy.bad_answers:
        raise answer.error
    return max(answer.wait or 0.0, policy.backoff.wait(bad))
