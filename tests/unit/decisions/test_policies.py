from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.decisions.policies import (
    ACTING_TOOLS,
    Backoff,
    CallPolicy,
    InDoubtMode,
    InDoubtPolicy,
    OnChange,
    PollPolicy,
    RetryPolicy,
)

seconds = st.floats(0.001, 1000)


@pytest.mark.parametrize(
    ("tries", "wait"), [(-1, 1.0), (0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0)]
)
def test_waits_double_up_to_the_most(tries, wait):
    assert Backoff().wait(tries) == wait


@given(seconds, st.floats(1, 10), seconds, st.integers(1, 60))
def test_waits_never_shrink_and_never_exceed_the_most(first, factor, most, tries):
    backoff = Backoff(first, factor, most)
    waits = [backoff.wait(n) for n in range(1, tries + 1)]

    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert max(waits) <= most


def test_a_million_tries_wait_the_most():
    assert Backoff().wait(1_000_000) == 60.0


@pytest.mark.parametrize(
    ("waited", "wait"),
    [(0.0, 0.5), (1.0, 0.5), (4.0, 0.6), (100.0, 15.0), (200.0, 30.0), (86400.0, 30.0)],
)
def test_polls_are_a_share_of_the_time_waited(waited, wait):
    assert PollPolicy().next_wait(waited) == pytest.approx(wait)


@given(st.floats(0, 1e9))
def test_polls_stay_between_their_bounds(waited):
    policy = PollPolicy(least=2.0, most=7.0)
    assert 2.0 <= policy.next_wait(waited) <= 7.0


def test_a_clock_that_was_set_back_polls_at_the_least():
    assert PollPolicy().next_wait(-3600.0) == 0.5


def test_a_response_of_an_hour_takes_few_polls():
    policy, waited, polls = PollPolicy(), 0.0, 0
    while waited < 3600:
        waited += policy.next_wait(waited)
        polls += 1
    assert polls < 200


def test_what_a_call_does_unless_told_otherwise():
    policy = CallPolicy()
    assert policy.in_doubt == InDoubtPolicy(InDoubtMode.AUTO, 2, Backoff(1.0, 2.0, 30.0))
    assert policy.retry == RetryPolicy(max_attempts=1)
    assert "invalid_prompt" not in policy.retry.codes
    assert policy.unreachable_tries == 4


def test_words_that_users_write():
    assert [mode.value for mode in InDoubtMode] == ["auto", "resubmit", "fail", "search"]
    assert [change.value for change in OnChange] == ["error", "adopt", "resubmit"]


def test_tools_that_only_read_do_not_act_outside():
    assert not ACTING_TOOLS & {"web_search", "file_search", "function", "image_generation"}
    assert {"mcp", "computer", "shell", "code_interpreter"} <= ACTING_TOOLS
