from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from prefect_responses.enrichment.output_types import OutputType
from prefect_responses.enrichment.rows import RowOutcome, RowResult
from prefect_responses.enrichment.validation import read_row


class Answer(BaseModel):
    n: int


OUTPUT = OutputType(Answer)
GOOD = '{"n": 1}'


def text(*texts: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": each, "annotations": []} for each in texts]
    return {"type": "message", "role": "assistant", "content": content, **more}


def refusal(words: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "refusal", "refusal": words}],
    }


def response(*output: Any, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 3}
    return {"id": "resp_1", "status": "completed", "output": list(output), "usage": usage, **more}


def test_an_answer_is_read_with_what_it_cost() -> None:
    assert read_row(response(text(GOOD)), OUTPUT, "k") == RowResult(
        "k", RowOutcome.OK, {"n": 1}, "resp_1", 10, 3
    )


@pytest.mark.parametrize(
    ("output", "n"),
    [
        ([{"type": "reasoning", "summary": []}, text(GOOD)], 1),
        ([text('{"n": ', "1}")], 1),
        ([text("Let me think.", phase="commentary"), text(GOOD, phase="final_answer")], 1),
        ([text(GOOD, phase="final_answer"), text("Done!", phase="commentary")], 1),
        ([text('{"n": 1}'), text('{"n": 2}')], 2),
        ([text(GOOD), text("")], 1),
        ([text(GOOD, phase=None)], 1),
        ([text(GOOD), {"type": "new_thing", "content": [{"type": "output_text", "text": "x"}]}], 1),
        ([text(GOOD), text("no", role="user")], 1),
    ],
)
def test_the_answer_is_found_among_the_items(output: list[Any], n: int) -> None:
    result = read_row(response(*output), OUTPUT, "k")
    assert (result.outcome, result.parsed) == (RowOutcome.OK, {"n": n})


MAX_TOKENS = {"reason": "max_output_tokens"}
FILTERED = {"reason": "content_filter"}
SORRY = {"code": "server_error", "message": "Sorry."}


def incomplete(details: Any) -> dict[str, Any]:
    return {"status": "incomplete", "incomplete_details": details}


@pytest.mark.parametrize(
    ("body", "outcome", "error"),
    [
        (response(refusal("I cannot.")), "refusal", "I cannot."),
        (response(refusal("")), "refusal", "The model declined without a word."),
        (response(), "empty", "The response completed without an answer."),
        (response(text(" \n")), "empty", "The response completed without an answer."),
        (response(text(GOOD, phase="commentary")), "empty", "The response completed without an"),
        (response(text('{"n": 1')), "invalid_json", "The answer is not JSON: "),
        (response(text("[1]")), "invalid_json", "The answer is JSON, but no object."),
        (response(text('{"n": "x"}')), "schema", "n: Input should be a valid integer"),
        (
            response(text(GOOD), **incomplete(MAX_TOKENS)),
            "truncated",
            "The answer was cut short: max",
        ),
        (response(text(GOOD), **incomplete(None)), "truncated", "The answer was cut short: unkn"),
        (
            response(text(GOOD), **incomplete({"reason": 1})),
            "truncated",
            "The answer was cut short",
        ),
        (response(**incomplete(FILTERED)), "content_filter", "The content filter cut"),
        (response(status="failed", error=SORRY), "failed", "server_error: Sorry."),
        (response(status="failed", error=None), "failed", "The response failed, and no reason"),
        (response(text(GOOD), status="cancelled"), "cancelled", "The response was cancelled."),
        (response(status="queued"), "in_flight", "The response is still queued."),
        (response(status="in_progress"), "in_flight", "The response is still in_progress."),
        (response(text(GOOD), status="pending"), "failed", "The status 'pending' is not known."),
        ({}, "failed", "The status None is not known."),
    ],
)
def test_what_is_no_answer_has_a_class_and_a_sentence(
    body: dict[str, Any], outcome: str, error: str
) -> None:
    result = read_row(body, OUTPUT, "k")

    assert result.outcome == outcome
    assert result.error.startswith(error)
    assert result.parsed is None


def test_a_long_error_is_cut() -> None:
    result = read_row(response(refusal("x" * 10_000)), OUTPUT, "k")
    assert len(result.error) == 300
    assert result.error.endswith("…")


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": -1}, {"input_tokens": True}, "x"])
def test_unknown_usage_is_not_zero(usage: Any) -> None:
    assert read_row(response(text(GOOD), usage=usage), OUTPUT, "k").input_tokens is None


WORDS = (
    *("id", "status", "completed", "incomplete", "failed", "output", "usage", "message", "type"),
    *("content", "phase", "role", "assistant", "output_text", "text", "refusal", "error", "code"),
    *("incomplete_details", "reason", "final_answer", GOOD, "{", "\ud800"),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=15,
)
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": GOOD}]}


@settings(max_examples=400)
@given(anything, anything, anything, st.sampled_from(["completed", "incomplete", "failed", None]))
def test_reading_never_fails(item: Any, detail: Any, extra: Any, status: Any) -> None:
    for body in (
        {"status": status, "output": [item, {**MESSAGE, "phase": extra}], "error": detail},
        {"status": status, "output": [{"type": "message", "content": item}], "usage": extra},
        {"status": item, "output": detail, "id": extra, "incomplete_details": item},
    ):
        result = read_row(body, OUTPUT, "k")
        assert (result.parsed is not None) == (result.outcome is RowOutcome.OK)
