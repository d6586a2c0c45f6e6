"""What a job asks, and why its rows changed."""

from __future__ import annotations

import json

import pytest

from prefect_responses.attempt import Endpoint
from prefect_responses.decisions.job_definitions import (
    OWN_TEXT,
    UNKNOWN,
    JobDefinition,
    changes_since,
)

GIVEN = {
    "template": "Secret: {text}",
    "version": "1",
    "instructions": None,
    "model": "m",
    "schema": {"type": "object"},
    "options": {"temperature": 1},
    "endpoint": Endpoint("https://api.example.com/v1", "org", "project"),
}


def definition(**changes) -> JobDefinition:
    return JobDefinition.of(**{**GIVEN, **changes})


CHANGES = {
    "nothing": ({}, (OWN_TEXT,)),
    "template": ({"template": "Other: {text}"}, ("the prompt's text",)),
    "version": ({"version": "2"}, ("the prompt's version",)),
    "instructions": ({"instructions": "Be short."}, ("the instructions",)),
    "model": ({"model": "n"}, ("the model",)),
    "schema": ({"schema": {}}, ("the schema",)),
    "options": ({"options": {"temperature": 0}}, ("the options",)),
    "endpoint": (
        {"endpoint": Endpoint("https://other.example.com/v1", "org", "project")},
        ("the endpoint",),
    ),
    "account": (
        {"endpoint": Endpoint("https://api.example.com/v1", "org", "other")},
        ("the account",),
    ),
    "several": ({"version": "2", "model": "n"}, ("the prompt's version", "the model")),
}


@pytest.mark.parametrize(("changes", "because"), CHANGES.values(), ids=CHANGES)
def test_why_rows_changed(changes, because):
    assert changes_since(definition().as_json(), definition(**changes)) == because


@pytest.mark.parametrize("before", [None, "", "not JSON", "[]"])
def test_what_was_asked_before_may_not_be_known(before):
    assert changes_since(before, definition()) == (UNKNOWN,)


def test_equal_definitions_have_equal_texts_that_tell_no_prompt():
    assert definition().as_json() == definition().as_json()
    assert "Secret" not in definition().as_json()
    assert json.loads(definition().as_json())["model"] == "m"
