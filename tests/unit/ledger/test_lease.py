from __future__ import annotations

from prefect_responses.ledger.owners import Lease, ticks


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lease(clock):
    return Lease(seconds=60.0, clock=clock)


def test_a_lease_that_was_never_written_down_is_not_held():
    clock = Ticks()
    new = lease(clock)

    assert not new.holds_lease()
    new.renewed(asked_at=clock())
    assert new.holds_lease()


def test_it_counts_from_when_the_renewal_was_asked_for():
    clock = Ticks()
    held = lease(clock)
    asked_at = clock()
    clock.now += 10
    held.renewed(asked_at)

    assert held.left() == 50.0
    clock.now += 49
    assert held.holds_lease()
    clock.now += 1
    assert not held.holds_lease()
    assert held.left() == 0.0


def test_once_it_has_ended_no_renewal_brings_it_back():
    clock = Ticks()
    ended = lease(clock)
    ended.renewed(clock())
    clock.now += 60
    assert not ended.holds_lease()

    ended.renewed(clock())

    assert not ended.holds_lease()


def test_nor_one_that_comes_before_anybody_looked():
    clock = Ticks()
    ended = lease(clock)
    ended.renewed(clock())
    clock.now += 61

    ended.renewed(clock())

    assert not ended.holds_lease()


def test_what_is_lost_stays_lost():
    clock = Ticks()
    lost = lease(clock)
    lost.renewed(clock())

    lost.lose()

    assert not lost.holds_lease()
    assert lost.left() == 0.0


def test_the_clock_of_a_lease_runs_forward():
    assert ticks() <= ticks()
