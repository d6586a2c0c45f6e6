from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields

import pytest

from prefect_responses.attempt import Attempt, Draft, Endpoint, Link, Origin
from prefect_responses.statuses import AttemptState, CancelAnswer, Outcome

HERE = Endpoint("https://api.openai.com/v1", "org", "proj")


def attempt(state=AttemptState.SUBMITTED, **facts):
    return Attempt(
        id="a1",
        scope="s",
        name="key:k",
        ordinal=0,
        number=1,
        digest="d",
        endpoint=HERE,
        credentials="environment",
        state=state,
        planned_at=1.0,
        **facts,
    )


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_an_answer_is_a_completed_or_incomplete_outcome(outcome):
    state = AttemptState.SETTLED if outcome else AttemptState.SUBMITTED
    answered = outcome in {Outcome.COMPLETED, Outcome.INCOMPLETE}

    assert attempt(state, outcome=outcome).is_answered is answered
    assert attempt(state, outcome=outcome, rejected="no").is_answered is False


@pytest.mark.parametrize("state", list(AttemptState))
def test_only_settled_is_settled(state):
    assert attempt(state).is_settled is (state is AttemptState.SETTLED)


OWING = {"cancel_wanted_at": 1.0, "response_id": "resp_1"}


@pytest.mark.parametrize(
    ("state", "facts", "owes"),
    [
        (AttemptState.SUBMITTED, OWING, True),
        (AttemptState.SETTLED, OWING | {"outcome": Outcome.SURPLUS}, True),
        (AttemptState.SUBMITTED, OWING | {"cancel_wanted_at": None}, False),
        (AttemptState.SUBMITTED, OWING | {"cancel_answer": CancelAnswer.TAKEN}, False),
        (AttemptState.SUBMITTED, OWING | {"response_id": None}, False),
        (AttemptState.SUBMITTING, OWING, False),
        (AttemptState.IN_DOUBT, OWING, False),
        *((AttemptState.SETTLED, OWING | {"outcome": o}, o is Outcome.SURPLUS) for o in Outcome),
    ],
)
def test_a_cancel_is_owed_while_it_can_do_something(state, facts, owes):
    assert attempt(state, **facts).owes_cancel is owes


def test_the_key_is_short_enough_for_metadata():
    one = attempt()
    assert one.key == one.id
    assert len(one.key) <= 512


def test_records_are_values():
    one = attempt(error={"a": 1}, usage={"b": 2})

    assert one == attempt(error={"a": 1}, usage={"b": 2})
    assert hash(one) == hash(attempt(error={"a": 2}))
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own
    with pytest.raises(FrozenInstanceError):
        one.state = AttemptState.PLANNED


def test_drafts_and_origins_travel():
    draft = Draft("s", "n", "d", HERE, "environment", b"{}")
    origin = Origin("s", "e", (Link("r", 1),), (1, 2))
    for value in (draft, origin):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own
        assert hash(value) == hash(value)


@pytest.mark.parametrize("record", [Attempt, Draft, Endpoint])
def test_no_field_is_for_a_secret(record):
    secret_words = {"api_key", "key", "secret", "token", "password"}
    assert not secret_words & {field.name for field in fields(record)}
