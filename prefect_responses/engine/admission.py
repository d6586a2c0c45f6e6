"""Let requests leave only as fast as the server takes them from all workers together."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from prefect_responses.decisions.limit_headers import read_limit_headers, read_refusal
from prefect_responses.decisions.rate_limits import NO_LIMITS
from prefect_responses.engine.rate_lanes import Lane
from prefect_responses.engine.refused_rows import RefusedRows
from prefect_responses.ledger.rate_limits import limit_name
from prefect_responses.wire.answers import Answer, AnswerHead

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from prefect_responses.attempt import Endpoint
    from prefect_responses.clock import Clock
    from prefect_responses.decisions.rate_limits import Bucket, RateLimits
    from prefect_responses.engine.calls import Call
    from prefect_responses.ledger.rate_limits import SharedLimits

T = TypeVar("T")


class Admission(Protocol):
    """Say when the next request may leave."""

    def admit(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Wait until a request for *call* may be sent, and send it in the block.

        It is to be entered before the intent is written: between that and the POST nothing waits.
        """

    def seen(self, answer: Answer | AnswerHead, model: str | None, attempt_id: str = "") -> None:
        """Learn from what the create of an attempt was answered: its headers, and refusals.

        It neither waits nor raises: what is accepted is not recorded yet.
        """


class Unlimited:
    """Let every request leave at once."""

    def admit(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Let it leave."""
        del call
        return _ALWAYS

    def seen(self, answer: Answer | AnswerHead, model: str | None, attempt_id: str = "") -> None:
        """Learn nothing."""


#: It keeps nothing, so all may use the same.
_ALWAYS = nullcontext()


class SharedAdmission:
    """Keep to limits a minute together with all processes that use the same ledger.

    What counts is what the user allows, what the server's headers say, and, where it says no
    numbers, a pace that is halved after a refusal and grows again. Limits are those of one model of
    one project at one endpoint. As long as none is known, requests leave at once.

    After a crash the slots that a process held are lost, at most a second or two of the rate.

    Args:
        shared: what all processes share.
        endpoint: where requests go.
        clock: the time here.
        limits: what the user allows.
        on_the_wire: POSTs of one model between intent and ID at once.
        one_clock: all who share the limits go by *clock*; if not, by that of the database.
    """

    def __init__(  # noqa: PLR0913 - what is shared, and by whom
        self,
        shared: SharedLimits,
        endpoint: Endpoint,
        clock: Clock,
        limits: RateLimits = NO_LIMITS,
        *,
        on_the_wire: int = 16,
        one_clock: bool = False,
    ) -> None:
        self._on_the_wire = on_the_wire
        self._shared = shared
        self._endpoint = endpoint
        self._clock = clock
        self._limits = limits
        self._one_clock = clock if one_clock else None
        self._lanes: dict[str | None, Lane] = {}
        self._refused: defaultdict[str | None, RefusedRows] = defaultdict(RefusedRows)

    def admit(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Wait for a slot, behind those who wait already, and hold it in the block.

        Entering raises `LedgerError` if the ledger cannot be asked for one.
        """
        return _Turn(self._lane(call.draft.model), call.tokens)

    def seen(self, answer: Answer | AnswerHead, model: str | None, attempt_id: str = "") -> None:
        """Learn from what a create was answered; see `Admission`.

        One row that is refused again and again, while others are not, is heard only once: it must
        not slow them down.
        """
        said, is_accepted = read_limit_headers(answer.rate_limits), _is_accepted(answer)
        refusal = read_refusal(answer) if isinstance(answer, Answer) else None
        if is_accepted:
            self._refused[model].accepted(attempt_id)
        elif refusal is not None:
            is_its_own = self._refused[model].is_its_own(attempt_id)
            refusal = None if is_its_own and not said.explains_refusal else refusal
        # What something in front of the server says is no word about its limits, nor is silence.
        if answer.rate_limits or refusal is not None or is_accepted:
            self._lane(model).learn(said, refusal)

    def _lane(self, model: str | None) -> Lane:
        lane = self._lanes.get(model)
        if lane is None:
            name = limit_name(self._endpoint, model)
            row = _Row(self._shared, name, self._one_clock)
            lane = self._lanes[model] = Lane(row, self._clock, self._limits, self._on_the_wire)
        return lane


class _Turn:
    """One request's turn in a lane; a class, for it is entered for each row."""

    __slots__ = ("_lane", "_tokens")

    def __init__(self, lane: Lane, tokens: int) -> None:
        self._lane = lane
        self._tokens = tokens

    async def __aenter__(self) -> None:
        await self._lane.enter(self._tokens)

    async def __aexit__(self, *error: object) -> None:
        self._lane.leave()


def _is_accepted(answer: Answer | AnswerHead) -> bool:
    if isinstance(answer, AnswerHead):
        return True
    return answer.status is not None and answer.status // 100 == 2  # noqa: PLR2004 - 2xx


@dataclass(frozen=True, slots=True)
class _Row:
    """The row of one model among the shared limits."""

    shared: SharedLimits
    name: str
    clock: Clock | None

    async def change(self, decide: Callable[[Bucket, float], tuple[Bucket, T]]) -> T:
        now = None if self.clock is None else self.clock.now()
        return await self.shared.change(self.name, decide, now)

    async def read(self) -> tuple[Bucket, float]:
        bucket, now = await self.shared.read(self.name)
        return bucket, now if self.clock is None else self.clock.now()
