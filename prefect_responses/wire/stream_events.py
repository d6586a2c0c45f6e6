"""Read the events of a streamed response, whoever sent them and however they were cut.

Nothing that a server sends raises: an event that cannot be read is there as a broken one, one of an
unknown type is carried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.statuses import ResponseStatus
from prefect_responses.wire.envelopes import ErrorEnvelope, clean_message, read_error_object
from prefect_responses.wire.server_sent_events import EventDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prefect_responses.wire.server_sent_events import ServerSentEvent

#: Bytes of one event that are read at most; the last one carries the whole response.
LARGEST_EVENT = 16 * 2**20
_LARGEST_SEQUENCE = 2**63 - 1
#: What some servers send last, in place of an event.
_LAST_DATA = b"[DONE]"


class EventType(StrEnum):
    """Name what an event tells (API reference, Streaming events)."""

    #: It cannot be read: no JSON object, or too long.
    BROKEN = "(broken)"
    #: A type that no reference names; carried, and counted where it has a number.
    UNKNOWN = "(unknown)"
    ERROR = "error"
    #: In no reference, but sent by the API itself, with a number.
    KEEPALIVE = "keepalive"
    AUDIO_DELTA = "response.audio.delta"
    AUDIO_DONE = "response.audio.done"
    AUDIO_TRANSCRIPT_DELTA = "response.audio.transcript.delta"
    AUDIO_TRANSCRIPT_DONE = "response.audio.transcript.done"
    CODE_INTERPRETER_CALL_CODE_DELTA = "response.code_interpreter_call_code.delta"
    CODE_INTERPRETER_CALL_CODE_DONE = "response.code_interpreter_call_code.done"
    CODE_INTERPRETER_CALL_COMPLETED = "response.code_interpreter_call.completed"
    CODE_INTERPRETER_CALL_IN_PROGRESS = "response.code_interpreter_call.in_progress"
    CODE_INTERPRETER_CALL_INTERPRETING = "response.code_interpreter_call.interpreting"
    COMPACTION_COMPACTING = "response.compaction.compacting"
    COMPLETED = "response.completed"
    CONTENT_PART_ADDED = "response.content_part.added"
    CONTENT_PART_DONE = "response.content_part.done"
    CREATED = "response.created"
    FILE_SEARCH_CALL_COMPLETED = "response.file_search_call.completed"
    FILE_SEARCH_CALL_IN_PROGRESS = "response.file_search_call.in_progress"
    FILE_SEARCH_CALL_SEARCHING = "response.file_search_call.searching"
    FUNCTION_CALL_ARGUMENTS_DELTA = "response.function_call_arguments.delta"
    FUNCTION_CALL_ARGUMENTS_DONE = "response.function_call_arguments.done"
    SHELL_CALL_COMMAND_ADDED = "response.shell_call_command.added"
    SHELL_CALL_COMMAND_DELTA = "response.shell_call_command.delta"
    SHELL_CALL_COMMAND_DONE = "response.shell_call_command.done"
    SHELL_CALL_OUTPUT_CONTENT_DELTA = "response.shell_call_output_content.delta"
    SHELL_CALL_OUTPUT_CONTENT_DONE = "response.shell_call_output_content.done"
    IN_PROGRESS = "response.in_progress"
    FAILED = "response.failed"
    INCOMPLETE = "response.incomplete"
    OUTPUT_ITEM_ADDED = "response.output_item.added"
    OUTPUT_ITEM_DONE = "response.output_item.done"
    REASONING_SUMMARY_PART_ADDED = "response.reasoning_summary_part.added"
    REASONING_SUMMARY_PART_DONE = "response.reasoning_summary_part.done"
    REASONING_SUMMARY_TEXT_DELTA = "response.reasoning_summary_text.delta"
    REASONING_SUMMARY_TEXT_DONE = "response.reasoning_summary_text.done"
    REASONING_TEXT_DELTA = "response.reasoning_text.delta"
    REASONING_TEXT_DONE = "response.reasoning_text.done"
    REFUSAL_DELTA = "response.refusal.delta"
    REFUSAL_DONE = "response.refusal.done"
    OUTPUT_TEXT_DELTA = "response.output_text.delta"
    OUTPUT_TEXT_DONE = "response.output_text.done"
    WEB_SEARCH_CALL_COMPLETED = "response.web_search_call.completed"
    WEB_SEARCH_CALL_IN_PROGRESS = "response.web_search_call.in_progress"
    WEB_SEARCH_CALL_SEARCHING = "response.web_search_call.searching"
    IMAGE_GENERATION_CALL_COMPLETED = "response.image_generation_call.completed"
    IMAGE_GENERATION_CALL_GENERATING = "response.image_generation_call.generating"
    IMAGE_GENERATION_CALL_IN_PROGRESS = "response.image_generation_call.in_progress"
    IMAGE_GENERATION_CALL_PARTIAL_IMAGE = "response.image_generation_call.partial_image"
    MCP_CALL_ARGUMENTS_DELTA = "response.mcp_call_arguments.delta"
    MCP_CALL_ARGUMENTS_DONE = "response.mcp_call_arguments.done"
    MCP_CALL_COMPLETED = "response.mcp_call.completed"
    MCP_CALL_FAILED = "response.mcp_call.failed"
    MCP_CALL_IN_PROGRESS = "response.mcp_call.in_progress"
    MCP_LIST_TOOLS_COMPLETED = "response.mcp_list_tools.completed"
    MCP_LIST_TOOLS_FAILED = "response.mcp_list_tools.failed"
    MCP_LIST_TOOLS_IN_PROGRESS = "response.mcp_list_tools.in_progress"
    OUTPUT_TEXT_ANNOTATION_ADDED = "response.output_text.annotation.added"
    QUEUED = "response.queued"
    CUSTOM_TOOL_CALL_INPUT_DELTA = "response.custom_tool_call_input.delta"
    CUSTOM_TOOL_CALL_INPUT_DONE = "response.custom_tool_call_input.done"


_TYPES: Mapping[str, EventType] = {
    each.value: each for each in EventType if each not in {EventType.BROKEN, EventType.UNKNOWN}
}
#: How a response ended, if it does not say so itself.
_STATUSES: Mapping[EventType, ResponseStatus] = {
    EventType.COMPLETED: ResponseStatus.COMPLETED,
    EventType.FAILED: ResponseStatus.FAILED,
    EventType.INCOMPLETE: ResponseStatus.INCOMPLETE,
}


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Hold one event of a streamed response.

    Args:
        type: its type as the server wrote it; empty if it wrote none.
        event_type: the same as a closed set.
        data: the whole event; empty if it is broken.
        sequence: its number, which grows and may skip; None if the server wrote none.
    """

    type: str
    event_type: EventType
    data: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    sequence: int | None = None

    @property
    def known(self) -> bool:
        """Tell whether it can be read and its type is in a reference, or is `keepalive`."""
        return self.event_type not in {EventType.BROKEN, EventType.UNKNOWN}

    @property
    def response(self) -> dict[str, Any] | None:
        """Return the response that it carries, or None."""
        response = self.data.get("response")
        return response if isinstance(response, dict) else None

    @property
    def status(self) -> ResponseStatus | None:
        """Return the status of the response that it carries, or None.

        Servers have been seen to send `response.failed` with a response that is `cancelled`: what
        the response says counts, and the type of the event only if the response says nothing.
        """
        response = self.response
        if response is None:
            return None
        word = response.get("status")
        return ResponseStatus(word) if isinstance(word, str) else _STATUSES.get(self.event_type)

    @property
    def is_terminal(self) -> bool:
        """Tell whether it carries a response that will not change any more."""
        status = self.status
        return status is not None and status.is_terminal

    @property
    def error(self) -> ErrorEnvelope | None:
        """Return why the stream failed, flat or nested, or None.

        The response of a failed one has an error of its own (`wire.responses`).
        """
        if self.event_type not in {EventType.ERROR, EventType.UNKNOWN}:
            return None
        inner = self.data.get("error")
        if isinstance(inner, dict) and inner:
            return read_error_object(inner)
        if isinstance(inner, str) and inner:
            return ErrorEnvelope(clean_message(inner), structured=True)
        if self.event_type is EventType.ERROR:
            return read_error_object({**self.data, "type": None})
        return None


