"""The official SDK drives the emulator: what it sends is understood, what it reads is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from prefect_responses.emulator.remote_control import RemoteControl
    from prefect_responses.emulator.server import EmulatorThread

_STRICT = TypeAdapter(Response)


class Note(BaseModel):
    category: Literal["bug", "feature", "other"]
    mentions_deprecation: bool
    year: int | None
    summary: str
    keywords: list[str]


_NOTE = "Classify.\n---\nFixed a crash in the parser. The old API is deprecated since 2024."


def strictly(raw: openai.types.responses.Response | Any) -> Response:
    """Validate for real what the SDK only constructs."""
    return _STRICT.validate_json(raw.to_json(), strict=True)


def test_a_synchronous_create_answers_completed(client: openai.OpenAI) -> None:
    response = strictly(client.responses.create(model="echo", input="Say this."))

    assert response.output_text == "Say this."
    assert response.status == "completed"
    assert response.completed_at is not None
    assert response.usage is not None
    assert response.usage.total_tokens == (
        response.usage.input_tokens + response.usage.output_tokens
    )


def test_a_stored_synchronous_response_can_be_retrieved(client: openai.OpenAI) -> None:
    created = client.responses.create(model="echo", input="Say this.")

    assert client.responses.retrieve(created.id).output_text == "Say this."


def test_background_goes_from_queued_to_completed(
    client: openai.OpenAI, control: RemoteControl
) -> None:
    control.stop_clock()
    control.set_latency("constant:10")
    statuses = [
        strictly(
            created := client.responses.create(
                model="echo", input="Hi.", background=True, store=True, metadata={"row": "1"}
            )
        ).status
    ]
    for _ in range(2):
        control.advance(5)
        read = strictly(client.responses.retrieve(created.id))
        statuses.append(read.status)

    assert statuses == ["queued", "in_progress", "completed"]
    assert read.metadata == {"row": "1"}
    assert read.output_text == "Hi."


def test_cancel_can_be_repeated(client: openai.OpenAI, control: RemoteControl) -> None:
    control.set_latency("constant:60")
    created = client.responses.create(model="echo", input="Hi.", background=True)

    for _ in range(2):
        cancelled = strictly(client.responses.cancel(created.id))
        assert (cancelled.status, cancelled.output, cancelled.usage) == ("cancelled", [], None)


def test_parse_fills_a_pydantic_model(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="extract", input=_NOTE, text_format=Note)

    assert response.output_parsed == Note(
        category="bug",
        mentions_deprecation=True,
        year=2024,
        summary="Fixed a crash in the parser. The old API is deprecated since 2024.",
        keywords=["fixed", "crash", "parser", "deprecated"],
    )


@pytest.mark.parametrize("model", ["gpt-6-astra", "o4-mini"])
def test_a_borrowed_model_name_extracts_where_a_schema_asks(
    client: openai.OpenAI, model: str
) -> None:
    parsed = client.responses.parse(model=model, input=_NOTE, text_format=Note)
    echoed = client.responses.create(model=model, input="Hi.")

    assert parsed.output_parsed is not None
    assert echoed.output_text == "Hi."


async def test_the_async_client_creates_and_polls(emulator: EmulatorThread) -> None:
    emulator.control.reset()
    async with openai.AsyncOpenAI(base_url=emulator.url, api_key="k", max_retries=0) as client:
        created = await client.responses.create(model="echo", input="Hi.", background=True)
        read = await client.responses.retrieve(created.id)

    assert (created.status, strictly(read).status) == ("queued", "completed")


def test_function_tools_and_conversation_turns_parse_strictly(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}
    first = client.responses.create(model="echo", input="Hi.", tools=[tool])
    second = client.responses.create(
        model="echo",
        instructions="Be brief.",
        previous_response_id=first.id,
        input=[{"role": "user", "content": [{"type": "input_text", "text": "Again."}]}],
    )

    assert strictly(first).tools[0].type == "function"
    assert strictly(second).previous_response_id == first.id
    assert second.output_text == "Again."


def test_a_scripted_function_call_parses_strictly(
    client: openai.OpenAI, control: RemoteControl
) -> None:
    call = {"type": "function_call", "name": "look_up", "arguments": "{}", "status": "completed"}
    control.add_replies({"output": [call]})

    item = strictly(client.responses.create(model="script", input="Hi.")).output[0]

    assert item.type == "function_call"
    assert item.call_id.startswith("call_")
    assert (item.id or "").startswith("fc_")


def test_scripted_endings_parse_strictly(client: openai.OpenAI, control: RemoteControl) -> None:
    control.add_replies(
        {"text": "First."},
        {"refusal": "No."},
        {"error": {"code": "rate_limit_exceeded", "message": "Too fast."}},
        {"text": "Half of", "incomplete": "max_output_tokens"},
        {"match": "blue", "text": "Seen."},
    )

    def ask(text: str) -> Response:
        return strictly(client.responses.create(model="script", input=text))

    assert ask("blue").output_text == "Seen."
    assert ask("red").output_text == "First."
    assert ask("red").output[0].content[0].type == "refusal"  # type: ignore[union-attr,index]
    failed = ask("red")
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "rate_limit_exceeded")
    incomplete = ask("red")
    assert incomplete.incomplete_details is not None
    assert incomplete.incomplete_details.reason == "max_output_tokens"
    assert ask("red").status == "failed"  # nothing is left to say
    assert ask("blue again").output_text == "Seen."


def test_max_output_tokens_cuts_the_text(client: openai.OpenAI) -> None:
    response = client.responses.create(model="echo", input="word " * 100, max_output_tokens=16)

    assert strictly(response).status == "incomplete"
    assert response.usage is not None
    assert response.usage.output_tokens <= 16


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    assert {"echo", "extract", "script"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("gpt-6-astra").object == "model"


def _refused(exc: openai.APIStatusError) -> tuple[str | None, str | None, str | None]:
    return exc.type, exc.code, exc.param


def test_errors_map_to_the_sdks_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist") as missing:
        client.responses.create(model="missing-model", input="Hi.")
    with pytest.raises(openai.BadRequestError, match="Unknown parameter: 'colour'") as unknown:
        client.responses.create(model="echo", input="Hi.", extra_body={"colour": "red"})
    with pytest.raises(openai.NotFoundError, match="Response with id 'resp_0' not found") as gone:
        client.responses.retrieve("resp_0")

    invalid = "invalid_request_error"
    assert _refused(missing.value) == (invalid, "model_not_found", "model")
    assert _refused(unknown.value) == (invalid, "unknown_parameter", "colour")
    assert _refused(gone.value) == (invalid, None, None)
    assert (gone.value.request_id or "").startswith("req_")


def test_a_rejected_key_and_a_missing_one_are_unauthorised(
    client: openai.OpenAI, control: RemoteControl
) -> None:
    control.change_settings(rejected_keys=["sk-revoked"])
    with pytest.raises(openai.AuthenticationError) as rejected:
        client.with_options(api_key="sk-revoked").responses.create(model="echo", input="Hi.")
    with pytest.raises(openai.AuthenticationError, match="didn't provide an API key"):
        client.responses.create(
            model="echo", input="Hi.", extra_headers={"Authorization": openai.Omit()}
        )

    assert rejected.value.code == "invalid_api_key"
    assert "sk-revoked" not in rejected.value.message


@pytest.mark.parametrize(
    ("code", "exception"),
    [
        ("invalid_api_key", openai.AuthenticationError),
        ("unsupported_country_region_territory", openai.PermissionDeniedError),
        ("conversation_locked", openai.BadRequestError),
        ("rate_limit_exceeded", openai.RateLimitError),
        ("insufficient_quota", openai.RateLimitError),
        ("resource_unavailable", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("slow_down", openai.InternalServerError),
    ],
)
def test_a_fault_named_by_its_code_maps_too(
    client: openai.OpenAI,
    control: RemoteControl,
    code: str,
    exception: type[openai.APIStatusError],
) -> None:
    control.add_fault("status", code=code)
    with pytest.raises(exception) as refused:
        client.responses.create(model="echo", input="Hi.")

    assert refused.value.code == code
    assert control.state()["accepted"] == 0
