"""What is said of a pass before anything is sent, and the sets that it is found with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.attempt import Endpoint
from prefect_responses.decisions.row_selection import RowChoice
from prefect_responses.enrichment.key_sets import KeySet, key_hash
from prefect_responses.enrichment.plans import JobPlan, PlanCounter
from prefect_responses.enrichment.row_requests import RowRequests
from prefect_responses.identity import canonical_json, request_digest

PLAN = JobPlan(
    job="reviews",
    rows=1234,
    choices={RowChoice.NEW: 1000, RowChoice.CHANGED: 3, RowChoice.REUSE: 200, RowChoice.LEAVE: 31},
    changed_because=("the model",),
    left={"schema": 30, "failed": 1},
    vanished=7,
    vanished_names=("a\x1b[31m", "b"),
)


def test_a_plan_as_people_read_it():
    assert PLAN.as_lines() == [
        "reviews: 1,234 rows, 1,003 of them to be paid for",
        "  new: 1,000",
        "  changed: 3 (because of the model)",
        "  finished: 200",
        "  left as they are: 31 (schema 30, kept until a replay; failed 1, asked often enough)",
        "  no longer in the table: 7 (a\N{REPLACEMENT CHARACTER}[31m, b …)",
    ]


def test_what_a_plan_adds_up_to():
    assert (PLAN.driven, PLAN.paid, PLAN.answered) == (1003, 1003, 230)
    assert [name for name, _ in PLAN.notable()] == [
        "changed",
        "left as they are",
        "no longer in the table",
    ]
    assert JobPlan.model_validate_json(PLAN.model_dump_json()) == PLAN


def test_a_plan_without_changes_gives_no_reason_for_them():
    counter = PlanCounter()
    counter.add(RowChoice.NEW, None)

    plan = counter.plan("reviews", ("the rows' own text",), 0, ())

    assert (plan.rows, plan.choices, plan.changed_because) == (1, {RowChoice.NEW: 1}, ())


# --- keys -----------------------------------------------------------------------------------------


@given(st.lists(st.text()), st.text())
def test_a_key_set_knows_its_keys(keys, other):
    known = KeySet()
    for key in keys:
        known.add(key)

    assert len(known) == len(keys)
    assert all(key in known for key in keys)
    assert (other in known) is (other in keys)
    twice = {key_hash(key) for key in keys if keys.count(key) > 1}
    assert set(known.twice()) == twice


def test_keys_can_be_added_after_a_question():
    known = KeySet()
    known.add("a")
    assert "b" not in known
    known.add("b")
    assert "b" in known


# --- requests -------------------------------------------------------------------------------------

ENDPOINT = Endpoint("https://api.example.com/v1", "org")
FIXED = {"model": "m", "text": {"format": {"schema": {"type": "object"}}}, "metadata": None}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_rows_request_is_the_one_that_its_digest_was_always_taken_of(text):
    requests = RowRequests(FIXED, ENDPOINT, "3")
    request = {**FIXED, "input": text}

    assert requests.request(text) == request
    assert requests.as_json(text) == canonical_json(request)
    assert requests.digest(text) == request_digest(request, ENDPOINT, version="3")
