"""What is learned from latencies, judged by simulated responses that were not learned from."""

from __future__ import annotations

import math
import statistics
import sys
from bisect import bisect_left
from itertools import accumulate, pairwise, repeat, takewhile
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.decisions.poll_schedule import FEWEST, PollSchedule, learn_schedule

#: Log-normal, 95 % of all below six times the median.
SPREAD = math.log(6.0) / 1.6448536269514722
LEARNINGS = 100


def drawn(random, count, median, spread=SPREAD):
    return [random.lognormvariate(math.log(median), spread) for _ in range(count)]


def polled(latencies, learned, policy):
    """Return polls a response, and the mean lag as a part of the mean latency."""
    steps = accumulate(repeat(0.0), lambda at, _: at + policy.next_wait(at, learned))
    longest = max(latencies)
    before = list(takewhile(lambda at: at < longest, steps))
    times = [*before[1:], before[-1] + policy.next_wait(before[-1], learned)]
    seen = [bisect_left(times, latency) for latency in latencies]
    lag = sum(times[place] - latency for place, latency in zip(seen, latencies, strict=True))
    return statistics.fmean(place + 1 for place in seen), lag / sum(latencies)


def judged(median, *, known=50, wrong=(), policy=None, spread=SPREAD):
    """Learn from *known* responses many times, and poll others each time."""
    randoms = [Random(seed) for seed in range(LEARNINGS)]  # noqa: S311 - a simulation
    return [
        polled(
            drawn(random, 1500, median, spread),
            learn_schedule([*drawn(random, known - len(wrong), median, spread), *wrong]),
            policy or PollPolicy(),
        )
        for random in randoms
    ]


def means(results):
    polls, lags = zip(*results, strict=True)
    return statistics.fmean(polls), statistics.fmean(lags)


@pytest.mark.parametrize("median", [2.0, 20.0, 200.0])
def test_fifty_latencies_teach_few_polls_and_little_lag(median):
    results = judged(median)
    polls, lag = means(results)

    assert polls <= 8.0
    assert lag <= 0.07
    # Fifty say the median within a seventh only, so that a single learning is a little off.
    assert max(polls for polls, _ in results) < 12.5
    assert max(lag for _, lag in results) < 0.11


@pytest.mark.parametrize("wrong", [[7200.0] * 5, [0.001] * 5, [86400.0, 0.0, 604800.0]], ids=str)
def test_a_few_outliers_do_not_ruin_it(wrong):
    polls, lag = means(judged(2.0, wrong=wrong))
    assert (polls <= 8.2, lag <= 0.075) == (True, True)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.5, 0.8, 1.5])
def test_latencies_that_are_much_alike_or_not_at_all(spread):
    polls, lag = means(judged(20.0, spread=spread))
    assert (polls <= 8.2, lag <= 0.07) == (True, True)


def test_two_hundred_latencies_teach_more_than_fifty():
    few, many = judged(20.0), judged(20.0, known=200)
    assert statistics.pstdev(p for p, _ in many) < statistics.pstdev(p for p, _ in few) / 1.5
    assert means(many)[0] < means(few)[0]


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.1, 0.2])
def test_latencies_that_are_much_alike_need_few_polls(spread):
    polls, lag = means(judged(20.0, spread=spread))
    assert (polls <= 3.0, lag <= 0.07) == (True, True)


def halfway(random, median=20.0):
    """Return what is known when half of a wave has ended, and how many still run."""
    wave, lessons = drawn(random, 2000, median), drawn(random, 50, median)
    return lessons + [latency for latency in wave if latency <= median], sum(
        latency > median for latency in wave
    )


def test_what_ends_first_does_not_teach_haste():
    random = Random(5)  # noqa: S311 - a simulation
    ended, running = halfway(random)
    hasty, right = learn_schedule(ended), learn_schedule(ended, [20.0] * running)
    others = drawn(random, 3000, 20.0)

    assert polled(others, hasty, PollPolicy())[0] > 15.0
    polls, lag = polled(others, right, PollPolicy())
    assert (polls <= 8.5, lag <= 0.08) == (True, True)


def test_one_that_hangs_for_days_changes_little():
    usual = drawn(Random(3), 50, 20.0)  # noqa: S311 - a simulation
    alone, beside = learn_schedule(usual), learn_schedule(usual, [86400.0] * 2)
    assert beside.next_wait(0.0) == pytest.approx(alone.next_wait(0.0), rel=0.1)


def test_the_first_rule_costs_five_times_as_much_or_sees_the_end_later():
    first_rule = PollPolicy(learns=False)
    assert means(judged(200.0, policy=first_rule))[0] > 40.0
    assert means(judged(2.0, policy=first_rule))[1] > 0.1


