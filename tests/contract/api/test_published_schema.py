"""The published OpenAPI description judges every body that the emulator sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.emulator.remote_control import RemoteControl
    from prefect_responses.emulator.server import EmulatorThread

_DESCRIPTION = json.loads(
    (Path(__file__).parent / "schema" / "responses.json").read_text(encoding="utf-8")
)

#: Where the emulator follows observed answers and not the published schema: path -> reason.
KNOWN_DIFFERENCES = {
    "$.user": "null in the published example of a response",
    "$.usage": "null until the response has ended, in the published example of cancel too",
}


def problems(name: str, body: Any) -> list[str]:
    """List where a body breaks a published schema, known differences left out."""
    validator = Draft202012Validator({**_DESCRIPTION, "$ref": f"#/components/schemas/{name}"})
    found = ((error.json_path, error.message) for error in validator.iter_errors(body))
    return [f"{path}: {message}" for path, message in found if path not in KNOWN_DIFFERENCES]


@pytest.fixture
def http(emulator: EmulatorThread, control: RemoteControl) -> Iterator[httpx.Client]:
    control.stop_clock()
    control.set_latency("constant:10")
    headers = {"authorization": "Bearer sk-emulated"}
    with httpx.Client(base_url=emulator.url, headers=headers) as client:
        yield client


_SCHEMA = {
    "type": "object",
    "properties": {"summary": {"type": "string"}},
    "required": ["summary"],
    "additionalProperties": False,
}

REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"model": "echo", "input": "Hi."},
    "structured": {
        "model": "extract",
        "input": "A release. It is out.",
        "text": {
            "format": {"type": "json_schema", "name": "note", "strict": True, "schema": _SCHEMA},
            "verbosity": "low",
        },
        "metadata": {"row": "7"},
        "service_tier": "flex",
        "max_output_tokens": 400,
    },
    "full": {
        "model": "gpt-6-astra",
        "input": [{"role": "user", "content": "Hi."}],
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f", "parameters": _SCHEMA, "strict": False}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "temperature": 0.5,
        "top_p": 0.5,
        "truncation": "auto",
        "safety_identifier": "someone",
        "prompt_cache_key": "rows",
        "conversation": "conv_1",
        "service_tier": "fast",
    },
    "nulls": {"model": "echo", "input": "Hi.", "instructions": None, "metadata": None},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_background_response_is_valid_in_every_status(
    http: httpx.Client, control: RemoteControl, name: str
) -> None:
    created = http.post("/responses", json={**REQUESTS[name], "background": True}).json()
    assert problems("Response", created) == []

    for status in ("queued", "in_progress", "completed"):
        read = http.get(f"/responses/{created['id']}").json()
        assert (read["status"], problems("Response", read)) == (status, [])
        control.advance(5)


@pytest.mark.parametrize(
    ("kind", "status"), [("fail", "failed"), ("incomplete", "incomplete"), ("refusal", "completed")]
)
def test_other_endings_are_valid(
    http: httpx.Client, control: RemoteControl, kind: str, status: str
) -> None:
    control.add_fault(kind)
    created = http.post("/responses", json={**REQUESTS["plain"], "background": True}).json()
    control.advance(10)
    read = http.get(f"/responses/{created['id']}").json()

    assert (read["status"], problems("Response", read)) == (status, [])


def test_a_cancelled_response_is_valid(http: httpx.Client) -> None:
    created = http.post("/responses", json={**REQUESTS["plain"], "background": True}).json()
    cancelled = http.post(f"/responses/{created['id']}/cancel").json()

    assert (cancelled["status"], problems("Response", cancelled)) == ("cancelled", [])


def test_errors_are_valid(http: httpx.Client) -> None:
    refusals = [
        http.post("/responses", json={"model": "echo", "input": "Hi.", "colour": 1}),
        http.post("/responses", content=b"{"),
        http.get("/responses/resp_0"),
        http.get("/nothing"),
        http.put("/responses"),
        http.get("/models", headers={"authorization": ""}),
    ]

    assert [answer.status_code for answer in refusals] == [400, 400, 404, 404, 405, 401]
    assert [problems("ErrorResponse", answer.json()) for answer in refusals] == [[]] * 6


def test_models_are_valid(http: httpx.Client) -> None:
    assert problems("ListModelsResponse", http.get("/models").json()) == []


def test_every_documented_field_is_present(http: httpx.Client) -> None:
    created = http.post("/responses", json={**REQUESTS["plain"], "background": True}).json()
    documented = (
        "id object created_at model output parallel_tool_calls tool_choice tools status "
        "completed_at background store error incomplete_details instructions max_output_tokens "
        "max_tool_calls metadata previous_response_id conversation reasoning service_tier "
        "temperature top_p top_logprobs text truncation usage user"
    )

    assert set(documented.split()) - created.keys() == set()
    absent = {name for name, value in created.items() if value is None}
    assert {"completed_at", "error", "incomplete_details", "usage", "instructions"} <= absent
