"""Deadlines that a block of code sets for the responses submitted in it."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Protocol

from prefect_responses.decisions.next_action import is_overdue
from prefect_responses.decisions.policies import Backoff, TimeoutPolicy
from prefect_responses.decisions.timeouts import TimeoutOutcome, timeout_outcome
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.errors import RequestInvalid, ResponsesError
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.durable_responses import DurableResponses

#: Seconds after the deadline in which whoever awaits a response may cancel it first.
_HEAD_START = 1.0
#: How a cancel that could not be written down or delivered is tried again.
_TRIES = Backoff(first=1.0, most=30.0)

#: The attempts whose end is being seen to; used in the runtime's loop only.
_ending: set[str] = set()


class HasTimeout(Protocol):
    """Something that says how long a response may take; `CancelOnTimeout` is it."""

    def policy(self) -> TimeoutPolicy:
        """Return what it says."""


@dataclass(eq=False)
class Limit:
    """The deadline of one block of code, and the responses that it holds for.

    It is given to each response that is submitted in the block, and kept with it in the ledger. The
    block itself is nowhere kept: in a new process its time begins anew for what was not submitted
    before, and what was keeps the deadline that it has.

    Args:
        at: the deadline, in seconds since the epoch.
        grace: see `TimeoutPolicy`.
    """

    at: float
    grace: float
    _held: dict[str, DurableResponses] = field(default_factory=dict)

    def hold(self, responses: DurableResponses, attempt: Attempt) -> None:
        """Let the deadline hold for *attempt*; call it in the runtime's loop.

        An earlier deadline of its own is held, too. If this process dies, the harvester does it.

        Args:
            responses: the engine that reaches it.
            attempt: what was submitted or adopted.
        """
        self._held[attempt.id] = responses
        due_at = min(self.at, attempt.deadline_at or math.inf)
        if attempt.state is not AttemptState.SUBMITTED or due_at == math.inf:
            return
        runtime = current_runtime()
        asyncio.get_running_loop().call_later(
            max(0.0, due_at - runtime.now()) + _HEAD_START,
            lambda: runtime.tend(_end_overdue(attempt.id, responses)),
        )

    def outcomes(self) -> dict[str, TimeoutOutcome | None]:
        """Return what the deadline came to, by response ID; None where it has done nothing."""
        return current_runtime().run(self._outcomes())

    async def aoutcomes(self) -> dict[str, TimeoutOutcome | None]:
        """Return what the deadline came to, by response ID; see `outcomes`."""
        return await current_runtime().arun(self._outcomes())

    async def _outcomes(self) -> dict[str, TimeoutOutcome | None]:
        held = [await each.ledger.attempt(id_) for id_, each in self._held.items()]
        return {attempt.response_id or attempt.id: timeout_outcome(attempt) for attempt in held}


async def _end_overdue(attempt_id: str, responses: DurableResponses) -> None:
    """Cancel what nobody awaits, again and again until it has ended or the runtime is closed."""
    if attempt_id in _ending:  # several limits may hold one response
        return
    _ending.add(attempt_id)
    try:
        for tries in count(1):
            with suppress(ResponsesError):
                if not await _is_still_overdue(attempt_id, responses):
                    return
            await asyncio.sleep(_TRIES.wait(tries))
    finally:
        _ending.discard(attempt_id)


async def _is_still_overdue(attempt_id: str, responses: DurableResponses) -> bool:
    """Do what the deadline asks for next, and tell whether there is more to do."""
    attempt = await responses.ledger.attempt(attempt_id)
    if attempt.owes_cancel:
        attempt = await responses.deliver_cancel(attempt)
    else:
        attempt = await responses.enforce_deadline(attempt_id)
    is_running = attempt.state is AttemptState.SUBMITTED
    if is_running and is_overdue(attempt, current_runtime().now()) and not attempt.owes_cancel:
        look = await responses.look(attempt)
        return look.attempt.state is AttemptState.SUBMITTED and not look.missing
    return attempt.owes_cancel


_open: ContextVar[tuple[Limit, ...]] = ContextVar("prefect_responses_limits", default=())


def open_limits() -> tuple[Limit, ...]:
    """Return the limits around the caller, outermost first."""
    return _open.get()


def enter_limit(policy: TimeoutPolicy) -> Limit:
    """Open a limit around what the caller does next."""
    now = current_runtime().now()
    limit = Limit(policy.deadline(now) or math.inf, policy.grace)
    _open.set((*_open.get(), limit))
    return limit


def leave_limit() -> None:
    """Close the innermost limit; it goes on holding for what was submitted in it."""
    _open.set(_open.get()[:-1])


def timeout_of(choice: HasTimeout | float | None) -> TimeoutPolicy:
    """Return how long a response may take, by the caller's choice and the limits around it.

    Args:
        choice: seconds, a `CancelOnTimeout`, or None for the limits alone.

    Raises:
        RequestInvalid: the seconds are no positive number.
    """
    limits = open_limits()
    own = _own_timeout(choice)
    at = min((limit.at for limit in limits), default=None)
    grace = limits[-1].grace if limits and choice is None else own.grace
    return TimeoutPolicy(own.seconds, at, grace)


def _own_timeout(choice: HasTimeout | float | None) -> TimeoutPolicy:
    if choice is None:
        return TimeoutPolicy()
    if not isinstance(choice, int | float):
        return choice.policy()
    if not 0 < choice < math.inf:
        raise RequestInvalid(f"cancel_on_timeout= is {choice}; it takes seconds, more than 0.")
    return TimeoutPolicy(float(choice))
