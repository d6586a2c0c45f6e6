from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib._parsing._responses import type_to_text_format_param
from pydantic import BaseModel, Field, RootModel, create_model, field_validator

from prefect_responses.enrichment.output_types import AnswerMismatch, AnswerNotJson, OutputType
from prefect_responses.errors import OutputTypeUnsupported


class Label(BaseModel):
    label: str = Field(min_length=1)
    score: float = Field(ge=0, le=1)
    seen: date | None


SCHEMA = {
    "title": "A label!",
    "type": "object",
    "properties": {"label": {"type": "string", "minLength": 1}, "n": {"type": "integer"}},
    "required": ["label"],
}


def test_the_format_is_what_the_official_sdk_sends() -> None:
    theirs: Any = type_to_text_format_param(Label)
    ours = OutputType(Label).format

    del theirs["schema"]["properties"]["label"]["minLength"]
    assert ours == theirs
    assert json.loads(json.dumps(ours)) == ours


def test_columns_follow_the_schema() -> None:
    assert OutputType(Label).columns == ("label", "score", "seen")
    assert OutputType(SCHEMA).columns == ("label", "n")


@pytest.mark.parametrize(
    ("given_", "name"),
    [
        (Label, "Label"),
        (SCHEMA, "A_label_"),
        ({**SCHEMA, "title": ""}, "answer"),
        ({k: v for k, v in SCHEMA.items() if k != "title"}, "answer"),
        (create_model("M" * 80, a=(int, ...)), "M" * 64),
        (create_model("Größe[int]", a=(int, ...)), "Gr__e_int_"),
    ],
)
def test_the_name_is_one_that_the_api_allows(given_: Any, name: str) -> None:
    assert OutputType(given_).format["name"] == name


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (list[int], "neither a pydantic model class nor a JSON schema"),
        (Label(label="a", score=0, seen=None), "neither"),
        (None, "neither"),
        (RootModel[list[int]], "the root is no object"),
        (RootModel[Label | None], "the root is a union"),
        ({"type": "object", "properties": {"x": {"const": object()}}}, "not JSON"),
        (
            create_model(
                "M", x=(type(lambda: 0), ...), __config__={"arbitrary_types_allowed": True}
            ),
            "no JSON schema",
        ),
    ],
)
def test_other_types_are_refused(given_: Any, message: str) -> None:
    with pytest.raises(OutputTypeUnsupported, match=message):
        OutputType(given_)


def test_an_answer_is_an_instance_of_the_model() -> None:
    output = OutputType(Label)
    answer = output.parse('{"label": "a", "score": 1, "seen": "2026-01-02"}')

    assert answer == Label(label="a", score=1, seen=date(2026, 1, 2))
    assert output.dump(answer) == {"label": "a", "score": 1.0, "seen": "2026-01-02"}


def test_an_answer_to_a_schema_is_a_dict() -> None:
    output = OutputType(SCHEMA)
    answer = output.parse('{"label": "a", "n": 1}')
    assert answer == output.dump(answer) == {"label": "a", "n": 1}


def test_names_are_those_of_the_schema() -> None:
    output = OutputType(create_model("M", from_=(str, Field(alias="from"))))
    assert output.columns == ("from",)
    assert output.dump(output.parse('{"from": "a"}')) == {"from": "a"}


def test_a_root_model_of_an_object_is_that_object() -> None:
    output = OutputType(RootModel[Label])
    assert output.columns == ("label", "score", "seen")
    assert output.dump(output.parse('{"label": "a", "score": 1, "seen": null}'))["label"] == "a"


def test_a_decimal_can_be_asked_for() -> None:
    output = OutputType(create_model("M", price=(Decimal, ...)))
    assert output.dump(output.parse('{"price": "1.50"}')) == {"price": "1.50"}


NOT_JSON = ["", "x", "{", '{"label": "a"', "[1]", "null", '"a"', '{"a": NaN}', '"\ud800"', "{}}"]


@pytest.mark.parametrize("text", NOT_JSON)
@pytest.mark.parametrize("given_", [Label, SCHEMA])
def test_text_that_is_no_json_object(given_: Any, text: str) -> None:
    with pytest.raises(AnswerNotJson):
        OutputType(given_).parse(text)


@pytest.mark.parametrize(
    ("given_", "text", "message"),
    [
        (Label, '{"label": "a", "score": 2, "seen": null}', "^score: Input should be less than"),
        (Label, "{}", r"^label: Field required \(2 more\)$"),
        (Label, '{"label": "", "score": 0, "seen": null}', "^label: String should have at least 1"),
        (SCHEMA, "{}", r"^\$\.label is missing\.$"),
        (SCHEMA, '{"label": ""}', r"^\$\.label has 0 characters\.$"),
        (SCHEMA, '{"label": "a", "n": "1"}', r"^\$\.n is not integer\.$"),
    ],
)
def test_json_of_another_type_says_which_field(given_: Any, text: str, message: str) -> None:
    with pytest.raises(AnswerMismatch, match=message):
        OutputType(given_).parse(text)


def test_the_value_at_fault_is_not_repeated() -> None:
    with pytest.raises(AnswerMismatch) as caught:
        OutputType(Label).parse('{"label": "a", "score": "secret", "seen": null}')
    assert "secret" not in str(caught.value)


def test_a_validator_that_raises_anything_is_the_answers_fault() -> None:
    class Moody(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def _raise(cls, value: int) -> int:
            raise LookupError(value)

    with pytest.raises(AnswerMismatch, match="validator raised LookupError"):
        OutputType(Moody).parse('{"a": 1}')


@settings(max_examples=50)
@given(st.from_type(Label).filter(lambda label: label.score == label.score))
def test_an_answer_comes_back_as_it_went(label: Label) -> None:
    assert OutputType(Label).parse(label.model_dump_json()) == label
