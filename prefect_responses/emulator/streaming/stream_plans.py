"""When the events of a streamed response happen, and what goes wrong among them.

A plan is made once, when the response is accepted. Nothing is added to it later: the log of a
response is computed from its plan, its timeline and the time whenever somebody reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator.faults import AfterError, ErrorForm
from prefect_responses.emulator.lifecycle import Status
from prefect_responses.emulator.models.answers import message_item, text_content
from prefect_responses.emulator.streaming.item_events import is_delta, item_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.emulator.faults import RestartStream, StreamError
    from prefect_responses.emulator.lifecycle import Timeline


class AfterCancel(StrEnum):
    """What a stream does when its response is cancelled."""

    FAILS = "fails"
    CONTINUES = "continues"
    ENDS = "ends"


@dataclass(frozen=True, slots=True)
class ErrorAmid:
    """An error that the stream reports after some deltas, and what follows it."""

    payload: dict[str, Any]
    after_deltas: int
    then: AfterError


@dataclass(frozen=True, slots=True)
class LostTake:
    """What was said before a server restarted and began the output again."""

    items: tuple[dict[str, Any], ...]
    deltas: int


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What is said, from when on, and how fast."""

    items: tuple[dict[str, Any], ...]
    first_status: Status = Status.QUEUED
    after_cancel: AfterCancel = AfterCancel.FAILS
    keepalive_s: float | None = None
    error: ErrorAmid | None = None
    lost: LostTake | None = None
    recorded: tuple[dict[str, Any], ...] | None = None
    first_at: float = 0.0
    interval_s: float = 0.0

    def steps(self) -> int:
        """Count what takes its time: deltas, or the events of a recording."""
        if self.recorded is not None:
            return len(self.recorded)
        lost = min(self.lost.deltas, _deltas_of(self.lost.items)) if self.lost else 0
        said = _deltas_of(self.items)
        if self.error is not None and self.error.then is not AfterError.COMPLETES:
            said = min(self.error.after_deltas, said)
        return lost + said

    def timed(self, timeline: Timeline, token_rate: float | None) -> tuple[StreamPlan, Timeline]:
        """Set when each step happens: so many in a second, or evenly in the time there is.

        With a rate, the time that the latency profile gives is the time to the first delta.
        """
        steps = self.steps()
        working_s = timeline.ends_at - timeline.starts_at
        if token_rate is None:
            interval = working_s / (steps + 1)
            first_at = timeline.starts_at + interval
            return replace(self, first_at=first_at, interval_s=interval), timeline
        interval = 1 / token_rate
        plan = replace(self, first_at=timeline.ends_at, interval_s=interval)
        return plan, replace(timeline, ends_at=timeline.ends_at + steps * interval)


def _deltas_of(items: Iterable[dict[str, Any]]) -> int:
    return sum(map(is_delta, item_events(items)))


def error_amid(fault: StreamError, message: str, error_type: str) -> ErrorAmid:
    """Write the error event that a fault asks for."""
    facts = {"code": fault.code, "message": message, "param": None}
    body = facts if fault.form is ErrorForm.FLAT else {"error": {"type": error_type, **facts}}
    payload = {"type": "error", "sequence_number": None, **body}
    return ErrorAmid(payload, fault.after_deltas, fault.then)


def lost_take(fault: RestartStream, lost_id: str) -> LostTake:
    """Write the first of two takes: a message of another ID and text."""
    item = {**message_item(text_content(fault.first_text)), "id": lost_id}
    return LostTake((item,), fault.after_deltas)
