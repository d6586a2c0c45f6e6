"""Decide which faults strike a request."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast, get_args

from prefect_responses.emulator.faults import (
    STREAMED_OUTCOMES,
    CancelThenCompletes,
    FaultRule,
    OutcomeFault,
    StreamFault,
    Vendor,
    WireFault,
    describe,
)

if TYPE_CHECKING:
    from random import Random

    from prefect_responses.emulator.journal import Exchange

_WIRE = get_args(WireFault)
_OUTCOME = get_args(OutcomeFault)
_STREAM = get_args(StreamFault)


@dataclass(frozen=True, slots=True)
class Struck:
    """The faults that strike one request: at most one of each family."""

    wire: WireFault | None = None
    outcome: OutcomeFault | None = None
    stream: StreamFault | None = None
    vendor: Vendor = field(default_factory=lambda: Vendor(kind="vendor"))
    kinds: tuple[str, ...] = ()


NONE_STRUCK = Struck()


@dataclass(slots=True)
class _Counted:
    rule: FaultRule
    seen: int = 0
    hits: int = 0

    @property
    def spent(self) -> bool:
        return self.rule.times is not None and self.hits >= self.rule.times

    def matches(self, exchange: Exchange) -> bool:
        match = self.rule.match
        return (
            self._concerns(exchange)
            and (match.method is None or match.method.upper() == exchange.method)
            and (match.path_regex is None or re.search(match.path_regex, exchange.path) is not None)
            and (
                match.query_regex is None
                or re.search(match.query_regex, exchange.query) is not None
            )
            and (match.model is None or match.model == exchange.model)
            and (match.body_contains is None or match.body_contains in exchange.body_text)
        )

    def _concerns(self, exchange: Exchange) -> bool:
        """Leave the faults of streams and of cancels to the requests that they are about."""
        fault = self.rule.fault
        if isinstance(fault, CancelThenCompletes):
            return exchange.is_cancel
        if isinstance(fault, STREAMED_OUTCOMES):
            return exchange.is_create and exchange.asks_for_stream
        return exchange.asks_for_stream if isinstance(fault, _STREAM) else True

    def strikes(self, random: Random) -> bool:
        self.seen += 1
        if self.seen <= self.rule.after:
            return False
        struck = self.rule.probability >= 1 or random.random() < self.rule.probability
        self.hits += struck
        return struck


class FaultRules:
    """Hold the rules in the order in which they are asked."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._rules: list[_Counted] = []

    def extend(self, rules: list[FaultRule]) -> None:
        """Add rules behind those that are there."""
        self._rules.extend(map(_Counted, rules))

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()

    def describe(self) -> list[dict[str, Any]]:
        """List the rules with their counts, spent ones included."""
        return [describe(c.rule, seen=c.seen, hits=c.hits) for c in self._rules]

    def strike(self, exchange: Exchange) -> Struck:
        """Choose the faults for a request: of each family the first whose rule strikes."""
        if not self._rules:
            return NONE_STRUCK
        wire = self._first(_WIRE, exchange)
        outcome = self._first(_OUTCOME, exchange)
        stream = self._first(_STREAM, exchange)
        vendor = self._first((Vendor,), exchange)
        struck = [fault for fault in (wire, outcome, stream, vendor) if fault is not None]
        return Struck(
            wire,
            outcome,
            stream,
            vendor or NONE_STRUCK.vendor,
            tuple(fault.kind for fault in struck),
        )

    def _first(self, family: tuple[type, ...], exchange: Exchange) -> Any:
        for counted in self._rules:
            if not isinstance(counted.rule.fault, family) or counted.spent:
                continue
            if counted.matches(exchange) and counted.strikes(self._random):
                return cast("Any", counted.rule.fault)
        return None
