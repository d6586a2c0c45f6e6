"""What a deadline, a cancel that is owed and the way of waiting make of the next action."""

from __future__ import annotations

import pytest

from prefect_responses.attempt import Attempt, Endpoint
from prefect_responses.decisions.next_action import (
    Abandon,
    Cancel,
    Follow,
    GiveUp,
    LeaveRunning,
    PlanNext,
    Poll,
    Return,
    Search,
    Situation,
    Submit,
    Wait,
    Watch,
    next_action,
)
from prefect_responses.decisions.policies import (
    AwaitMode,
    CallPolicy,
    InDoubtMode,
    InDoubtPolicy,
    TimeoutPolicy,
)
from prefect_responses.decisions.timeouts import (
    DEADLINE_PASSED,
    TimeoutOutcome,
    timeout_outcome,
)
from prefect_responses.statuses import AttemptState, CancelAnswer, CancelReason, Outcome

NOW = 1000.0
PAST, SOON = NOW - 1.0, NOW + 50.0
GRACE = 10.0
POLICY = CallPolicy(timeout=TimeoutPolicy(grace=GRACE))
DEADLINE = CancelReason.DEADLINE


def attempt(state=AttemptState.SUBMITTED, **facts):
    if state is AttemptState.SUBMITTED:
        facts = {"response_id": "resp_1"} | facts
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


def wanted(ago=1.0, reason=DEADLINE, **facts):
    return {"cancel_reason": reason, "cancel_wanted_at": NOW - ago} | facts


def answered(ago, answer=CancelAnswer.TAKEN, **facts):
    return wanted(ago, cancel_answer=answer, cancel_answered_at=NOW - ago, **facts)


PLANNED, DOUBT = AttemptState.PLANNED, AttemptState.IN_DOUBT

CASES = {
    "not sent, and late": (attempt(PLANNED, deadline_at=PAST), Abandon()),
    "not sent, and in time": (attempt(PLANNED, deadline_at=SOON), Submit()),
    "its turn comes in time": (
        attempt(PLANNED, deadline_at=SOON, not_before=NOW + 5),
        Wait(NOW + 5),
    ),
    "its turn would come too late": (
        attempt(PLANNED, deadline_at=SOON, not_before=NOW + 500),
        Wait(SOON),
    ),
    "in doubt, and late": (attempt(DOUBT, deadline_at=PAST), GiveUp()),
    "at work, and in time": (attempt(deadline_at=SOON), Poll(SOON)),
    "at work, and late": (attempt(deadline_at=PAST), Cancel(DEADLINE)),
    "streamed, and in time": (attempt(streamed=True, deadline_at=SOON), Follow(SOON)),
    "streamed, and late": (attempt(streamed=True, deadline_at=PAST), Cancel(DEADLINE)),
    "a cancel is owed": (attempt(**wanted(), deadline_at=PAST), Cancel(DEADLINE)),
    "a cancel is owed for another reason": (
        attempt(**wanted(reason=CancelReason.FLOW_RUN_CANCELLED)),
        Cancel(CancelReason.FLOW_RUN_CANCELLED),
    ),
    "a cancel could not be delivered": (
        attempt(**wanted(GRACE + 1), deadline_at=PAST),
        LeaveRunning(),
    ),
    "a cancel for another reason could not be delivered": (
        attempt(**wanted(GRACE + 1, CancelReason.ASKED)),
        Poll(None),
    ),
    "cancelled, not yet ended": (
        attempt(**answered(2.0), deadline_at=PAST),
        Poll(NOW - 2.0 + GRACE),
    ),
    "cancelled, and never ended": (
        attempt(**answered(GRACE + 1), deadline_at=PAST),
        LeaveRunning(),
    ),
    "cancelled for another reason, and streamed": (
        attempt(**answered(99.0, reason=CancelReason.ASKED), streamed=True),
        Poll(None),
    ),
    "ended as cancelled a moment ago": (
        settled(Outcome.CANCELLED, **answered(2.0)),
        Watch(NOW - 2.0 + GRACE),
    ),
    "ended as cancelled, and watched long enough": (
        settled(Outcome.CANCELLED, **answered(GRACE + 1)),
        Return(),
    ),
    "ended as cancelled by somebody": (
        settled(Outcome.CANCELLED, **answered(2.0, reason=CancelReason.ASKED)),
        Return(),
    ),
    "ended as completed after the cancel": (
        settled(Outcome.COMPLETED, **answered(2.0)),
        Return(),
    ),
}


