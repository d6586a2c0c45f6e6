"""The order of events as the API describes it, written as a grammar over their names."""

from __future__ import annotations

import re
from typing import Any

_PART = (
    r"(content_part\.added "
    r"((output_text\.delta )*(output_text\.annotation\.added )*output_text\.done |"
    r"(refusal\.delta )*refusal\.done |"
    r"(reasoning_text\.delta )*reasoning_text\.done )"
    r"content_part\.done )*"
)
_SUMMARY = (
    r"(reasoning_summary_part\.added (reasoning_summary_text\.delta )*"
    r"reasoning_summary_text\.done reasoning_summary_part\.done )*"
)


def _hosted(kind: str, first: str, written: str = "", last: str = "completed") -> str:
    return rf"{kind}\.in_progress ({kind}\.{first} )?{written}({kind}\.{last} )+"


_CALL = "|".join(
    [
        r"(function_call_arguments\.delta )*function_call_arguments\.done ",
        r"(custom_tool_call_input\.delta )*custom_tool_call_input\.done ",
        _hosted("web_search_call", "searching"),
        _hosted("file_search_call", "searching"),
        _hosted("image_generation_call", "generating"),
        _hosted(
            "mcp_call",
            "none",
            r"(mcp_call_arguments\.delta )*mcp_call_arguments\.done ",
            "(completed|failed)",
        ),
        _hosted("mcp_list_tools", "none", last="(completed|failed)"),
        _hosted(
            "code_interpreter_call",
            "none",
            r"(code_interpreter_call_code\.delta )*code_interpreter_call_code\.done ",
            "(interpreting|completed)",
        ),
    ]
)
_ITEM = rf"output_item\.added ({_PART}|{_SUMMARY}{_PART}|{_CALL})output_item\.done "
GRAMMAR = re.compile(
    rf"created (queued )?in_progress ({_ITEM})*(completed|failed|incomplete) ",
)


def check(events: list[dict[str, Any]]) -> None:
    """Assert that a whole stream keeps the order, and says what its last event holds."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    heard = [event for event in events if event["type"] != "keepalive"]
    names = "".join(event["type"].removeprefix("response.") + " " for event in heard)
    assert GRAMMAR.fullmatch(names), names
    output = heard[-1]["response"]["output"]
    items = [event for event in heard if event["type"] == "response.output_item.done"]
    assert [event["item"] for event in items] == output
    assert [event["output_index"] for event in items] == list(range(len(output)))
    _check_pieces(heard)


def _check_pieces(events: list[dict[str, Any]]) -> None:
    """Assert that every `done` repeats the deltas before it, of the same place."""
    said: dict[tuple[Any, ...], str] = {}
    for event in events:
        name, _, stage = event["type"].rpartition(".")
        indexes = ("item_id", "output_index", "content_index", "summary_index")
        place = (name, *(event.get(index) for index in indexes))
        if stage == "delta":
            said[place] = said.get(place, "") + event["delta"]
        elif stage == "done" and "item_id" in event and "part" not in event:
            fields = ("text", "refusal", "arguments", "input", "code")
            whole = next(event[field] for field in fields if field in event)
            assert said.pop(place, "") == whole
    assert said == {}
