from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.enrichment.rows import (
    DEAD,
    REPLAY_RULES,
    REPLAYABLE,
    ReplayRule,
    RowOutcome,
    key_values,
    row_key,
)
from prefect_responses.errors import TableInvalid

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
parts = st.lists(texts, min_size=1, max_size=4).filter(
    lambda values: any(v.strip() for v in values)
)


def test_every_outcome_has_a_replay_rule() -> None:
    assert set(REPLAY_RULES) == set(RowOutcome)


def test_what_can_be_replayed_by_name_is_what_was_paid_for_and_is_no_answer() -> None:
    assert {
        "refusal",
        "truncated",
        "invalid_json",
        "schema",
        "content_filter",
        "empty",
    } == REPLAYABLE


def test_a_dead_row_has_ended_without_an_answer() -> None:
    alive = {"ok", "in_doubt", "parked", "budget", "not_selected", "in_flight"}
    assert set(RowOutcome) - alive == DEAD
    assert REPLAY_RULES[RowOutcome.OK] is ReplayRule.NEVER


def test_one_column_is_the_key_as_it_is() -> None:
    assert row_key(['["a"]']) == '["a"]'
    assert key_values('["a"]', 1) == ('["a"]',)


def test_several_columns_stay_apart() -> None:
    assert row_key(["a,b", "c"]) != row_key(["a", "b,c"])
    assert row_key(["a", ""]) != row_key(["", "a"])


@given(parts)
def test_a_key_gives_its_values_back(values: list[str]) -> None:
    assert key_values(row_key(values), len(values)) == tuple(values)


@given(parts, parts)
def test_different_values_of_as_many_columns_have_different_keys(
    one: list[str], other: list[str]
) -> None:
    if len(one) == len(other) and one != other:
        assert row_key(one) != row_key(other)


@pytest.mark.parametrize("values", [[""], ["  "], ["", "\t"], ["a\0b"], ["a", "\0"]])
def test_a_key_that_is_blank_or_holds_nul_is_refused(values: list[str]) -> None:
    with pytest.raises(TableInvalid):
        row_key(values)


@pytest.mark.parametrize("values", [["k" * 2001], ["é" * 1001], ["\ud800" * 667], ["a" * 1000] * 2])
def test_a_key_that_an_index_cannot_hold_is_refused_unquoted(values: list[str]) -> None:
    with pytest.raises(TableInvalid, match="longer than 2000 bytes") as caught:
        row_key(values)
    assert values[0][:9] not in str(caught.value)


@pytest.mark.parametrize("key", ["k" * 2000, "é" * 1000, "\ud800" * 666])
def test_a_key_as_long_as_an_index_holds_is_taken(key: str) -> None:
    assert row_key([key]) == key


@pytest.mark.parametrize("key", ["plain", '{"a": 1}', '["a"]', '["a","b","c"]'])
def test_a_key_of_another_width_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"2 columns|JSON|unexpected"):
        key_values(key, 2)