@pytest.mark.parametrize(("given", "action"), CASES.values(), ids=CASES.keys())
def test_the_next_action(given, action):
    assert next_action(given, Situation(NOW), POLICY) == action


def test_a_later_caller_tries_for_the_whole_grace_again():
    owed = attempt(**wanted(5000.0), deadline_at=PAST)
    told = attempt(**answered(5000.0), deadline_at=PAST)
    fresh = Situation(NOW, since=NOW - 1.0)

    assert next_action(owed, fresh, POLICY) == Cancel(DEADLINE)
    assert next_action(told, fresh, POLICY) == Poll(NOW - 1.0 + GRACE)


def test_a_later_run_watches_first_and_pays_again_then():
    cancelled = settled(Outcome.CANCELLED, run=(1,), delivered_at=PAST, **answered(2.0))

    assert isinstance(next_action(cancelled, Situation(NOW, run=(2,)), POLICY), Watch)
    later = Situation(NOW + GRACE, run=(2,))
    assert next_action(cancelled, later, POLICY) == PlanNext()


def test_a_later_run_hears_of_a_deadline_that_nobody_was_told_of():
    untold = settled(Outcome.CANCELLED, run=(1,), settled_at=PAST, **answered(GRACE + 1))
    not_sent = settled(Outcome.ABANDONED, run=(1,), error={"error": DEADLINE_PASSED})

    later = Situation(NOW, since=NOW, run=(2,))
    assert next_action(untold, later, POLICY) == Return()
    assert next_action(not_sent, later, POLICY) == Return()


def test_a_search_does_not_mind_the_deadline():
    policy = CallPolicy(in_doubt=InDoubtPolicy(InDoubtMode.SEARCH))

    assert next_action(attempt(DOUBT, deadline_at=SOON), Situation(NOW), policy) == Search()


@pytest.mark.parametrize(
    ("mode", "streamed", "kind"),
    [
        (AwaitMode.AUTO, None, Poll),
        (AwaitMode.AUTO, True, Follow),
        (AwaitMode.AUTO, False, Poll),
        (AwaitMode.POLL, True, Poll),
        (AwaitMode.STREAM, None, Follow),
        (AwaitMode.STREAM, True, Follow),
        (AwaitMode.STREAM, False, Poll),
    ],
)
def test_the_way_of_waiting(mode, streamed, kind):
    action = next_action(attempt(streamed=streamed), Situation(NOW), CallPolicy(mode))

    assert action == kind(None)


OUTCOMES = {
    "no deadline": (attempt(), None),
    "cancelled by somebody": (
        settled(Outcome.CANCELLED, **answered(2.0, reason=CancelReason.ASKED)),
        None,
    ),
    "cancelled": (settled(Outcome.CANCELLED, **answered(2.0)), TimeoutOutcome.CANCELLED),
    "completed": (settled(Outcome.COMPLETED, **answered(2.0)), TimeoutOutcome.COMPLETED),
    "cut short": (settled(Outcome.INCOMPLETE, **answered(2.0)), TimeoutOutcome.COMPLETED),
    "failed by itself": (settled(Outcome.FAILED, **answered(2.0)), None),
    "refused": (
        attempt(**answered(2.0, CancelAnswer.REFUSED)),
        TimeoutOutcome.CANCEL_REFUSED,
    ),
    "taken, and never ended": (attempt(**answered(2.0)), TimeoutOutcome.UNKNOWN),
    "never delivered": (attempt(**wanted()), TimeoutOutcome.UNKNOWN),
    "never sent": (
        settled(Outcome.ABANDONED, error={"error": DEADLINE_PASSED}),
        TimeoutOutcome.NOT_SENT,
    ),
}


@pytest.mark.parametrize(("given", "outcome"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_what_a_deadline_came_to(given, outcome):
    assert timeout_outcome(given) is outcome


@pytest.mark.parametrize(
    ("policy", "deadline"),
    [
        (TimeoutPolicy(), None),
        (TimeoutPolicy(seconds=5.0), NOW + 5.0),
        (TimeoutPolicy(at=NOW + 9.0), NOW + 9.0),
        (TimeoutPolicy(seconds=5.0, at=NOW + 9.0), NOW + 5.0),
        (TimeoutPolicy(seconds=50.0, at=NOW + 9.0), NOW + 9.0),
    ],
)
def test_the_deadline_of_an_attempt_is_the_earlier_of_its_own_and_the_given_one(policy, deadline):
    assert policy.deadline(NOW) == deadline
