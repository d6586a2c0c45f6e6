from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.attempt import Attempt, Endpoint, Link
from prefect_responses.charges import AccountLimit, Charge, Price
from prefect_responses.decisions.ordinals import ClaimView
from prefect_responses.ledger.rows import (
    attempt_of,
    chain_text,
    claim_of,
    evolve,
    outcome_counts,
    state_counts,
    stored,
    values_of,
    words,
)
from prefect_responses.ledger.tables import attempts
from prefect_responses.statuses import (
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
    ResponseStatus,
)

texts = st.text(max_size=9)
times = st.none() | st.floats(0, 1e10)
objects = st.none() | st.dictionaries(texts, st.integers(-(2**53), 2**53) | texts | st.none())
amounts = st.integers(0, 2**53)
any_charge = st.builds(
    Charge,
    accounts=st.lists(
        st.builds(
            AccountLimit, texts, st.none() | amounts, st.none() | amounts, st.none() | amounts
        )
    ).map(tuple),
    usd=amounts,
    tokens=amounts,
    price=st.none() | st.builds(Price, amounts, amounts, amounts),
)
any_attempt = st.builds(
    Attempt,
    id=texts,
    scope=texts,
    name=texts,
    ordinal=st.integers(0, 99),
    number=st.integers(1, 99),
    digest=texts,
    endpoint=st.builds(Endpoint, texts, texts, texts),
    credentials=texts,
    state=st.sampled_from(AttemptState),
    planned_at=st.floats(0, 1e10),
    outcome=st.none() | st.sampled_from(Outcome),
    response_id=st.none() | texts,
    remote_status=st.none() | st.sampled_from(ResponseStatus),
    client_request_id=st.none() | texts,
    server_request_id=st.none() | texts,
    owner_id=st.none() | texts,
    fence=st.integers(0, 9),
    run=st.lists(st.integers(0, 9)).map(tuple),
    flow_run_id=st.none() | texts,
    task_run_id=st.none() | texts,
    resubmissions=st.integers(0, 2),
    not_before=times,
    deadline_at=times,
    expires_at=times,
    submitting_at=times,
    submitted_at=times,
    settled_at=times,
    delivered_at=times,
    rejected=st.none() | texts,
    polls=st.integers(0, 99),
    usage=objects,
    error=objects,
    model=st.none() | texts,
    streamed=st.none() | st.booleans(),
    cancel_reason=st.none() | st.sampled_from(CancelReason),
    cancel_wanted_at=times,
    cancel_answer=st.none() | st.sampled_from(CancelAnswer),
    cancel_answered_at=times,
    watch_until=times,
    orphaned_at=times,
    warned_at=times,
    latency=times,
    row_class=st.none() | texts,
    charge=st.none() | any_charge,
    cost=st.none() | amounts,
    replay=st.none() | texts,
)


@given(any_attempt)
def test_an_attempt_comes_back_as_it_went(attempt):
    values = values_of(attempt)

    row = [values.get(column.name) for column in attempts.columns]

    assert attempt_of(row) == attempt
    assert all(type(value) in {str, int, float} for value in values.values())


def test_every_fact_of_an_attempt_has_a_column():
    columns = [column.name for column in attempts.columns]
    endpoint = [field.name for field in fields(Endpoint)]
    facts = [field.name for field in fields(Attempt)]
    at = facts.index("endpoint")

    assert columns == facts[:at] + endpoint + facts[at + 1 :]


@given(any_attempt, any_attempt)
def test_evolving_is_replacing(attempt, other):
    facts = {"state": other.state, "run": other.run, "error": other.error, "id": other.id}
    facts |= {"latency": other.latency, "streamed": other.streamed}

    assert evolve(attempt, facts) == replace(attempt, **facts)


def test_facts_are_stored_as_words():
    facts = {"state": AttemptState.SETTLED, "outcome": None, "usage": {"a": 1}, "polls": 2}

    assert stored(facts) == {"state": "settled", "outcome": None, "usage": '{"a":1}', "polls": 2}
    assert type(stored(facts)["state"]) is str
    words_of_cancels = {"cancel_reason": CancelReason.ASKED, "cancel_answer": CancelAnswer.GONE}
    assert stored(words_of_cancels) == {"cancel_reason": "asked", "cancel_answer": "gone"}
    assert [stored({"streamed": flag})["streamed"] for flag in (None, False, True)] == [None, 0, 1]
    assert type(stored({"streamed": True})["streamed"]) is int
    assert words([AttemptState.PLANNED]) == ["planned"]
    assert words(None) is None


def test_a_claim_comes_back_as_it_went():
    chain = (Link("flow", 1), Link("task", 2))

    assert claim_of(3, chain_text(chain), None) == ClaimView(3, chain)
    assert claim_of(3, chain_text(chain), 9.0) == ClaimView(3, chain, dropped=True)


def test_counts_are_by_word():
    counts = [("settled", "failed", 2), ("settled", "expired", 1), ("planned", None, 5)]

    assert state_counts(counts) == {AttemptState.SETTLED: 3, AttemptState.PLANNED: 5}
    assert outcome_counts(counts) == {Outcome.FAILED: 2, Outcome.EXPIRED: 1}
