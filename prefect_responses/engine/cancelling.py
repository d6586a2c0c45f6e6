"""Cancel a response upstream: first written down, then sent, then read once more.

No cancel says how a response ended, and some end well after it (API reference, Cancel): what is
read afterwards counts, and a late completion is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from prefect_responses.decisions.answers import read_cancel_answer
from prefect_responses.decisions.verdicts import (
    CancelRefused,
    CancelTaken,
    CancelUnknown,
    CancelVerdict,
    Gone,
)
from prefect_responses.engine.crash_points import CrashPoint, reach
from prefect_responses.errors import AttemptUnknown, CredentialsRefused
from prefect_responses.ledger import RecordCancel, WantCancel
from prefect_responses.statuses import CancelAnswer, Outcome

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import ResponsesApi
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.policies import PollPolicy
    from prefect_responses.engine.polling import Polling
    from prefect_responses.ledger import Ledger
    from prefect_responses.statuses import CancelReason

#: Seconds after a cancel in which a harvest looks whether the response turned out completed:
#: it has been seen to take minutes (API reference, traps).
WATCH_FOR = 900.0


class Cancelling:
    """Cancel responses of one API.

    Args:
        ledger: where it is written down that a cancel is wanted, and what came of it.
        api: where cancels are sent.
        clock: the time.
        polling: reads the response after the cancel.
    """

    def __init__(self, ledger: Ledger, api: ResponsesApi, clock: Clock, polling: Polling) -> None:
        self._ledger = ledger
        self._api = api
        self._clock = clock
        self._polling = polling

    async def want(
        self, attempt: Attempt, reason: CancelReason, run: tuple[int, ...] | None = None
    ) -> Attempt:
        """Write down that *attempt* shall be cancelled; the first reason stays.

        After a crash the cancel is owed, and whoever finds it delivers it. One that was never sent
        is given up at once; one that has ended is left as it is.

        Args:
            attempt: which one.
            reason: why.
            run: the run that hears what a deadline came to; see `WantCancel`.
        """
        verb = WantCancel(attempt.id, reason, self._clock.now(), run)
        return (await self._ledger.do(verb)).attempt

    async def deliver(self, attempt: Attempt, policy: PollPolicy) -> Attempt:
        """Send the cancel that is owed, record the answer, and read the response once more.

        An answer that says nothing leaves the cancel owed. A surplus response is not read: its
        answer is not wanted.
        """
        if not attempt.owes_cancel:
            return attempt
        reach(CrashPoint.BEFORE_CANCEL)
        verdict = read_cancel_answer(await self._api.cancel(_response_id(attempt)))
        # A response that was made just now may not be there yet: its cancel stays owed.
        is_lag = isinstance(verdict, Gone) and self._polling.is_fresh(attempt, policy)
        answer = None if is_lag else _told(verdict)
        reach(CrashPoint.AFTER_CANCEL)
        if answer is not None:
            attempt = await self._record(attempt, answer)
        if attempt.outcome is Outcome.SURPLUS:
            return attempt
        return (await self._polling.look(attempt, policy)).attempt

    async def _record(self, attempt: Attempt, answer: CancelAnswer) -> Attempt:
        now = self._clock.now()
        watch_until = now + WATCH_FOR if answer is CancelAnswer.TAKEN else None
        return (await self._ledger.do(RecordCancel(attempt.id, answer, watch_until, now))).attempt


def _told(verdict: CancelVerdict) -> CancelAnswer | None:
    match verdict:
        case CancelTaken():
            return CancelAnswer.TAKEN
        case CancelRefused(CredentialsRefused()) | CancelUnknown():
            return None
        case CancelRefused():
            return CancelAnswer.REFUSED
        case Gone():
            return CancelAnswer.GONE
        case _:
            assert_never(verdict)


def _response_id(attempt: Attempt) -> str:
    if attempt.response_id is None:
        raise AttemptUnknown(f"Attempt {attempt.id} has no response ID to cancel.")
    return attempt.response_id
