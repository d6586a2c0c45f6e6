"""The status of a response is a function of its timeline and the time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.emulator.lifecycle import MOVES, TERMINAL, Status, Timeline

_ENDINGS = sorted(TERMINAL - {Status.CANCELLED})
_SECONDS = st.floats(0, 100)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    starts = draw(_SECONDS)
    timeline = Timeline(0, starts, starts + draw(_SECONDS), draw(st.sampled_from(_ENDINGS)))
    cancel_at = draw(st.none() | _SECONDS)
    if cancel_at is None or timeline.status_at(cancel_at) in TERMINAL:
        return timeline
    return timeline.cancelled(cancel_at, completes_after=draw(st.none() | _SECONDS))


@pytest.mark.parametrize(
    ("now", "status"),
    [(0, "queued"), (1.9, "queued"), (2, "in_progress"), (4.9, "in_progress"), (5, "incomplete")],
)
def test_the_status_at_a_moment(now: float, status: str) -> None:
    assert Timeline(0, 2, 5, Status.INCOMPLETE).status_at(now) is Status(status)


@given(timelines(), st.lists(st.floats(0, 300), min_size=2, max_size=8))
def test_only_the_moves_of_the_table_are_seen(timeline: Timeline, moments: list[float]) -> None:
    from_cancel = timeline.cancelled_at or 0
    seen = [timeline.status_at(from_cancel + moment) for moment in sorted(moments)]

    for before, after in pairwise(seen):
        assert before is after or after in MOVES[before]


def test_a_cancelled_response_completes_only_where_asked_to() -> None:
    cancelled = Timeline(0, 2, 5, Status.COMPLETED).cancelled(1)
    flipping = Timeline(0, 2, 5, Status.COMPLETED).cancelled(1, completes_after=3)

    assert [cancelled.status_at(t) for t in (1, 4, 99)] == [Status.CANCELLED] * 3
    assert [flipping.status_at(t) for t in (1, 4)] == [Status.CANCELLED, Status.COMPLETED]


def test_every_status_has_its_moves() -> None:
    assert MOVES.keys() == set(Status)
