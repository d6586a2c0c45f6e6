"""Find the texts in the API's output items, and say where each stands."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class PieceKind(StrEnum):
    """Name what a piece of text belongs to. The words are stored in snapshots."""

    #: What the model answers, its comments on the way included.
    TEXT = "text"
    REFUSAL = "refusal"
    #: The summary of its reasoning; the index of the summary stands for the content index.
    REASONING = "reasoning"
    #: The reasoning itself, which open models show.
    REASONING_TEXT = "reasoning_text"
    #: What a function, an MCP tool or a custom tool is called with.
    ARGUMENTS = "arguments"


class Part(NamedTuple):
    """Say where a text stands in the output of a response."""

    kind: PieceKind
    output_index: int
    content_index: int


def has_output(response: Mapping[str, Any] | None) -> bool:
    """Tell whether *response* says anything of its output."""
    return bool(response and isinstance(response.get("output"), list) and response["output"])


def texts_of_response(response: Mapping[str, Any] | None) -> Iterator[tuple[Part, str]]:
    """Yield all texts of a response, in the order of its output."""
    if response is not None and has_output(response):
        for index, item in enumerate(response["output"]):
            yield from texts_of_item(item, index)


def texts_of_item(item: object, output_index: int) -> Iterator[tuple[Part, str]]:
    """Yield the texts of one output item; none of an item of another type than these."""
    if not isinstance(item, dict):
        return
    match item.get("type"):
        case "message" | "reasoning":
            yield from _texts_of_list(item.get("summary"), output_index)
            yield from _texts_of_list(item.get("content"), output_index)
        case "function_call" | "mcp_call":
            yield from if_text(Part(PieceKind.ARGUMENTS, output_index, 0), item.get("arguments"))
        case "custom_tool_call":
            yield from if_text(Part(PieceKind.ARGUMENTS, output_index, 0), item.get("input"))
        case _:
            return


def _texts_of_list(contents: object, output_index: int) -> Iterator[tuple[Part, str]]:
    for index, content in enumerate(contents if isinstance(contents, list) else ()):
        yield from texts_of_content(content, output_index, index)


_CONTENTS: Mapping[object, tuple[PieceKind, str]] = {
    "output_text": (PieceKind.TEXT, "text"),
    "refusal": (PieceKind.REFUSAL, "refusal"),
    "summary_text": (PieceKind.REASONING, "text"),
    "reasoning_text": (PieceKind.REASONING_TEXT, "text"),
}


def texts_of_content(
    content: object, output_index: int, content_index: int
) -> Iterable[tuple[Part, str]]:
    """Return the text of one part of an item, if it has one."""
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        return ()
    kind, name = _CONTENTS.get(content["type"], (None, ""))
    if kind is None:
        return ()
    return if_text(Part(kind, output_index, content_index), content.get(name))


def if_text(part: Part, text: object) -> Iterable[tuple[Part, str]]:
    """Return *text* with its place if it is a text."""
    return ((part, text),) if isinstance(text, str) else ()
