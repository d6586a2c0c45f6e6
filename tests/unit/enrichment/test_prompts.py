from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.enrichment.prompts import Prompt
from prefect_responses.enrichment.rows import Row
from prefect_responses.errors import ColumnMissing, RequestInvalid


@pytest.mark.parametrize(
    ("template", "columns", "rendered"),
    [
        ("Classify {title}.", ("title",), "Classify T."),
        ("{a}{b}{a}", ("a", "b"), "121"),
        ('{{"x": "{a}"}}', ("a",), '{"x": "1"}'),
        ("{{{a}}}", ("a",), "{1}"),
        ("{{a}}", (), "{a}"),
        ("no placeholder", (), "no placeholder"),
        ("{unit price} {address.city} {x[0]}", ("unit price", "address.city", "x[0]"), "9 C 0"),
        ("", (), ""),
    ],
)
def test_placeholders_are_column_names_and_nothing_else(template, columns, rendered) -> None:
    prompt = Prompt(template)
    row = Row(
        "1", {"title": "T", "a": "1", "b": "2", "unit price": "9", "address.city": "C", "x[0]": "0"}
    )

    assert prompt.columns == columns
    assert prompt.render(row) == rendered


@given(st.text())
def test_a_value_is_inserted_verbatim(value: str) -> None:
    assert Prompt("<{a}>{b}").render(Row("1", {"a": value, "b": "!"})) == f"<{value}>!"


@pytest.mark.parametrize("value", ["{b}", "{{", "}", "{a.__class__}", "%s", r"\1", "$a"])
def test_a_value_is_never_a_template(value: str) -> None:
    assert Prompt("{a}").render(Row("1", {"a": value, "b": "secret"})) == value


@given(st.text())
def test_doubled_braces_spell_any_text(text: str) -> None:
    template = text.replace("{", "{{").replace("}", "}}")
    prompt = Prompt(template)
    assert prompt.render(Row("1", {})) == text
    assert template.format() == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a { b", "single '{' at character 2"),
        ("a } b", "single '}' at character 2"),
        ("{a{b}}", "single '{' at character 0"),
        ("{}", "character 0 of the prompt names no column"),
        ("x{ }", "character 1 of the prompt names no column"),
        ("{price:.2f}", r"\{price:\.2f\} of the prompt has a format spec"),
        ("{name!r}", "format spec or a conversion"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(template: str, message: str) -> None:
    with pytest.raises(RequestInvalid, match=message):
        Prompt(template)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ColumnMissing, match="'body', which the row '7' does not have"):
        Prompt("{body}").render(Row("7", {"title": "T"}))


def test_prompts_are_equal_by_what_they_say() -> None:
    assert Prompt("{a}") == Prompt("{a}")
    assert Prompt("{a}") != Prompt("{a}", version="2")
    assert Prompt("{a}", instructions="Be brief.") != Prompt("{a}")
