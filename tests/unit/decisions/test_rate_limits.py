"""Slots that lie evenly apart, and what is learned from answers: tables, and a minute counted."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.decisions.limit_headers import Left, LimitsSaid, Refusal
from prefect_responses.decisions.rate_limits import (
    AHEAD,
    BURST,
    FORGOTTEN,
    HOLD,
    LONGEST_DEBT,
    LONGEST_PAUSE,
    LONGEST_WINDOW,
    MINUTE,
    NO_LIMITS,
    SLOT_LASTS,
    SLOWEST,
    UNNAMED_PAUSE,
    Bucket,
    RateLimits,
    Storm,
    admit,
    heard,
    pause_for,
    refused,
    requests_per_minute,
)

NOW = 1_000_000.0
SIXTY = RateLimits(requests_per_minute=60)


# --- slots ----------------------------------------------------------------------------------------


def test_where_no_limit_is_known_all_leave_at_once():
    admitted = admit(Bucket(), NO_LIMITS, [1.0] * 5, NOW)
    assert admitted.slots == (NOW,) * 5
    assert (admitted.is_bounded, admitted.wait, admitted.bucket) == (False, 0.0, Bucket())


def test_slots_lie_evenly_apart():
    admitted = admit(Bucket(), RateLimits(600), [0.0] * 100, NOW)
    apart = MINUTE / 600
    spaced = [slot for slot in admitted.slots if slot > NOW]
    assert all(after - before == pytest.approx(apart) for before, after in pairwise(spaced))
    # Those of the half second before that nobody used leave at once.
    assert len(admitted.slots) - len(spaced) == pytest.approx(BURST / apart, abs=1)
    assert admitted.wait == pytest.approx(admitted.bucket.requests_at - NOW)
    assert (admitted.is_bounded, admitted.counts_tokens) == (True, False)


def test_one_process_is_given_half_of_what_is_free():
    first = admit(Bucket(), RateLimits(600), [0.0] * 1000, NOW)
    second = admit(first.bucket, RateLimits(600), [0.0] * 1000, NOW)
    free = AHEAD + BURST
    assert len(first.slots) * MINUTE / 600 == pytest.approx(free / 2, abs=0.2)
    assert len(second.slots) * MINUTE / 600 == pytest.approx(free / 4, abs=0.2)
    assert second.slots[0] > first.slots[-1]


def test_a_slot_that_is_too_far_ahead_is_not_given():
    ahead = Bucket(requests_at=NOW + AHEAD + 1)
    admitted = admit(ahead, SIXTY, [0.0], NOW)
    assert (admitted.slots, admitted.bucket) == ((), ahead)
    assert admitted.wait == pytest.approx(AHEAD + 1)


def test_one_slot_is_given_where_they_lie_far_apart():
    admitted = admit(Bucket(), RateLimits(1), [0.0, 0.0], NOW)
    assert admitted.slots == (NOW,)
    assert admitted.bucket.requests_at == pytest.approx(NOW - BURST + MINUTE)


def test_tokens_put_the_next_slot_off():
    limits = RateLimits(tokens_per_minute=MINUTE * 100)
    admitted = admit(Bucket(), limits, [100.0, 50.0, 10.0], NOW)
    assert admitted.counts_tokens
    assert admitted.slots == (NOW, pytest.approx(NOW - BURST + 1.0), pytest.approx(NOW + 1.0))
    assert admitted.bucket.tokens_at == pytest.approx(NOW + 1.1)


def test_a_request_larger_than_a_minute_leaves_and_owes():
    limits = RateLimits(tokens_per_minute=1000)
    admitted = admit(Bucket(), limits, [5000.0, 1.0], NOW)
    assert len(admitted.slots) == 1
    assert admitted.wait == pytest.approx(5 * MINUTE - BURST)


def test_no_request_owes_for_ever():
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=1000)
    admitted = admit(Bucket(), limits, [100_000.0], NOW)
    assert admitted.bucket.tokens_at == pytest.approx(NOW - BURST + LONGEST_DEBT)


def test_tokens_are_owed_only_to_a_limit_on_tokens():
    owing = Bucket(tokens_at=NOW + 500)
    assert admit(owing, RateLimits(tokens_per_minute=1000), [1.0], NOW).slots == ()
    admitted = admit(owing, SIXTY, [1.0], NOW)
    assert admitted.slots == (NOW,)
    assert admitted.bucket.tokens_at == owing.tokens_at


def test_a_slot_is_owed_only_to_a_limit_on_requests():
    owing = Bucket(requests_at=NOW + 50)
    assert admit(owing, SIXTY, [1.0], NOW).slots == ()
    assert admit(owing, RateLimits(tokens_per_minute=1000), [1.0], NOW).slots == (NOW,)


@pytest.mark.parametrize("far", [LONGEST_DEBT + AHEAD + 1, 1e300])
def test_what_lies_too_far_ahead_was_never_given_out(far):
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=1000)
    for poisoned in (Bucket(requests_at=NOW + far), Bucket(tokens_at=NOW + far)):
        admitted = admit(poisoned, limits, [1.0], NOW)
        assert admitted.slots == (NOW,)
        assert max(admitted.bucket.requests_at, admitted.bucket.tokens_at) < NOW + 5
    rare = RateLimits(requests_per_minute=0.01)
    first = admit(Bucket(), rare, [0.0], NOW)
    assert admit(first.bucket, rare, [0.0], NOW + LONGEST_DEBT).slots == ()


def test_a_pause_that_is_too_long_was_never_asked_for():
    poisoned = Bucket(paused_until=NOW + LONGEST_PAUSE + 1)
    assert admit(poisoned, NO_LIMITS, [0.0], NOW).slots == (NOW,)
    assert refused(poisoned, SIXTY, storm(9.0, explained=True), NOW).paused_until == NOW + 9


def test_a_rate_that_no_server_can_have_said_does_not_hold():
    poisoned = Bucket(requests_per_minute=1e-6, tokens_per_minute=1e-6)
    assert not admit(poisoned, NO_LIMITS, [1.0], NOW).is_bounded
    slowest = Left(1.0, 0.0, window=LONGEST_WINDOW).per_minute
    assert admit(Bucket(requests_per_minute=slowest), NO_LIMITS, [1.0], NOW).is_bounded


def test_nothing_leaves_before_the_end_of_a_pause():
    paused = Bucket(paused_until=NOW + 2)
    assert admit(paused, NO_LIMITS, [0.0], NOW).slots == (NOW + 2,)
    assert admit(Bucket(paused_until=NOW + 20), NO_LIMITS, [0.0], NOW).slots == ()
    after = admit(paused, SIXTY, [0.0] * 9, NOW).slots
    assert after[0] == NOW + 2
    assert all(later - earlier > 1 for earlier, later in pairwise(after))


@pytest.mark.parametrize(
    ("bucket", "limits", "rate"),
    [
        (Bucket(), NO_LIMITS, None),
        (Bucket(), SIXTY, 60),
        (Bucket(requests_per_minute=30), SIXTY, 30),
        (Bucket(requests_per_minute=90), SIXTY, 60),
        (Bucket(requests_per_minute=90), NO_LIMITS, 90),
        (Bucket(pace=12, changed_at=NOW), SIXTY, 12),
        (Bucket(pace=12, changed_at=NOW - 120), SIXTY, 24),
        (Bucket(pace=12, changed_at=NOW - 1e9), NO_LIMITS, None),
        (Bucket(pace=12, changed_at=NOW + 1e9), NO_LIMITS, 12),
    ],
    ids=str,
)
def test_the_strictest_rate_holds(bucket, limits, rate):
    assert requests_per_minute(bucket, limits, NOW) == rate


@given(
    rate=st.floats(3, 3000),
    asks=st.lists(st.tuples(st.floats(0, 4), st.integers(0, 300)), min_size=5, max_size=60),
)
def test_no_minute_holds_more_than_the_limit(rate, asks):
    """Whoever asks when, and even if each slot is used as late as it may be."""
    bucket, now, slots = Bucket(), NOW, []
    for wait, wanted in asks:
        now += wait
        admitted = admit(bucket, RateLimits(rate), [0.0] * wanted, now)
        bucket = admitted.bucket
        slots += admitted.slots
    assert slots == sorted(slots)
    for place, first in enumerate(slots):
        # The first one is used as late as it may be, all others on time: a window's worst case.
        until = first + SLOT_LASTS + 60.0
        held = [slot for slot in slots[place:] if slot < until]
        assert len(held) <= math.ceil(rate)


@pytest.mark.parametrize("field", ["requests_per_minute", "tokens_per_minute", "in_flight"])
@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_is_above_zero(field, limit):
    with pytest.raises(ValueError, match=f"{field} must be above 0"):
        RateLimits(**{field: limit})


# --- what answers say -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "left", "then"),
    [
        (None, Left(10_000, 9_000, few=128), None),
        (None, Left(10_000, 4_000, few=128), 10_000),
        (10_000, Left(10_000, 6_000, few=128), 10_000),
        (10_000, Left(10_000, 9_000, few=128), None),
        (None, Left(60, 59, few=128), 60),
        (60, Left(200, 199, few=10), 200),
        (60, None, None),
        (None, None, None),
    ],
    ids=str,
)
def test_a_limit_is_kept_to_from_when_it_is_scarce_until_plenty_is_left(kept, left, then):
    after = heard(Bucket(requests_per_minute=kept), LimitsSaid(requests=left), NOW)
    assert after.requests_per_minute == then
    assert after.requests_at == 0.0
    tokens = heard(Bucket(tokens_per_minute=kept), LimitsSaid(tokens=left), NOW)
    assert tokens.tokens_per_minute == then


def test_a_reserve_is_left_for_what_is_on_the_wire():
    said = LimitsSaid(requests=Left(100, 0), tokens=Left(100, 5))
    after = heard(Bucket(), said, NOW)
    assert after.requests_at == pytest.approx(NOW + 3)
    assert after.tokens_at == 0.0
    ahead = Bucket(requests_at=NOW + 9, requests_per_minute=100)
    assert heard(ahead, said, NOW).requests_at == NOW + 9


@pytest.mark.parametrize(
    ("kept", "own", "then", "owed"),
    [
        (1000, None, 2_000_000, 0.25),
        (1000, 100, 2_000_000, 500),
        (1000, 500, 1000, 500),
        (1000, 800, 400, LONGEST_DEBT),
        (1000, 2000, 4000, 250),
        (1000, 2000, None, 250),
        (1000, None, None, 500),
        # Who owed nothing to this limit owes nothing to it now.
        (None, None, 1000, 0),
    ],
)
def test_what_is_owed_changes_with_the_limit(kept, own, then, owed):
    left = None if then is None else Left(then, then * 0.4)
    limits = RateLimits(requests_per_minute=own, tokens_per_minute=own)
    before = Bucket(NOW + 500, NOW + 500, kept, kept)
    after = heard(before, LimitsSaid(requests=left, tokens=left), NOW, limits)
    assert after.requests_at == after.tokens_at == pytest.approx(NOW + owed)


def test_what_is_not_owed_does_not_change():
    said = LimitsSaid(requests=Left(400, 200), tokens=Left(400, 200))
    after = heard(Bucket(NOW - 5, NOW, 100, 100), said, NOW)
    assert (after.requests_at, after.tokens_at) == (NOW - 5, NOW)


# --- refusals -------------------------------------------------------------------------------------


def storm(pause=1.0, *, explained=False, per_minute=600.0, by_slots=True):
    return Storm(pause, is_explained=explained, per_minute=per_minute, by_slots=by_slots)


@pytest.mark.parametrize(
    ("refusal", "pause"),
    [
        (Refusal(None), UNNAMED_PAUSE),
        (Refusal(0.0), 0.0),
        (Refusal(30.0), 30.0),
        (Refusal(1e300), LONGEST_PAUSE),
    ],
)
def test_how_long_all_pause(refusal, pause):
    assert pause_for(refusal) == pause


def test_a_refusal_that_numbers_explain_only_pauses():
    after = refused(Bucket(), SIXTY, storm(20.0, explained=True), NOW)
    assert after == Bucket(paused_until=NOW + 20)
    assert refused(Bucket(paused_until=NOW + 60), SIXTY, storm(), NOW).paused_until == NOW + 60


@pytest.mark.parametrize(
    ("bucket", "limits", "told", "pace"),
    [
        # Nobody kept to any rate: half of what this one sent.
        (Bucket(), NO_LIMITS, storm(by_slots=False), 300),
        # All sent together at the limit.
        (Bucket(), SIXTY, storm(), 30),
        (Bucket(pace=100, changed_at=NOW - HOLD), SIXTY, storm(), 30),
        (Bucket(pace=100, changed_at=NOW - 120), NO_LIMITS, storm(), 100),
        # It had not heard that the others were slowed down: it adds its half.
        (Bucket(pace=100, changed_at=NOW - 2), NO_LIMITS, storm(by_slots=False), 400),
        # It has not heard for too long to be one of the same storm.
        (Bucket(pace=64, changed_at=NOW - 240), NO_LIMITS, storm(by_slots=False), 128),
        # An older refusal of the same storm, or one of what left before the pause.
        (Bucket(pace=100, changed_at=NOW), NO_LIMITS, storm(), 100),
        (Bucket(pace=1, changed_at=NOW - 240, paused_until=NOW - 1), NO_LIMITS, storm(), 1),
        # The pace was forgotten, and so nothing holds but what this one sent.
        (Bucket(pace=FORGOTTEN), NO_LIMITS, storm(), 300),
        # It never stands still.
        (Bucket(), RateLimits(8), storm(), SLOWEST),
    ],
    ids=str,
)
def test_the_pace_is_halved_once_a_storm(bucket, limits, told, pace):
    assert refused(bucket, limits, told, NOW).pace == pytest.approx(pace, rel=0.01)


def test_a_pace_holds_from_its_cut_and_doubles_in_two_minutes():
    cut = refused(Bucket(), SIXTY, storm(), NOW)
    assert [cut.pace_at(NOW + later) for later in (0, 120, 240)] == [30, 60, 120]