class EventReader:
    """Take the bytes of a stream as they come and give the events that they complete.

    Args:
        largest_event: bytes of an event that are read at most; a longer one is broken.
        clean: applied to the bytes of each event before they are read, to keep secrets out.
    """

    def __init__(
        self,
        *,
        largest_event: int = LARGEST_EVENT,
        clean: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._decoder = EventDecoder(largest_event)
        self._clean = clean
        #: Whether the server said that nothing follows, or `close` was called.
        self.is_closed = False

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that *chunk* completes; none once the stream is closed."""
        events: list[StreamEvent] = []
        for sent in self._decoder.decode(chunk):
            if self.is_closed or sent.data.startswith(_LAST_DATA):
                self.is_closed = True
                continue
            events.append(self._read(sent))
        return events

    def close(self) -> None:
        """Drop the event that has begun, if any: half an event is none."""
        self.is_closed = True

    def _read(self, sent: ServerSentEvent) -> StreamEvent:
        data = sent.data if self._clean is None else self._clean(sent.data)
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            document = None
        name = sent.name.decode("utf-8", "replace")
        if not isinstance(document, dict):
            return StreamEvent(name, EventType.BROKEN)
        return read_event(document, name)


def read_event(document: dict[str, Any], name: str = "") -> StreamEvent:
    """Read one event from its JSON.

    Args:
        document: the whole event.
        name: what its `event:` line said; it counts where the event has no type of its own.
    """
    written = document.get("type")
    kind = written if isinstance(written, str) else name
    if not kind and document.get("error"):
        kind = EventType.ERROR.value
    sequence = document.get("sequence_number")
    if type(sequence) is not int or not 0 <= sequence <= _LARGEST_SEQUENCE:
        sequence = None
    return StreamEvent(kind, _TYPES.get(kind, EventType.UNKNOWN), document, sequence)
