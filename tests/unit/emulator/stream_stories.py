"""Responses to stream, made without a server, and random outputs for them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from prefect_responses.emulator.lifecycle import Status, Timeline
from prefect_responses.emulator.models.answers import ModelAnswer, message_item, text_content
from prefect_responses.emulator.response_objects import echoed_parameters
from prefect_responses.emulator.stored_responses import StoredResponse
from prefect_responses.emulator.streaming.event_log import LoggedEvent, event_log
from prefect_responses.emulator.streaming.stream_plans import StreamPlan

ACCEPTED_AT = 1000.0
_LATER = 1e12

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
_CITATION = {
    "type": "url_citation",
    "url": "https://example.com/",
    "title": "An example",
    "start_index": 0,
    "end_index": 1,
}


def _message(texts: list[str], *, cited: bool) -> dict[str, Any]:
    parts = [text_content(text) | {"annotations": [_CITATION] * cited} for text in texts]
    return {**message_item({}), "content": parts}


def _refusal(text: str) -> dict[str, Any]:
    return message_item({"type": "refusal", "refusal": text})


def _reasoning(texts: list[str]) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in texts]}


def _call(kind: str, text: str) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {
        "function_call": {"call_id": "call_1", "name": "f", "arguments": text},
        "custom_tool_call": {"call_id": "call_2", "name": "c", "input": text},
        "web_search_call": {"action": {"type": "search", "query": text}},
        "file_search_call": {"queries": [text]},
        "image_generation_call": {"result": None},
        "mcp_call": {"name": "m", "server_label": "s", "arguments": text},
        "code_interpreter_call": {"code": text, "container_id": "cntr_1", "outputs": None},
        "mcp_approval_request": {"name": "m", "server_label": "s", "arguments": text},
    }
    has_status = kind not in {"custom_tool_call", "mcp_approval_request"}
    status = {"status": "completed"} if has_status else {}
    return {"type": kind, **known[kind], **status}


CALLS = st.builds(
    _call,
    st.sampled_from(
        [
            "function_call",
            "custom_tool_call",
            "web_search_call",
            "file_search_call",
            "image_generation_call",
            "mcp_call",
            "code_interpreter_call",
            "mcp_approval_request",
        ]
    ),
    TEXTS,
)
#: Any output that a script may hold, without IDs.
OUTPUTS = st.lists(
    st.builds(_message, st.lists(TEXTS, max_size=2), cited=st.booleans())
    | st.builds(_refusal, TEXTS)
    | st.builds(_reasoning, st.lists(TEXTS, max_size=2))
    | CALLS,
    max_size=4,
)


def streamed(
    output: list[dict[str, Any]],
    ending: Status = Status.COMPLETED,
    *,
    waits: float = 2.0,
    works: float = 8.0,
    token_rate: float | None = None,
    **planned: Any,
) -> StoredResponse:
    """Make a background response that is streamed."""
    named = [{"id": f"item_{place}", **item} for place, item in enumerate(output)]
    started = ACCEPTED_AT + waits
    response = StoredResponse(
        id="resp_1",
        parameters=echoed_parameters({"model": "script", "background": True}),
        input="Hi.",
        input_digest="",
        answer=ModelAnswer(tuple(output), ending),
        output=named,
        usage={},
        timeline=Timeline(ACCEPTED_AT, started, started + works, ending),
        gone_at=_LATER,
    )
    plan = StreamPlan(**{"items": tuple(named), **planned})
    response.stream, response.timeline = plan.timed(response.timeline, token_rate)
    return response


def said(text: str) -> list[dict[str, Any]]:
    """Make the output that says a text."""
    return [message_item(text_content(text))]


def log_of(response: StoredResponse, now: float = _LATER) -> list[LoggedEvent]:
    """Read the log as far as it is visible."""
    return [logged for logged in event_log(response, now) if logged.time <= now]


def names_of(log: list[LoggedEvent]) -> list[str]:
    """List the names of events, deltas said in a row once."""
    names = [logged.payload["type"].removeprefix("response.") for logged in log]
    return [n for n, before in zip(names, [None, *names], strict=False) if n != before]
