"""The durability rule as tables: every state, policy and situation has exactly one action."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.attempt import Attempt, Endpoint
from prefect_responses.decisions.next_action import (
    Action,
    AskOwner,
    GiveUp,
    PlanNext,
    Poll,
    Resubmit,
    Return,
    Search,
    Situation,
    Submit,
    Wait,
    is_later_run,
    next_action,
    was_answered,
)
from prefect_responses.decisions.policies import (
    Backoff,
    CallPolicy,
    InDoubtMode,
    InDoubtPolicy,
    RetryPolicy,
)
from prefect_responses.statuses import ANSWERED, AttemptState, Outcome

NOW = 1000.0
SILENCE = {"error": "AnswerAmbiguous", "message": "It broke off."}
BARE_500 = SILENCE | {"status": 500}
OWNER_DIED = {"error": "OwnerDied", "message": "Its process died."}
SERVER_ERROR = {"error": "ResponseFailed", "code": "server_error"}
OTHER_ERROR = {"error": "ResponseFailed", "code": "invalid_prompt"}


def attempt(state=AttemptState.PLANNED, **facts):
    return Attempt(
        id="a1",
        scope="flow-run:1",
        name="request:x",
        ordinal=0,
        number=1,
        digest="x",
        endpoint=Endpoint("https://api.openai.com/v1"),
        credentials="environment",
        state=state,
        planned_at=NOW - 100,
        **facts,
    )


def settled(outcome, **facts):
    return attempt(AttemptState.SETTLED, outcome=outcome, **facts)


def doubt(mode=InDoubtMode.AUTO, most=2):
    backoff = Backoff(first=1.0, factor=3.0, most=30.0)
    return CallPolicy(in_doubt=InDoubtPolicy(mode, max_resubmissions=most, backoff=backoff))


def retrying(max_attempts):
    return CallPolicy(retry=RetryPolicy(max_attempts=max_attempts))


# --- before the API answered ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("not_before", "action"),
    [
        (None, Submit()),
        (NOW - 1, Submit()),
        (NOW, Submit()),
        (NOW + 0.001, Wait(NOW + 0.001)),
        (NOW + 3600, Wait(NOW + 3600)),
    ],
)
def test_a_planned_attempt_is_sent_when_its_time_has_come(not_before, action):
    assert next_action(attempt(not_before=not_before), Situation(NOW), CallPolicy()) == action


def test_an_attempt_that_is_being_submitted_is_its_owners():
    submitting = attempt(AttemptState.SUBMITTING, owner_id="somebody")
    assert next_action(submitting, Situation(NOW), CallPolicy()) == AskOwner()


def test_a_submitted_attempt_is_polled():
    submitted = attempt(AttemptState.SUBMITTED, response_id="resp_1")
    later = Situation(NOW, run=(9,), acts_outside=True)
    assert next_action(submitted, later, doubt(InDoubtMode.FAIL)) == Poll()


# --- in doubt -------------------------------------------------------------------------------------

AGAIN = Resubmit(NOW + 1.0)


@pytest.mark.parametrize(
    ("mode", "acts_outside", "error", "action"),
    [
        (InDoubtMode.AUTO, False, None, AGAIN),
        (InDoubtMode.AUTO, False, SILENCE, AGAIN),
        (InDoubtMode.AUTO, False, BARE_500, AGAIN),
        (InDoubtMode.AUTO, True, None, GiveUp()),
        (InDoubtMode.AUTO, True, SILENCE, GiveUp()),
        (InDoubtMode.AUTO, True, OWNER_DIED, GiveUp()),
        (InDoubtMode.AUTO, True, BARE_500, AGAIN),
        (InDoubtMode.RESUBMIT, False, SILENCE, AGAIN),
        (InDoubtMode.RESUBMIT, True, SILENCE, AGAIN),
        (InDoubtMode.RESUBMIT, True, OWNER_DIED, AGAIN),
        (InDoubtMode.FAIL, False, None, GiveUp()),
        (InDoubtMode.FAIL, False, BARE_500, GiveUp()),
        (InDoubtMode.FAIL, True, BARE_500, GiveUp()),
    ],
)
def test_a_doubt_is_resolved_by_its_policy(mode, acts_outside, error, action):
    doubted = attempt(AttemptState.IN_DOUBT, error=error)
    situation = Situation(NOW, acts_outside=acts_outside)
    assert next_action(doubted, situation, doubt(mode)) == action


@pytest.mark.parametrize(
    ("resubmissions", "most", "action"),
    [
        (0, 0, GiveUp()),
        (0, 1, Resubmit(NOW + 1)),
        (1, 1, GiveUp()),
        (1, 2, Resubmit(NOW + 3)),
        (2, 2, GiveUp()),
        (2, 9, Resubmit(NOW + 9)),
        (8, 9, Resubmit(NOW + 30)),
    ],
)
def test_resubmissions_are_bounded_and_wait_longer_each_time(resubmissions, most, action):
    doubted = attempt(AttemptState.IN_DOUBT, resubmissions=resubmissions)
    assert next_action(doubted, Situation(NOW), doubt(most=most)) == action


def test_a_doubt_is_never_repeated_because_the_flow_was_retried():
    doubted = attempt(AttemptState.IN_DOUBT, run=(1,))
    assert next_action(doubted, Situation(NOW, run=(2,)), doubt(InDoubtMode.FAIL)) == GiveUp()


@pytest.mark.parametrize(
    ("error", "answered"),
    [(None, False), ({}, False), (SILENCE, False), ({"status": None}, False), (BARE_500, True)],
)
def test_what_counts_as_an_answer(error, answered):
    assert was_answered(attempt(AttemptState.IN_DOUBT, error=error)) is answered


# --- after the end --------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("run", [(1,), (2,)], ids=["this run", "a later run"])
def test_how_a_run_and_a_later_run_take_each_outcome(outcome, run):
    ended = settled(outcome, run=(1,))
    replaced = run == (2,) and outcome not in {*ANSWERED, Outcome.SURPLUS}
    expected = PlanNext() if replaced else Return()
    assert next_action(ended, Situation(NOW, run=run), CallPolicy()) == expected


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.INCOMPLETE, Outcome.FAILED])
def test_a_rejected_answer_is_replaced_in_any_run(outcome):
    rejected = settled(outcome, run=(1,), rejected="wrong tone")
    assert next_action(rejected, Situation(NOW, run=(1,)), CallPolicy()) == PlanNext()


@pytest.mark.parametrize(
    ("error", "max_attempts", "in_run", "action"),
    [
        (SERVER_ERROR, 1, 1, Return()),
        (SERVER_ERROR, 2, 1, PlanNext()),
        (SERVER_ERROR, 2, 2, Return()),
        (SERVER_ERROR, 3, 2, PlanNext()),
        (OTHER_ERROR, 3, 1, Return()),
        ({"error": "ResponseFailed"}, 3, 1, Return()),
        (None, 3, 1, Return()),
    ],
)
def test_a_failure_is_retried_within_its_budget(error, max_attempts, in_run, action):
    failed = settled(Outcome.FAILED, run=(1,), error=error)
    situation = Situation(NOW, run=(1,), attempts_in_run=in_run)
    assert next_action(failed, situation, retrying(max_attempts)) == action


def test_an_answer_is_not_retried_whatever_its_error_says():
    cut = settled(Outcome.INCOMPLETE, error=SERVER_ERROR)
    assert next_action(cut, Situation(NOW), retrying(9)) == Return()


# --- later runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "than", "later"),
    [
        ((), (), False),
        ((2,), (), False),
        ((), (1,), False),
        ((1,), (1,), False),
        ((2,), (1,), True),
        ((1,), (2,), False),
        # A subflow's count starts at 1 again when its parent is retried.
        ((2, 1), (1, 3), True),
        ((1, 3), (2, 1), False),
        ((1, 2), (1, 1), True),
        ((1, 1), (1, 2), False),
        # Called in the parent and in a subflow: only what both know is compared.
        ((1, 5), (1,), False),
        ((2,), (1, 5), True),
        ((1,), (1, 5), False),
        # A later flow run of a named scope is a later run, whatever its run count.
        ((1700000060, 1), (1700000000, 4), True),
    ],
)
def test_a_later_run_is_told_from_the_outside_in(run, than, later):
    assert is_later_run(run, than) is later


@given(st.lists(st.integers(1, 5), max_size=4), st.lists(st.integers(1, 5), max_size=4))
def test_of_two_runs_at_most_one_is_later(one, other):
    assert not (is_later_run(tuple(one), tuple(other)) and is_later_run(tuple(other), tuple(one)))


# --- for any attempt ------------------------------------------------------------------------------

runs = st.lists(st.integers(1, 3), max_size=3).map(tuple)
errors = st.sampled_from([None, {}, SILENCE, BARE_500, OWNER_DIED, SERVER_ERROR, OTHER_ERROR])
attempts = st.builds(
    attempt,
    st.sampled_from(AttemptState),
    run=runs,
    error=errors,
    resubmissions=st.integers(0, 5),
    not_before=st.none() | st.floats(NOW - 10, NOW + 10),
    rejected=st.none() | st.just("no"),
).flatmap(
    lambda one: (
        st.sampled_from(Outcome).map(lambda outcome: replace(one, outcome=outcome))
        if one.state is AttemptState.SETTLED
        else st.just(one)
    )
)
situations = st.builds(
    Situation,
    now=st.just(NOW),
    run=runs,
    attempts_in_run=st.integers(1, 5),
    acts_outside=st.booleans(),
)
policies = st.builds(
    CallPolicy,
    in_doubt=st.builds(InDoubtPolicy, st.sampled_from(InDoubtMode), st.integers(0, 4)),
    retry=st.builds(RetryPolicy, st.integers(1, 4)),
)


@given(attempts, situations, policies)
def test_any_attempt_gets_one_action_and_always_the_same(one, situation, policy):
    action = next_action(one, situation, policy)

    assert isinstance(action, get_args(Action))
    assert next_action(one, situation, policy) == action


@given(attempts, situations, policies)
def test_only_a_planned_attempt_whose_time_has_come_is_sent(one, situation, policy):
    action = next_action(one, situation, policy)

    due = one.not_before is None or one.not_before <= situation.now
    planned = one.state is AttemptState.PLANNED
    assert isinstance(action, Submit) == (planned and due)
    assert isinstance(action, Wait) == (planned and not due)


@given(attempts, situations, policies)
def test_an_attempt_that_may_be_accepted_is_never_followed_by_another_unasked(
    one, situation, policy
):
    action = next_action(one, situation, policy)

    if isinstance(action, PlanNext):
        assert one.state is AttemptState.SETTLED
        assert one.rejected is not None or one.outcome not in ANSWERED
    if isinstance(action, Resubmit):
        assert one.state is AttemptState.IN_DOUBT
        assert policy.in_doubt.mode is not InDoubtMode.FAIL
        assert one.resubmissions < policy.in_doubt.max_resubmissions
        assert action.not_before > situation.now


@pytest.mark.parametrize(("state", "mode"), list(product(AttemptState, InDoubtMode)))
def test_which_kinds_of_action_a_state_has(state, mode):
    kinds = {
        AttemptState.PLANNED: {Submit, Wait},
        AttemptState.SUBMITTING: {AskOwner},
        AttemptState.IN_DOUBT: {Search} if mode is InDoubtMode.SEARCH else {Resubmit, GiveUp},
        AttemptState.SUBMITTED: {Poll},
        AttemptState.SETTLED: {Return, PlanNext},
    }
    outcome = Outcome.FAILED if state is AttemptState.SETTLED else None
    action = next_action(attempt(state, outcome=outcome), Situation(NOW), doubt(mode))
    assert type(action) in kinds[state]
