"""The flow behind the form of the deployment `enrich-table`, with what people type into it."""

from __future__ import annotations

import json
from enum import StrEnum

import pytest
from pydantic import BaseModel

from flows.enrich_table import enrich_table
from prefect_responses.emulator.server import EmulatorThread


class Mood(StrEnum):
    PLEASED = "pleased"
    ANGRY = "angry"


class Verdict(BaseModel):
    mood: Mood


@pytest.fixture
def form(prefect_server, tmp_path, monkeypatch):
    """Return what everybody types, in a folder with a table of three reviews."""
    (tmp_path / "reviews.csv").write_text("id,text\n1,I am pleased.\n2,I am angry.\n3,Pleased.\n")
    with EmulatorThread(seed=1) as emulator:
        for name, value in {
            "PREFECT_API_URL": prefect_server,
            "OPENAI_BASE_URL": emulator.url,
            "OPENAI_API_KEY": "emulator",
            "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
        }.items():
            monkeypatch.setenv(name, value)
        yield {
            "table": str(tmp_path / "reviews.csv"),
            "output": f"sqlite:///{tmp_path / 'shop.db'}?table=verdicts",
            "model": "extract",
            "job": "reviews",
            "key": "id",
            "prompt": "What does this review say?\n---\n{text}",
        }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_schema_with_references_goes_in_as_text(form):
    schema = Verdict.model_json_schema()
    assert "$ref" in json.dumps(schema)

    dry = enrich_table(**form, answer_schema=json.dumps(schema), dry_run=True)
    part = enrich_table(**form, answer_schema=json.dumps(schema), sample=2, max_tokens=50_000)
    rest = enrich_table(**form, answer_schema=json.dumps(schema))

    assert [dry.plan.paid, dry.submitted] == [3, 0]
    assert [part.submitted, part.preview.rows_left] == [2, 1]
    assert [rest.reused, rest.submitted, rest.outcomes] == [2, 1, {"ok": 3}]


def test_the_form_says_what_each_field_is_for():
    fields = enrich_table.parameters.properties

    assert [name for name, field in fields.items() if not field.get("description")] == []
    assert "$ref" not in json.dumps(fields["answer_schema"]["default"])