def test_half_a_minute_at_most_is_dear_where_responses_take_six():
    polls, lag = means(judged(200.0, policy=PollPolicy(most=29.9)))
    assert 12.0 < polls < 13.0
    assert lag < 0.05


@pytest.mark.parametrize("factor", [0.1, 3.0, 100.0])
def test_a_server_that_changed_is_still_polled_within_reason(factor):
    random = Random(1)  # noqa: S311 - a simulation
    learned = learn_schedule(drawn(random, 50, 20.0))
    polls, lag = polled(drawn(random, 1500, 20.0 * factor), learned, PollPolicy())
    assert polls < 150
    assert lag < 2.0


def test_a_few_latencies_teach_nothing():
    assert learn_schedule([]) is None
    assert learn_schedule([20.0] * (FEWEST - 1)) is None
    assert isinstance(learn_schedule([20.0] * FEWEST), PollSchedule)


# --- any schedule ---------------------------------------------------------------------------------

many_latencies = st.lists(st.floats(0.0, 1e7), min_size=FEWEST, max_size=60)
#: No response takes so long, or so little.
IMPOSSIBLE = [math.nan, math.inf, -math.inf, -1.0, 1e305, 1e280, sys.float_info.max]


@given(many_latencies, st.lists(st.floats()), st.floats(-1e6, 1e9))
@example([0.0] * FEWEST, [], 0.0)
@example([1.0] * 30 + [1e7] * 30, [], 1.0)
@example([1.0] * FEWEST, [math.nan, -1.0, 0.0, 1.0, 2.0, math.inf], 1.0)
def test_any_schedule_says_a_wait_at_any_age(latencies, running, waited):
    wait = learn_schedule(latencies, running).next_wait(waited)
    assert 0.0 < wait < math.inf


@given(many_latencies)
def test_any_schedule_takes_its_time(latencies):
    schedule = learn_schedule(latencies)
    assert all(earlier < later for earlier, later in pairwise(schedule.times))
    assert all(earlier <= later for earlier, later in pairwise(schedule.turns))


@given(st.lists(st.floats() | st.sampled_from(IMPOSSIBLE), max_size=60), st.floats(0.0, 1e9))
@example([1.0, 2.0, 3.0, 4.0, *[sys.float_info.max] * 5], 0.0)
def test_nothing_that_is_handed_in_can_break_it(latencies, waited):
    schedule = learn_schedule(latencies)
    assert 0.1 <= PollPolicy().next_wait(waited, schedule) <= 600.0


@pytest.mark.parametrize("impossible", IMPOSSIBLE, ids=str)
def test_what_cannot_be_teaches_nothing(impossible):
    assert learn_schedule([impossible] * FEWEST) is None
    assert learn_schedule([20.0, impossible] * FEWEST) == learn_schedule([20.0] * FEWEST)


def test_between_two_polls_the_next_one_stays_where_it_is():
    schedule = learn_schedule(drawn(Random(3), 50, 20.0))  # noqa: S311 - a simulation
    first = schedule.next_wait(0.0)
    second = first + schedule.next_wait(first)

    assert schedule.next_wait(-3600.0) == first
    assert first < first + schedule.next_wait(first / 2) < second + first
    assert 0.0 < schedule.next_wait(schedule.times[0]) <= first


def test_what_is_older_than_all_that_was_seen_is_polled_ever_more_rarely():
    schedule = learn_schedule([20.0] * 50)
    ages = [schedule.times[-1] * factor for factor in (0.99, 1.0, 2.0, 100.0, 1e6)]
    waits = [schedule.next_wait(age) for age in ages]
    assert all(earlier < later for earlier, later in pairwise(waits))
    assert max(PollPolicy().next_wait(age, schedule) for age in ages) == 600.0


# --- bounds ---------------------------------------------------------------------------------------


def test_bounds_that_a_user_set_hold_for_what_is_learned_too():
    schedule = learn_schedule([600.0] * 50)
    policy = PollPolicy(least=40.0, most=45.0)
    assert policy.next_wait(0.0, schedule) == 45.0
    assert PollPolicy(least=80.0).next_wait(600.0, schedule) == 80.0
    assert PollPolicy(most=10.0).next_wait(0.0, schedule) == 10.0


def test_bounds_that_nobody_set_are_those_of_the_first_rule():
    slow, fast = learn_schedule([1800.0] * 50), learn_schedule([0.05] * 50)
    assert PollPolicy().next_wait(0.0, slow) > 600.0 - 1e-9
    assert PollPolicy().next_wait(0.05, fast) == 0.1
    assert PollPolicy(learns=False).next_wait(0.0, slow) == 0.5
    assert PollPolicy().next_wait(1000.0) == 30.0
