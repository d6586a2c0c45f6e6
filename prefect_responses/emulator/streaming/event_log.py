"""The log of a response: every event with its number and the time at which it happens.

It is a pure function of the response's plan, its timeline and the time. Reading it twice gives the
same events, whatever was read or sent before; it takes no memory to keep.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from prefect_responses.emulator.faults import AfterError
from prefect_responses.emulator.lifecycle import Status
from prefect_responses.emulator.response_objects import response_body
from prefect_responses.emulator.streaming.item_events import event, is_delta, item_events
from prefect_responses.emulator.streaming.stream_plans import AfterCancel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prefect_responses.emulator.stored_responses import StoredResponse
    from prefect_responses.emulator.streaming.item_events import Payload
    from prefect_responses.emulator.streaming.stream_plans import StreamPlan

#: The event that a response of each terminal status ends its stream with.
TERMINAL_EVENTS: dict[Status, str] = {
    Status.COMPLETED: "response.completed",
    Status.FAILED: "response.failed",
    Status.INCOMPLETE: "response.incomplete",
    Status.CANCELLED: "response.failed",
}


class LoggedEvent(NamedTuple):
    """One event of a log."""

    time: float
    payload: Payload

    @property
    def number(self) -> int:
        """The sequence number."""
        return int(self.payload["sequence_number"])


def event_log(response: StoredResponse, now: float) -> Iterator[LoggedEvent]:
    """Yield the whole log as it is known now, with what is still to come."""
    plan = response.stream
    if plan is None:
        return
    if plan.recorded is None:
        events = _kept_awake(_planned(response, plan), plan.keepalive_s)
    else:
        events = _recorded(response, plan, plan.recorded)
    yield from _numbered(_cancelled(response, plan, events, now))


def _numbered(events: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
    """Number the events from 0 on; those of a recording may have numbers of their own."""
    number = -1
    for logged in events:
        payload = logged.payload
        if payload.get("sequence_number") is None:
            payload["sequence_number"] = number + 1
        number = payload["sequence_number"]
        yield logged


def _planned(response: StoredResponse, plan: StreamPlan) -> Iterator[LoggedEvent]:
    yield from _opening(response, plan)
    due = plan.first_at
    said = 0
    for payload in _telling(response, plan):
        if is_delta(payload):
            due = plan.first_at + said * plan.interval_s
            said += 1
        yield LoggedEvent(due, payload)
    if plan.error is None or plan.error.then is not AfterError.ENDS:
        timeline = response.timeline
        yield LoggedEvent(timeline.ends_at, _terminal(response, timeline.ending))


def _opening(response: StoredResponse, plan: StreamPlan) -> Iterator[LoggedEvent]:
    accepted_at = response.timeline.accepted_at
    first = plan.first_status
    yield LoggedEvent(accepted_at, _lifecycle("response.created", response, first))
    starts_at = accepted_at
    if first is Status.QUEUED:
        yield LoggedEvent(accepted_at, _lifecycle("response.queued", response, first))
        starts_at = response.timeline.starts_at
    yield LoggedEvent(starts_at, _in_progress(response))


def _telling(response: StoredResponse, plan: StreamPlan) -> Iterator[Payload]:
    """Yield what is told between the opening and the end."""
    if plan.lost is not None:
        yield from _up_to_delta(item_events(plan.lost.items), plan.lost.deltas)
        yield _in_progress(response)
    events = item_events(plan.items)
    if plan.error is not None:
        yield from _up_to_delta(events, plan.error.after_deltas)
        yield dict(plan.error.payload)
        if plan.error.then is not AfterError.COMPLETES:
            return
    yield from events


def _up_to_delta(events: Iterator[Payload], count: int) -> Iterator[Payload]:
    """Yield events until so many deltas are said; what follows stays in the iterator."""
    said = 0
    while said < count and (payload := next(events, None)) is not None:
        said += is_delta(payload)
        yield payload


def _lifecycle(name: str, response: StoredResponse, status: Status) -> Payload:
    return event(name, response=response_body(response, status))


def _in_progress(response: StoredResponse) -> Payload:
    return _lifecycle("response.in_progress", response, Status.IN_PROGRESS)


def _terminal(response: StoredResponse, status: Status) -> Payload:
    return _lifecycle(TERMINAL_EVENTS[status], response, status)


def _kept_awake(events: Iterable[LoggedEvent], every: float | None) -> Iterator[LoggedEvent]:
    """Break every longer silence with keepalive events, which are numbered as all are."""
    last: float | None = None
    for logged in events:
        while every is not None and last is not None and logged.time - last > every:
            last += every
            yield LoggedEvent(last, event("keepalive"))
        yield logged
        last = logged.time


def _cancelled(
    response: StoredResponse, plan: StreamPlan, events: Iterator[LoggedEvent], now: float
) -> Iterator[LoggedEvent]:
    """Let a cancelled response's log end as its plan says."""
    timeline = response.timeline
    cancelled_at, anyway_at = timeline.cancelled_at, timeline.completes_anyway_at
    if cancelled_at is None:
        yield from events
    elif plan.after_cancel is AfterCancel.CONTINUES:
        yield from _not_after(events, anyway_at)
    else:
        yield from takewhile(lambda logged: logged.time <= cancelled_at, events)
        if plan.after_cancel is AfterCancel.FAILS:
            yield LoggedEvent(cancelled_at, _terminal(response, Status.CANCELLED))
        if anyway_at is not None and now >= anyway_at:
            yield LoggedEvent(anyway_at, _terminal(response, Status.COMPLETED))


def _not_after(events: Iterable[LoggedEvent], moment: float | None) -> Iterator[LoggedEvent]:
    for logged in events:
        yield logged if moment is None else LoggedEvent(min(logged.time, moment), logged.payload)


def _recorded(
    response: StoredResponse, plan: StreamPlan, events: Iterable[dict[str, Any]]
) -> Iterator[LoggedEvent]:
    """Play a recording under this response's ID, with its own numbers where it has some."""
    for index, original in enumerate(events):
        payload = dict(original)
        if isinstance(payload.get("response"), dict):
            payload["response"] = {**payload["response"], "id": response.id}
        yield LoggedEvent(plan.first_at + index * plan.interval_s, payload)
