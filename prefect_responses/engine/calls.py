"""What a caller asks the engine for, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.policies import ACTING_TOOLS, CallPolicy, OnChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.attempt import Attempt, Draft, Origin


@dataclass(frozen=True, slots=True)
class Call:
    """One durable call of create.

    Args:
        draft: what the ledger writes down when an attempt of it is planned.
        request: the request as the caller gave it.
        origin: who calls.
        policy: what governs it.
        on_change: what to do when the key was used for another request.
    """

    draft: Draft
    request: Mapping[str, Any] = field(hash=False)
    origin: Origin
    policy: CallPolicy = field(default_factory=CallPolicy)
    on_change: OnChange = OnChange.ERROR

    @property
    def acts_outside(self) -> bool:
        """Tell whether the request has hosted tools that act on the world."""
        tools = self.request.get("tools") or ()
        return any(tool.get("type") in ACTING_TOOLS for tool in tools if isinstance(tool, dict))


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a call.

    Args:
        attempt: the settled attempt.
        body: the API's final response, JSON, or None if none was ever read.
        adopted: an earlier process or caller had submitted it.
    """

    attempt: Attempt
    body: bytes | None
    adopted: bool = False
