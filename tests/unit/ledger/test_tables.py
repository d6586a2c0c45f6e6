from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from prefect_responses.attempt import Attempt, Endpoint
from prefect_responses.ledger import job_statements, lookups, statements
from prefect_responses.ledger.rows import values_of
from prefect_responses.ledger.tables import metadata
from prefect_responses.statuses import (
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
    ResponseStatus,
)

VALUES = values_of(
    Attempt("1", "s", "n", 0, 1, "d", Endpoint("u"), "c", AttemptState.PLANNED, planned_at=1.0)
)


@pytest.fixture
def connection():
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def store(connection, **facts):
    connection.execute(statements.add_attempts(), [VALUES | facts])


@pytest.mark.parametrize("status", [None, *ResponseStatus])
def test_every_status_can_be_stored(connection, status):
    store(connection, remote_status=status and str(status))


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_can_be_stored(connection, outcome):
    store(connection, state="settled", outcome=str(outcome), response_id="resp_1")


@pytest.mark.parametrize("state", sorted(set(AttemptState) - {AttemptState.SETTLED}))
def test_every_state_can_be_stored(connection, state):
    store(connection, state=str(state), owner_id="o", submitting_at=1.0, response_id="resp_1")


@pytest.mark.parametrize("reason", [None, *CancelReason])
def test_every_reason_to_cancel_can_be_stored(connection, reason):
    store(connection, cancel_reason=reason and str(reason))


@pytest.mark.parametrize("answer", [None, *CancelAnswer])
def test_every_answer_to_a_cancel_can_be_stored(connection, answer):
    store(connection, cancel_answer=answer and str(answer))


@pytest.mark.parametrize("streamed", [None, 0, 1])
def test_whether_it_streams_can_be_stored(connection, streamed):
    store(connection, streamed=streamed)


@pytest.mark.parametrize(
    ("facts", "constraint"),
    [
        ({"state": "lost"}, "state_known"),
        ({"state": "settled", "outcome": "lost"}, "outcome_known"),
        ({"remote_status": "lost"}, "remote_status_known"),
        ({"cancel_reason": "lost"}, "cancel_reason_known"),
        ({"cancel_answer": "lost"}, "cancel_answer_known"),
        ({"streamed": 2}, "streamed_known"),
        ({"state": "settled"}, "attempts_settled"),
        ({"outcome": "failed"}, "attempts_settled"),
        ({"state": "submitting", "submitting_at": 1.0}, "attempts_submitting"),
        ({"state": "submitting", "owner_id": "o"}, "attempts_submitting"),
        ({"state": "submitted"}, "attempts_submitted"),
        ({"state": "settled", "outcome": "completed"}, "attempts_completed"),
        ({"ordinal": -1}, "attempts_counted"),
        ({"number": 0}, "attempts_counted"),
        ({"id": "2"}, "ordinal"),
        ({"number": 2}, "attempts.id"),
        ({"id": "2", "number": 2, "scope": None}, "attempts.scope"),
    ],
)
def test_what_cannot_be_is_not_stored(connection, facts, constraint):
    store(connection)
    if set(facts).isdisjoint({"id", "number"}):
        facts = {"id": "2", "number": 2} | facts
    elif facts == {"number": 0}:
        facts = {"id": "2", "number": 0}

    with pytest.raises(IntegrityError, match=constraint):
        store(connection, **facts)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (lookups.attempts_of_ordinal("s", "n", 0), "sqlite_autoindex_attempts_2"),
        (lookups.attempts_by_response("u", "resp_1"), "attempts_response"),
        (lookups.attempts_in_order("s", None, None, None, 9), "attempts_of_scope"),
        (lookups.attempts_in_order(None, None, None, (1.0, "1"), 9), "attempts_in_order"),
        (lookups.attempts_in_order(None, ["planned"], None, None, 9), "attempts_unsettled"),
        (lookups.attempts_in_order(None, None, "f", None, 9), "attempts_of_flow_run"),
        (lookups.owed_cancels(9), "attempts_owed"),
        (lookups.due_attempts(None, 9, expiring=True), "attempts_due"),
        (lookups.due_attempts((1.0, "1"), 9, expiring=True), "attempts_due"),
        (lookups.due_attempts((None, "1"), 9, expiring=False), "attempts_due"),
        (lookups.watched_attempts(1.0), "attempts_watched"),
        (lookups.last_latencies("u", "m", 9), "attempts_timed"),
        (lookups.last_latencies("u", None, 9), "attempts_timed"),
        (lookups.overdue_attempts(1.0, 9), "attempts_to_end"),
        (lookups.standings_of_names("s", ["n", "m"]), "sqlite_autoindex_attempts_2"),
        (lookups.names_of_scope("s", "n", 9), "sqlite_autoindex_attempts_2"),
        (job_statements.sent_charges(), "attempts_unsettled"),
        (lookups.unsettled_runs(), "attempts_unsettled"),
        (lookups.unsettled_among("flow_run_id", ["f"]), "attempts_of_flow_run"),
        (lookups.unsettled_among("scope", ["s"]), "attempts_of_scope"),
        (lookups.unclaimed_attempts("s", "e"), "claims_of_execution"),
        (lookups.progress_of("1"), "sqlite_autoindex_streams_1"),
        (statements.unsettled_attempts(None), "attempts_unsettled"),
        (statements.siblings_of().params(ids=["1", "2"]), "sqlite_autoindex_attempts_1"),
        (statements.siblings_of().params(ids=["1", "2"]), "sqlite_autoindex_attempts_2"),
        (
            statements.attempts_named().params(
                calls=[("s", "n"), ("s", "m")], scopes=["s"], names=["n", "m"]
            ),
            "sqlite_autoindex_attempts_2",
        ),
        (
            statements.carriers_of().params(
                responses=[("u", "1"), ("u", "2")], base_urls=["u"], response_ids=["1", "2"]
            ),
            "attempts_response",
        ),
        (
            statements.claims_under().params(
                ids=["1"], calls=[("s", "n", "e")], scopes=["s"], names=["n"], executions=["e"]
            ),
            "claims_of_execution",
        ),
    ],
)
def test_reads_find_their_index(connection, statement, index):
    compiled = statement.compile(
        connection, compile_kwargs={"render_postcompile": True, "literal_binds": True}
    )
    plan = connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")).all()

    assert index in str(plan)
    assert all("INDEX" in row[3] for row in plan if row[3].startswith("SCAN attempts"))


@pytest.mark.parametrize(
    "statement",
    [
        lookups.owed_cancels(9),
        lookups.due_attempts((1.0, "1"), 9, expiring=True),
        lookups.due_attempts((None, "1"), 9, expiring=False),
        lookups.watched_attempts(1.0),
        lookups.overdue_attempts(1.0, 9),
        lookups.names_of_scope("s", "n", 9),
        lookups.last_latencies("u", "m", 9),
    ],
)
def test_their_index_gives_them_their_order_too(connection, statement):
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    plan = connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")).all()

    assert "TEMP B-TREE" not in str(plan)
