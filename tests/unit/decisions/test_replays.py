"""What a dead row is asked when it is replayed."""

from __future__ import annotations

import pytest
from openai.types.responses import EasyInputMessageParam
from pydantic import TypeAdapter

from prefect_responses.decisions.replays import (
    REPLAY_TURNS,
    ReplayTurn,
    replay_classes,
    replay_reason,
    replay_request,
    replayed_class,
)
from prefect_responses.decisions.row_outcomes import DEAD, RowOutcome
from prefect_responses.errors import RequestInvalid

REQUEST = {
    "model": "m",
    "input": "Read this.",
    "instructions": "Be exact.",
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}},
    "max_output_tokens": 100,
}


def message(text, **more):
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": [part], **more}


def response(*output, **more):
    return {"id": "resp_1", "output": list(output), **more}


def test_each_dead_class_has_its_turn():
    assert set(REPLAY_TURNS) == DEAD


def test_a_mark_says_as_which_class_the_row_is_replayed():
    for outcome in DEAD:
        assert replayed_class(replay_reason(outcome)) is outcome
    assert replayed_class(None) is None
    assert replayed_class("too short") is None


def test_only_dead_rows_are_replayed():
    assert replay_classes(["schema", "failed"]) == {RowOutcome.SCHEMA, RowOutcome.FAILED}
    with pytest.raises(RequestInvalid, match=r"as 'ok', 'shema'\. Dead rows are abandoned, "):
        replay_classes(["shema", "ok", "schema"])


def test_again_is_the_same_request():
    assert replay_request(ReplayTurn.AGAIN, REQUEST, response(), "") == REQUEST


# --- repair ---------------------------------------------------------------------------------------


def repaired(request, answer, error="stars is missing"):
    return replay_request(ReplayTurn.REPAIR, request, answer, error)


def test_a_repair_shows_the_model_its_answer_and_what_was_wrong():
    made = repaired(REQUEST, response({"type": "reasoning", "id": "rs_1"}, message('{"a": 1}')))

    asked, answer, complaint = made.pop("input")
    assert asked == {"role": "user", "content": "Read this."}
    assert answer == {"role": "assistant", "content": '{"a": 1}'}
    assert complaint["role"] == "user"
    assert "stars is missing" in complaint["content"]
    # Nothing else changes: the format and the instructions hold for the repair too.
    assert made == {name: value for name, value in REQUEST.items() if name != "input"}


def test_what_a_repair_sends_is_input_as_the_official_client_has_it():
    made = repaired(REQUEST, response(message("{}", phase="final_answer")))

    for item in made["input"]:
        TypeAdapter(EasyInputMessageParam).validate_python(item, strict=True)


def test_a_repair_needs_no_server_that_remembers():
    made = repaired(REQUEST, response(message("{}")))

    assert "previous_response_id" not in made
    assert all("id" not in item for item in made["input"])


def test_a_second_repair_goes_on_from_the_first():
    first = repaired(REQUEST, response(message("one")))
    second = repaired(first, response(message("two")), "still wrong")

    assert second["input"][:3] == first["input"]
    assert second["input"][3] == {"role": "assistant", "content": "two"}
    assert first["input"][0] == {"role": "user", "content": "Read this."}


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ([message("first"), message("last")], {"content": "last"}),
        ([message("it"), message("so far", phase="commentary")], {"content": "it"}),
        ([message("it", phase="final_answer")], {"content": "it", "phase": "final_answer"}),
        ([message("it"), message(" "), {"type": "message"}], {"content": "it"}),
        ([message("it"), message("x", type="odd"), "odd"], {"content": "it"}),
        ([message("it", content=[{"type": "output_text", "text": "it"}, {"type": "refusal"}])],
         {"content": "it"}),
        ([message("it"), message("", content=[{"type": "output_text", "text": None}])],
         {"content": "it"}),
    ],
)  # fmt: skip
def test_the_answer_is_the_last_message_that_says_something(output, answer):
    assert repaired(REQUEST, response(*output))["input"][1] == {"role": "assistant", **answer}


@pytest.mark.parametrize("answer", [{}, {"output": None}, response(), response(message(""))])
def test_without_an_answer_there_is_nothing_to_repair(answer):
    assert repaired(REQUEST, answer) == REQUEST


def test_a_request_without_input_begins_with_the_answer():
    stored = {"model": "m", "instructions": "Invent one."}

    assert [item["role"] for item in repaired(stored, response(message("{}")))["input"]] == [
        "assistant",
        "user",
    ]


# --- more room ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "usage", "room"),
    [
        (100, {"output_tokens": 100}, 200),
        (100, {"output_tokens": 400}, 800),
        (100, None, 200),
        (None, {"output_tokens": 300}, 600),
        (None, {"output_tokens": 3}, 16),
        (None, {"output_tokens": True}, None),
        (None, {"output_tokens": -7}, None),
        (100, {"output_tokens": 2**62}, 200),
        (None, {}, None),
    ],
)
def test_a_truncated_answer_gets_twice_the_room(cap, usage, room):
    stored = {"model": "m", "input": "a", "max_output_tokens": cap}

    made = replay_request(ReplayTurn.LARGER_CAP, stored, response(usage=usage), "")

    assert made == stored | {"max_output_tokens": room}
