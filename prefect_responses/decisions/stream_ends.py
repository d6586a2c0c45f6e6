"""What to do when a stream is over: a stream that ends is no outcome, unless it says so itself."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_responses.decisions.policies import FollowPolicy
    from prefect_responses.wire.answers import Answer

#: Statuses that say nothing of the stream itself: it may be there a moment later.
_PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Connect again after *wait* seconds.

    Args:
        wait: seconds.
        ask: read the response first, for it may have ended.
    """

    wait: float = 0.0
    ask: bool = True


@dataclass(frozen=True, slots=True)
class PollForGood:
    """Its events cannot be followed (any more): poll it from now on, after a restart too."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How one connection went.

    Args:
        answer: what came instead of a stream, or None.
        is_broken: whether it broke off, instead of being ended by the server.
        is_new: whether it brought an event that had not been seen.
        fruitless: connections in a row, this one included, that brought nothing new.
    """

    answer: Answer | None = None
    is_broken: bool = False
    is_new: bool = False
    fruitless: int = 0


def after_connection(went: Connection, policy: FollowPolicy) -> Reconnect | PollForGood:
    """Decide how to go on after a connection without a terminal event.

    A stream that is refused (the replay window closed, it was not created as a stream, the server
    answers JSON) never comes back. One that broke, ended early, or could not be reached may.
    """
    if went.answer is not None and not _may_pass(went.answer):
        return PollForGood()
    if went.is_new:
        return Reconnect(policy.backoff.wait(1), ask=not went.is_broken)
    if went.fruitless >= policy.tries:
        return PollForGood()
    asked = went.answer.retry_after if went.answer is not None else None
    return Reconnect(max(asked or 0.0, policy.backoff.wait(went.fruitless)))


def _may_pass(answer: Answer) -> bool:
    status = answer.status
    return status is None or status in _PASSING or status >= _SERVER_ERROR
