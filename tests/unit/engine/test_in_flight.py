"""The gate that all shards of a run share, and what is done while rows are in flight."""

from __future__ import annotations

import asyncio
import gc

import pytest

from prefect_responses.engine.garbage_collection import RARELY, rare_collections
from prefect_responses.engine.in_flight import InFlight, on_the_wire_for


async def turns(count):
    """Let all that is ready go on, as far as it goes."""
    for _ in range(count):
        await asyncio.sleep(0)


async def waiting(gate, order, *names):
    async def enter(name):
        await gate.enter()
        order.append(name)

    tasks = [asyncio.create_task(enter(name)) for name in names]
    await turns(2)
    return tasks


async def test_who_waits_comes_in_in_order_as_others_leave():
    gate, order = InFlight(2), []
    await waiting(gate, order, "a", "b", "c", "d")
    assert (order, gate.taken) == (["a", "b"], 2)

    gate.leave()
    await turns(2)
    assert order == ["a", "b", "c"]
    gate.leave()
    await turns(2)
    assert (order, gate.taken) == (["a", "b", "c", "d"], 2)


async def test_adopted_rows_are_counted_and_wait_for_nobody():
    gate, order = InFlight(2), []
    for _ in range(5):
        gate.adopt()
    await waiting(gate, order, "new")
    for left in (4, 3, 2):
        gate.leave()
        await turns(2)
        assert (order, gate.taken) == ([], left)

    gate.leave()
    await turns(2)
    assert (order, gate.taken) == (["new"], 2)


async def test_nobody_overtakes_who_waits():
    gate, order = InFlight(1), []
    await gate.enter()
    (first,) = await waiting(gate, order, "first")
    gate.leave()
    await waiting(gate, order, "second")

    await first
    assert order == ["first"]


@pytest.mark.parametrize("after_its_turn_came", [False, True])
async def test_the_room_of_who_is_cancelled_goes_to_the_next(after_its_turn_came):
    gate, order = InFlight(1), []
    await gate.enter()
    first, second = await waiting(gate, order, "first", "second")
    if after_its_turn_came:
        gate.leave()
        first.cancel()
    else:
        first.cancel()
        await turns(2)
        gate.leave()

    await second
    assert (order, gate.taken) == (["second"], 1)


@pytest.mark.parametrize(
    ("max_in_flight", "least", "most"), [(1, 16, 16), (200, 16, 16), (800, 16, 50), (5000, 16, 64)]
)
def test_many_rows_need_more_posts_at_once(max_in_flight, least, most):
    assert on_the_wire_for(max_in_flight, least) == most


def test_a_larger_setting_stays():
    assert on_the_wire_for(5000, least=100) == 100


# --- the collector --------------------------------------------------------------------------------


@pytest.fixture
def usual():
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield (700, 10, 10)
    gc.set_threshold(*before)


def test_garbage_is_looked_for_rarely_until_the_last_shard_has_ended(usual):
    with rare_collections():
        with rare_collections():
            assert gc.get_threshold() == (RARELY, 10, 10)
        assert gc.get_threshold() == (RARELY, 10, 10)
    assert gc.get_threshold() == usual


@pytest.mark.parametrize("chosen", [0, RARELY + 1])
def test_who_has_it_look_never_or_more_rarely_keeps_that(usual, chosen):
    gc.set_threshold(chosen, *usual[1:])
    with rare_collections():
        assert gc.get_threshold()[0] == chosen
    assert gc.get_threshold()[0] == chosen


def test_what_somebody_sets_meanwhile_stays(usual):
    with rare_collections():
        gc.set_threshold(900, *usual[1:])
    assert gc.get_threshold()[0] == 900
