"""The events that tell of output items, in the order of the API.

Events carry no `sequence_number` here; the log numbers them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Payload = dict[str, Any]

#: What is said at a time: a word with the space before it, long words in parts.
_TOKEN = re.compile(r"\s*\S{1,12}|\s+")


class _Written(NamedTuple):
    """A field of an item that is streamed as it is written, and the name of its events."""

    field: str
    event: str


class _Stages(NamedTuple):
    """The stages of a hosted tool's work that have events: before and after what it writes."""

    before: tuple[str, ...]
    after: tuple[str, ...]


#: Item type -> what of it is streamed in deltas.
_WRITTEN: dict[str, _Written] = {
    "function_call": _Written("arguments", "response.function_call_arguments"),
    "custom_tool_call": _Written("input", "response.custom_tool_call_input"),
    "mcp_call": _Written("arguments", "response.mcp_call_arguments"),
    "code_interpreter_call": _Written("code", "response.code_interpreter_call_code"),
}

#: Item type -> the stages of its work.
_STAGES: dict[str, _Stages] = {
    "web_search_call": _Stages(("in_progress", "searching"), ("completed",)),
    "file_search_call": _Stages(("in_progress", "searching"), ("completed",)),
    "code_interpreter_call": _Stages(("in_progress",), ("interpreting", "completed")),
    "image_generation_call": _Stages(("in_progress", "generating"), ("completed",)),
    "mcp_list_tools": _Stages(("in_progress",), ("completed",)),
    "mcp_call": _Stages(("in_progress",), ("completed",)),
}

#: Part type -> what of it is streamed, and what its events carry besides.
_PARTS: dict[str, tuple[_Written, Payload]] = {
    "output_text": (_Written("text", "response.output_text"), {"logprobs": []}),
    "refusal": (_Written("refusal", "response.refusal"), {}),
    "reasoning_text": (_Written("text", "response.reasoning_text"), {}),
}


def item_events(items: Iterable[dict[str, Any]]) -> Iterator[Payload]:
    """Yield the events of output items, one item after the other."""
    for index, item in enumerate(items):
        yield from _TELLERS.get(item["type"], _call_events)(index, item)


def is_delta(payload: Payload) -> bool:
    """Tell whether an event says a piece of something."""
    return str(payload["type"]).endswith(".delta")


def event(name: str, **fields: Any) -> Payload:
    """Make an event that is not numbered yet."""
    return {"type": name, "sequence_number": None, **fields}


def _added(index: int, item: dict[str, Any]) -> Payload:
    return event("response.output_item.added", output_index=index, item=item)


def _done(index: int, item: dict[str, Any]) -> Payload:
    return event("response.output_item.done", output_index=index, item=item)


def _message_events(index: int, item: dict[str, Any]) -> Iterator[Payload]:
    yield _added(index, {**item, "status": "in_progress", "content": []})
    yield from _content_events(index, item)
    yield _done(index, item)


def _content_events(index: int, item: dict[str, Any]) -> Iterator[Payload]:
    for part_index, part in enumerate(item.get("content") or ()):
        where = {"item_id": item["id"], "output_index": index, "content_index": part_index}
        yield from _part_events(part, where)


def _part_events(part: dict[str, Any], where: Payload) -> Iterator[Payload]:
    written, extra = _PARTS.get(part["type"], (None, {}))
    begun = {**part, "annotations": []} if "annotations" in part else dict(part)
    if written is not None:
        begun[written.field] = ""
    yield event("response.content_part.added", **where, part=begun)
    if written is not None:
        text, annotations = part.get(written.field) or "", part.get("annotations") or ()
        yield from _written_events(written, text, where, extra, annotations)
    yield event("response.content_part.done", **where, part=part)


def _written_events(
    written: _Written, text: str, where: Payload, extra: Payload, annotations: Iterable[Any] = ()
) -> Iterator[Payload]:
    name = f"{written.event}.delta"
    for token in _TOKEN.findall(text):
        yield {"type": name, "sequence_number": None, **where, "delta": token, **extra}
    for number, annotation in enumerate(annotations):
        place = {**where, "annotation_index": number, "annotation": annotation}
        yield event("response.output_text.annotation.added", **place)
    yield event(f"{written.event}.done", **where, **{written.field: text}, **extra)


def _reasoning_events(index: int, item: dict[str, Any]) -> Iterator[Payload]:
    yield _added(index, {**item, "summary": []})
    for part_index, part in enumerate(item.get("summary") or ()):
        where = {"item_id": item["id"], "output_index": index, "summary_index": part_index}
        begun = {**part, "text": ""}
        yield event("response.reasoning_summary_part.added", **where, part=begun)
        written = _Written("text", "response.reasoning_summary_text")
        yield from _written_events(written, part["text"], where, {})
        yield event("response.reasoning_summary_part.done", **where, part=part)
    yield from _content_events(index, item)
    yield _done(index, item)


def _call_events(index: int, item: dict[str, Any]) -> Iterator[Payload]:
    """Tell of a call, or of an item of a kind that has no events of its own."""
    kind, where = item["type"], {"item_id": item["id"], "output_index": index}
    written, stages = _WRITTEN.get(kind), _STAGES.get(kind, _Stages((), ()))
    yield _added(index, _begun(item, written))
    for stage in stages.before:
        yield event(f"response.{kind}.{stage}", **where)
    if written is not None:
        yield from _written_events(written, item.get(written.field) or "", where, {})
    for stage in stages.after:
        yield event(f"response.{kind}.{_as_it_ended(stage, item)}", **where)
    yield _done(index, item)


def _begun(item: dict[str, Any], written: _Written | None) -> dict[str, Any]:
    begun = {**item, "status": "in_progress"} if "status" in item else dict(item)
    if written is not None:
        begun[written.field] = ""
    return begun


def _as_it_ended(stage: str, item: dict[str, Any]) -> str:
    has_failed = item["type"].startswith("mcp_") and item.get("error")
    return "failed" if stage == "completed" and has_failed else stage


_TELLERS: dict[str, Callable[[int, dict[str, Any]], Iterator[Payload]]] = {
    "message": _message_events,
    "reasoning": _reasoning_events,
}
