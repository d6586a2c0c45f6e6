"""What a caller asks the engine for, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.policies import ACTING_TOOLS, CallPolicy, OnChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.attempt import Attempt, Draft, Origin
    from prefect_responses.charges import Charge
    from prefect_responses.engine.listening import Listener


@dataclass(frozen=True, slots=True)
class Call:
    """One durable call of create.

    Args:
        draft: what the ledger writes down when an attempt of it is planned.
        request: the request as the caller gave it.
        origin: who calls.
        policy: what governs it.
        on_change: what to do when the key was used for another request.
        listeners: who hears what the response says while it is made.
        charge: what an attempt of it reserves on accounts when it is claimed, or None.
        tokens: tokens read and written that it is expected to take, for limits a minute.
    """

    draft: Draft
    request: Mapping[str, Any] = field(hash=False)
    origin: Origin
    policy: CallPolicy = field(default_factory=CallPolicy)
    on_change: OnChange = OnChange.ERROR
    listeners: tuple[Listener, ...] = field(default=(), hash=False)
    charge: Charge | None = None
    tokens: int = 0

    @property
    def acts_outside(self) -> bool:
        """Tell whether the request has hosted tools that act on the world."""
        tools = self.request.get("tools") or ()
        return any(tool.get("type") in ACTING_TOOLS for tool in tools if isinstance(tool, dict))


class Found(StrEnum):
    """Say what a call found in the ledger when it was made."""

    #: Nothing was submitted for it.
    NOTHING = "nothing"
    #: An earlier process or caller had submitted it, and it had not ended.
    IN_FLIGHT = "in_flight"
    #: It had its answer.
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a call.

    Args:
        attempt: the settled attempt.
        body: the API's final response, JSON, or None if none was ever read. The end of a row has
            it only where it was read just now; else the ledger has it.
        found: what the call found when it was made.
        claim_id: the call's claim on its ordinal, to be given up if the answer is rejected.
    """

    attempt: Attempt
    body: bytes | None
    found: Found = Found.NOTHING
    claim_id: str | None = None


def found_in(taken: Attempt, ended: Attempt) -> Found:
    """Say what a call found that took *taken* and ended with *ended*."""
    if taken.id != ended.id or taken.response_id is None:
        return Found.NOTHING
    return Found.ANSWER if taken.is_answered else Found.IN_FLIGHT
