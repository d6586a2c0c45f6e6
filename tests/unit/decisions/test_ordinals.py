from __future__ import annotations

from dataclasses import replace

import pytest

from prefect_responses.attempt import Attempt, Endpoint, Link
from prefect_responses.decisions.ordinals import (
    ClaimView,
    choose_ordinal,
    holds_answer,
    live_claims,
    rival_of,
    speaking_attempt,
)
from prefect_responses.statuses import AttemptState, Outcome

HERE = (Link("flow", 1), Link("task-a", 1))
THERE = (Link("flow", 1), Link("task-b", 1))
FLOW_AGAIN = (Link("flow", 2), Link("task-a", 1))
TASK_AGAIN = (Link("flow", 1), Link("task-a", 2))


def claim(ordinal, chain=HERE, *, dropped=False):
    return ClaimView(ordinal, chain, dropped=dropped)


@pytest.mark.parametrize(
    ("delivered", "claims", "chain", "chosen"),
    [
        pytest.param({}, [], HERE, 0, id="nothing is there: the first"),
        pytest.param({0: False}, [], HERE, 0, id="an orphan is taken over"),
        pytest.param({0: True}, [], HERE, 0, id="a delivered one is returned again"),
        pytest.param({0: True, 1: False}, [], HERE, 1, id="undelivered first"),
        pytest.param({2: False, 1: False}, [], HERE, 1, id="then the lowest"),
        pytest.param({1: True, 0: True}, [], HERE, 0, id="the lowest delivered"),
        pytest.param({0: False}, [claim(0)], HERE, 1, id="held by a sister call"),
        pytest.param({0: False}, [claim(0)], THERE, 1, id="held by another task"),
        pytest.param({0: False, 5: False}, [claim(0), claim(5)], HERE, 6, id="above the highest"),
        pytest.param({0: False, 5: True}, [claim(0)], HERE, 5, id="delivered before a new one"),
        pytest.param({0: False}, [claim(0, dropped=True)], HERE, 0, id="dropped"),
        pytest.param({0: False}, [claim(0)], TASK_AGAIN, 0, id="our task was retried"),
        pytest.param({0: False}, [claim(0)], FLOW_AGAIN, 0, id="our flow was retried"),
        pytest.param({0: False}, [claim(0, TASK_AGAIN)], HERE, 1, id="we are the earlier attempt"),
        pytest.param(
            {0: False, 1: False},
            [claim(0), claim(1, TASK_AGAIN)],
            THERE,
            0,
            id="another claim shows that the task was retried",
        ),
        pytest.param(
            {0: False, 1: False},
            [claim(0), claim(1, TASK_AGAIN, dropped=True)],
            THERE,
            0,
            id="so does one that was dropped since",
        ),
        pytest.param({0: False}, [claim(0, ())], (), 1, id="no chain is known: only drops free"),
        pytest.param(
            {0: False}, [claim(0), claim(0)], HERE, 1, id="claimed twice by fixed ordinal"
        ),
        pytest.param({}, [claim(3)], HERE, 0, id="a claim without an attempt holds nothing else"),
    ],
)
def test_choose_ordinal(delivered, claims, chain, chosen):
    assert choose_ordinal(delivered, claims, chain) == chosen


def test_live_claims_keep_their_order():
    claims = [claim(2, THERE), claim(0), claim(1, dropped=True)]

    assert live_claims(claims, HERE) == [claim(2, THERE), claim(0)]
    assert live_claims(claims, TASK_AGAIN) == [claim(2, THERE)]


PLANNED = Attempt(
    id="1",
    scope="s",
    name="n",
    ordinal=0,
    number=1,
    digest="d",
    endpoint=Endpoint("https://api.example.com/v1"),
    credentials="environment",
    state=AttemptState.PLANNED,
    planned_at=1.0,
)


def attempt(number, state, *, digest="d", rejected=None):
    """An attempt in a state, or settled with an outcome."""
    facts = {"state": state}
    if isinstance(state, Outcome):
        facts = {"state": AttemptState.SETTLED, "outcome": state}
    return replace(
        PLANNED, id=str(number), number=number, digest=digest, rejected=rejected, **facts
    )


@pytest.mark.parametrize(
    ("state", "holds"),
    [
        (AttemptState.PLANNED, False),
        (AttemptState.SUBMITTING, False),
        (AttemptState.IN_DOUBT, False),
        (AttemptState.SUBMITTED, True),
        (Outcome.COMPLETED, True),
        (Outcome.INCOMPLETE, True),
        (Outcome.FAILED, False),
        (Outcome.CANCELLED, False),
        (Outcome.EXPIRED, False),
        (Outcome.REFUSED, False),
        (Outcome.ABANDONED, False),
        (Outcome.SURPLUS, False),
    ],
)
def test_who_holds_an_answer(state, holds):
    assert holds_answer(attempt(1, state)) is holds
    assert (rival_of(attempt(2, AttemptState.PLANNED), [attempt(1, state)]) is not None) is holds


def test_a_rejected_answer_is_none():
    assert not holds_answer(attempt(1, Outcome.COMPLETED, rejected="no good"))


def test_an_attempt_is_not_its_own_rival_and_another_request_is_none():
    submitted = attempt(1, AttemptState.SUBMITTED)
    other_request = attempt(2, AttemptState.SUBMITTED, digest="e")

    assert rival_of(submitted, [submitted, other_request]) is None


@pytest.mark.parametrize(
    ("siblings", "speaks"),
    [
        pytest.param([attempt(1, AttemptState.PLANNED)], 1, id="the only one"),
        pytest.param(
            [attempt(1, Outcome.FAILED), attempt(2, AttemptState.PLANNED)], 2, id="latest"
        ),
        pytest.param(
            [attempt(1, AttemptState.SUBMITTED), attempt(2, Outcome.SURPLUS)],
            1,
            id="surplus does not speak",
        ),
        pytest.param([attempt(1, Outcome.SURPLUS)], 1, id="unless it is alone"),
        pytest.param(
            [attempt(1, AttemptState.SUBMITTED), attempt(2, AttemptState.SUBMITTING)],
            1,
            id="accepted late, before the one that follows",
        ),
        pytest.param(
            [attempt(1, Outcome.COMPLETED), attempt(2, AttemptState.PLANNED)],
            1,
            id="and answered",
        ),
        pytest.param(
            [attempt(1, Outcome.COMPLETED, rejected="no"), attempt(2, AttemptState.PLANNED)],
            2,
            id="but not a rejected answer",
        ),
        pytest.param(
            [attempt(1, AttemptState.SUBMITTED), attempt(2, AttemptState.PLANNED, digest="e")],
            2,
            id="nor one to another request",
        ),
        pytest.param(
            [attempt(1, Outcome.COMPLETED), attempt(2, AttemptState.SUBMITTED)],
            2,
            id="of two accepted the later",
        ),
        pytest.param(
            [
                attempt(1, Outcome.COMPLETED),
                attempt(2, Outcome.COMPLETED),
                attempt(3, Outcome.FAILED),
            ],
            2,
            id="the latest of several rivals",
        ),
    ],
)
def test_speaking_attempt(siblings, speaks):
    assert speaking_attempt(siblings).number == speaks
