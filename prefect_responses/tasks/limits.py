"""Deadlines that a block of code sets for the responses submitted in it."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from prefect_responses.decisions.policies import TimeoutPolicy
from prefect_responses.decisions.timeouts import TimeoutOutcome, timeout_outcome
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.errors import RequestInvalid, ResponsesError

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.durable_responses import DurableResponses

#: Seconds after the deadline in which whoever awaits a response may cancel it first.
_HEAD_START = 1.0


class HasTimeout(Protocol):
    """Something that says how long a response may take; `CancelOnTimeout` is it."""

    def policy(self) -> TimeoutPolicy:
        """Return what it says."""


@dataclass(eq=False)
class Limit:
    """The deadline of one block of code, and the responses that it holds for.

    Args:
        at: the deadline, in seconds since the epoch. Adopting a response that an earlier process
            submitted under the same block makes it the earlier process's deadline.
        grace: see `TimeoutPolicy`.
        entered_at: when the block was entered, in seconds since the epoch.
    """

    at: float
    grace: float
    entered_at: float
    _held: dict[str, DurableResponses] = field(default_factory=dict)

    def hold(self, responses: DurableResponses, attempt: Attempt, *, is_own: bool) -> None:
        """Let the deadline hold for *attempt*; call it in the runtime's loop.

        Args:
            responses: the engine that reaches it.
            attempt: what was submitted or adopted.
            is_own: the response has a timeout of its own, which says nothing of the block's.
        """
        self._held[attempt.id] = responses
        due = {attempt.id: responses}
        if not is_own and _was_in_flight(attempt, self.entered_at):
            self.at = min(self.at, attempt.deadline_at or self.at)
            due = self._held
        for attempt_id, engine in due.items():
            current_runtime().tend(self._enforce(attempt_id, engine))

    def outcomes(self) -> dict[str, TimeoutOutcome | None]:
        """Return what the deadline came to, by response ID; None where it has done nothing."""
        return current_runtime().run(self._outcomes())

    async def aoutcomes(self) -> dict[str, TimeoutOutcome | None]:
        """Return what the deadline came to, by response ID; see `outcomes`."""
        return await current_runtime().arun(self._outcomes())

    async def _outcomes(self) -> dict[str, TimeoutOutcome | None]:
        held = [await each.ledger.attempt(id_) for id_, each in self._held.items()]
        return {attempt.response_id or attempt.id: timeout_outcome(attempt) for attempt in held}

    async def _enforce(self, attempt_id: str, responses: DurableResponses) -> None:
        """Cancel at the deadline what nobody awaits; the harvester does it if this process dies."""
        await asyncio.sleep(max(0.0, self.at + _HEAD_START - current_runtime().now()))
        with suppress(ResponsesError):
            await responses.enforce_deadline(attempt_id)


def _was_in_flight(attempt: Attempt, entered_at: float) -> bool:
    """Tell whether *attempt* was submitted before *entered_at* and had not ended then."""
    return attempt.planned_at < entered_at and (attempt.settled_at or math.inf) >= entered_at


_open: ContextVar[tuple[Limit, ...]] = ContextVar("prefect_responses_limits", default=())


def open_limits() -> tuple[Limit, ...]:
    """Return the limits around the caller, outermost first."""
    return _open.get()


def enter_limit(policy: TimeoutPolicy) -> Limit:
    """Open a limit around what the caller does next."""
    now = current_runtime().now()
    limit = Limit(policy.deadline(now) or math.inf, policy.grace, now)
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
