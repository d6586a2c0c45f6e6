"""The official SDK reads the emulator's streams: every event is one of its typed events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.emulator.remote_control import RemoteControl
    from prefect_responses.emulator.server import EmulatorThread

_STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ASKED: Any = {"model": "echo", "input": "One two three."}
BACKGROUND: Any = {**ASKED, "background": True, "store": True}


def strictly(events: Iterable[Any]) -> list[Any]:
    """Validate for real what the SDK only constructs."""
    return [_STRICT.validate_json(event.to_json(), strict=True) for event in events]


def text_of(events: Iterable[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def numbers_of(events: Iterable[Any]) -> list[int]:
    return [event.sequence_number for event in events]


@pytest.mark.parametrize("asked", [ASKED, BACKGROUND], ids=["synchronous", "background"])
def test_a_stream_is_read_event_by_event(client: openai.OpenAI, asked: Any) -> None:
    events = strictly(client.responses.create(**asked, stream=True))

    assert numbers_of(events) == list(range(len(events)))
    assert text_of(events) == "One two three."
    assert events[-1].response.output_text == "One two three."


async def test_the_asynchronous_client_reads_it_too(
    emulator: EmulatorThread,
    control: RemoteControl,  # noqa: ARG001 - asked for, so that the emulator is reset
) -> None:
    async with openai.AsyncOpenAI(
        base_url=emulator.url, api_key="sk-emulated", max_retries=0
    ) as client:
        stream = await client.responses.create(**BACKGROUND, stream=True)
        events = strictly([event async for event in stream])
        response_id = events[0].response.id
        resumed = await client.responses.retrieve(response_id, stream=True, starting_after=6)
        rest = strictly([event async for event in resumed])
        async with client.responses.stream(**ASKED) as helper:
            final = await helper.get_final_response()

    assert rest == events[7:]
    assert final.output_text == "One two three."


def test_the_stream_helper_puts_the_response_together(client: openai.OpenAI) -> None:
    with client.responses.stream(**ASKED) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()

    assert kinds.count("response.output_text.delta") == 3
    assert (final.status, final.output_text) == ("completed", "One two three.")


def test_a_resume_yields_the_rest(client: openai.OpenAI) -> None:
    events = strictly(client.responses.create(**BACKGROUND, stream=True))
    for cursor in range(len(events)):
        rest = client.responses.retrieve(events[0].response.id, stream=True, starting_after=cursor)
        assert strictly(rest) == events[cursor + 1 :]


def test_the_stream_helper_resumes_too(client: openai.OpenAI) -> None:
    created = list(client.responses.create(**BACKGROUND, stream=True))
    with client.responses.stream(response_id=created[0].response.id, starting_after=6) as stream:
        rest = numbers_of(stream)

    assert rest == list(range(7, len(created)))


def test_obfuscation_can_be_left_out_of_both(client: openai.OpenAI) -> None:
    without: Any = {"stream_options": {"include_obfuscation": False}}
    events = list(client.responses.create(**BACKGROUND, stream=True, **without))
    response_id = events[0].response.id
    replayed = client.responses.retrieve(response_id, stream=True, include_obfuscation=False)
    usual = client.responses.retrieve(response_id, stream=True)

    def padded(read: Iterable[Any]) -> int:
        return sum("obfuscation" in (event.model_extra or {}) for event in read)

    assert (padded(events), padded(replayed), padded(usual)) == (0, 0, 3)


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
_PARTS = st.builds(
    lambda text: {"type": "output_text", "text": text, "annotations": [], "logprobs": []}, _TEXTS
) | st.builds(lambda text: {"type": "refusal", "refusal": text}, _TEXTS)
_SUMMARIES = st.builds(lambda text: {"type": "summary_text", "text": text}, _TEXTS)
_STATUS = {"status": "completed"}
_ITEMS = st.one_of(
    st.builds(
        lambda parts: {"type": "message", "role": "assistant", "content": parts, **_STATUS},
        st.lists(_PARTS, max_size=2),
    ),
    st.builds(
        lambda parts: {"type": "reasoning", "summary": parts}, st.lists(_SUMMARIES, max_size=2)
    ),
    st.builds(
        lambda text: {"type": "function_call", "name": "f", "arguments": text, **_STATUS}, _TEXTS
    ),
    st.builds(lambda text: {"type": "custom_tool_call", "name": "c", "input": text}, _TEXTS),
    st.builds(
        lambda text: {
            "type": "web_search_call",
            "action": {"type": "search", "query": text, "queries": [text]},
            **_STATUS,
        },
        _TEXTS,
    ),
    st.builds(
        lambda text: {
            "type": "code_interpreter_call",
            "code": text,
            "container_id": "cntr_1",
            "outputs": None,
            **_STATUS,
        },
        _TEXTS,
    ),
    st.builds(
        lambda text: {"type": "mcp_call", "name": "m", "server_label": "s", "arguments": text},
        _TEXTS,
    ),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(_ITEMS, max_size=3))
def test_whatever_a_script_says_parses_strictly(
    client: openai.OpenAI, control: RemoteControl, output: list[dict[str, Any]]
) -> None:
    control.add_replies({"output": output})
    events = strictly(client.responses.create(model="script", input="Hi.", stream=True))

    said = [event.item for event in events if event.type == "response.output_item.done"]
    assert said == events[-1].response.output
    assert [item.type for item in said] == [item["type"] for item in output]


def test_a_summary_of_the_reasoning_parses_strictly(client: openai.OpenAI) -> None:
    asked: Any = {**ASKED, "reasoning": {"summary": "auto"}}
    kinds = {event.type for event in strictly(client.responses.create(**asked, stream=True))}

    assert "response.reasoning_summary_text.delta" in kinds


@pytest.mark.parametrize(
    ("fault", "kind"), [("fail", "response.failed"), ("incomplete", "response.incomplete")]
)
def test_other_endings_parse_strictly(
    client: openai.OpenAI, control: RemoteControl, fault: str, kind: str
) -> None:
    control.add_fault(fault)

    assert strictly(client.responses.create(**ASKED, stream=True))[-1].type == kind


def test_a_flat_error_parses_and_a_nested_one_is_raised(
    client: openai.OpenAI, control: RemoteControl
) -> None:
    control.add_fault("stream_error", form="flat", code="server_error")
    control.add_fault("stream_error", form="nested", code="insufficient_quota")
    kinds = [event.type for event in strictly(client.responses.create(**ASKED, stream=True))]
    with pytest.raises(openai.APIError, match="exceeded your current quota"):
        list(client.responses.create(**ASKED, stream=True))

    assert kinds[-2:] == ["error", "response.failed"]


def test_a_restarted_server_and_a_marker_do_not_disturb_it(
    client: openai.OpenAI, control: RemoteControl
) -> None:
    control.add_fault("restart_stream")
    control.add_fault("vendor", done_marker=True, comments=True, line_ending="crlf")
    events = strictly(client.responses.create(**ASKED, stream=True))

    assert text_of(events).endswith("One two three.")
    assert events[-1].response.output_text == "One two three."


def test_a_cut_stream_is_resumed(client: openai.OpenAI, control: RemoteControl) -> None:
    control.add_fault("cut_stream", after_events=6, ending="eof")
    seen: list[Any] = []
    with pytest.raises(openai.APIConnectionError):
        seen.extend(client.responses.create(**BACKGROUND, stream=True))
    rest = client.responses.retrieve(
        seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
    )

    assert len(seen) == 6
    assert text_of([*seen, *rest]) == "One two three."


def test_what_cannot_be_resumed_is_a_bad_request(
    client: openai.OpenAI, control: RemoteControl
) -> None:
    control.stop_clock()
    response_id = strictly(client.responses.create(**BACKGROUND, stream=True))[0].response.id
    control.advance(301)
    with pytest.raises(openai.BadRequestError, match="more than 5 minutes old"):
        client.responses.retrieve(response_id, stream=True)


def test_input_items_and_delete(client: openai.OpenAI) -> None:
    turns: Any = [{"role": "user", "content": str(turn)} for turn in range(5)]
    created = client.responses.create(model="echo", input=turns)
    pages = client.responses.input_items.list(created.id, limit=2)
    texts = [item.content[0].text for item in pages]  # type: ignore[union-attr,index]
    client.responses.delete(created.id)

    assert texts == ["4", "3", "2", "1", "0"]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(created.id)


def test_a_rate_limit_is_its_own_error(client: openai.OpenAI, control: RemoteControl) -> None:
    control.change_settings(requests_per_minute=1)
    client.responses.create(**ASKED)
    with pytest.raises(openai.RateLimitError) as refused:
        client.responses.create(**ASKED)

    assert int(refused.value.response.headers["retry-after"]) >= 59
