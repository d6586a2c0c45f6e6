"""The faults that a test can ask for, and the requests that they apply to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    """A part of a fault rule; a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")


class Ending(StrEnum):
    """How a connection ends: with a TCP reset, or with an orderly close."""

    RESET = "reset"
    EOF = "eof"


class DropBefore(_Strict):
    """Close the connection without looking at the request: nothing is accepted or answered."""

    kind: Literal["drop_before"]
    ending: Ending = Ending.RESET


class AcceptThenDrop(_Strict):
    """Do what is asked, then close the connection in place of the answer."""

    kind: Literal["accept_then_drop"]
    ending: Ending = Ending.RESET


class AcceptThenStall(_Strict):
    """Do what is asked, then hold the answer back."""

    kind: Literal["accept_then_stall"]
    seconds: float = Field(ge=0)


class Delay(_Strict):
    """Wait before doing anything."""

    kind: Literal["delay"]
    seconds: float = Field(ge=0)


class ErrorBody(StrEnum):
    """What the body of an error looks like."""

    ENVELOPED = "enveloped"
    BARE = "bare"
    DETAIL = "detail"
    PLAIN = "plain"
    HTML = "html"


class ErrorAnswer(_Strict):
    """An error to answer with: a code fills in what the others leave out."""

    status: int | None = Field(default=None, ge=400, le=599)
    code: str | int | None = None
    type: str | None = None
    message: str | None = None
    param: str | None = None
    body: ErrorBody = ErrorBody.ENVELOPED
    retry_after: int | float | str | None = None
    retry_after_ms: float | None = None
    should_retry: bool | None = None
    headers: dict[str, str] = Field(default_factory=dict)


class AnswerStatus(ErrorAnswer):
    """Answer with an error; nothing is accepted."""

    kind: Literal["status"]


class AcceptThenStatus(ErrorAnswer):
    """Do what is asked, then answer with an error."""

    kind: Literal["accept_then_status"]


class UnreadableBody(StrEnum):
    """What stands in place of the body."""

    TRUNCATED = "truncated"
    ARRAY = "array"
    EMPTY = "empty"
    TEXT = "text"


class Unreadable(_Strict):
    """Do what is asked, then answer with its status and a body that cannot be read."""

    kind: Literal["unreadable"]
    body: UnreadableBody = UnreadableBody.TRUNCATED


class Redirect(_Strict):
    """Send the client elsewhere; nothing is accepted."""

    kind: Literal["redirect"]
    status: Literal[301, 302, 303, 307, 308] = 307
    location: str


class Gone(_Strict):
    """Answer as if the response of this ID did not exist."""

    kind: Literal["gone"]


#: What happens to a request and its answer on their way.
WireFault = (
    DropBefore
    | AcceptThenDrop
    | AcceptThenStall
    | Delay
    | AnswerStatus
    | AcceptThenStatus
    | Unreadable
    | Redirect
    | Gone
)


class Fail(_Strict):
    """Let the response that is created end as failed."""

    kind: Literal["fail"]
    code: str = "server_error"
    message: str | None = None


class Incomplete(_Strict):
    """Let the response that is created end as incomplete, in the middle of its text."""

    kind: Literal["incomplete"]
    reason: str = "max_output_tokens"


class Refusal(_Strict):
    """Let the model refuse."""

    kind: Literal["refusal"]
    message: str = "I'm sorry, but I can't help with that."


class CancelThenCompletes(_Strict):
    """Answer a cancel with `cancelled`, and complete all the same some seconds later."""

    kind: Literal["cancel_then_completes"]
    after_cancel: float = Field(default=1.0, ge=0)


class ErrorForm(StrEnum):
    """What an error looks like in a stream: as documented, or as seen on the wire."""

    FLAT = "flat"
    NESTED = "nested"


class AfterError(StrEnum):
    """What follows an error in a stream: `response.failed`, nothing, or all the rest."""

    FAILED = "failed"
    ENDS = "ends"
    COMPLETES = "completes"


class StreamError(_Strict):
    """Report an error in the stream of the response that is created."""

    kind: Literal["stream_error"]
    form: ErrorForm = ErrorForm.NESTED
    code: str = "server_error"
    message: str | None = None
    after_deltas: int = Field(default=0, ge=0)
    then: AfterError = AfterError.FAILED


class RestartStream(_Strict):
    """Begin the output anew inside the stream, as a server does that was restarted."""

    kind: Literal["restart_stream"]
    after_deltas: int = Field(default=2, ge=0)
    first_text: str = "This text was lost when the server restarted."


#: How a response ends.
OutcomeFault = Fail | Incomplete | Refusal | CancelThenCompletes | StreamError | RestartStream
#: The outcomes that only a response which is streamed can have.
STREAMED_OUTCOMES = (StreamError, RestartStream)


class StreamEnding(StrEnum):
    """How a stream is cut: by a TCP reset, by closing the connection, or by ending the body."""

    RESET = "reset"
    EOF = "eof"
    CLEAN = "clean"


class CutStream(_Strict):
    """End a stream after so many events or bytes; the response itself knows nothing of it."""

    kind: Literal["cut_stream"]
    after_events: int | None = Field(default=None, ge=0)
    after_bytes: int | None = Field(default=None, ge=0)
    ending: StreamEnding = StreamEnding.RESET

    @model_validator(mode="after")
    def _says_where_once(self) -> Self:
        if (self.after_events is None) is (self.after_bytes is None):
            raise ValueError("Say after how many events, or after how many bytes.")
        return self


class StallStream(_Strict):
    """Hold a stream back for a while after so many events."""

    kind: Literal["stall_stream"]
    after_events: int = Field(default=0, ge=0)
    seconds: float = Field(ge=0)


class SlowStream(_Strict):
    """Send a stream in pieces of so many bytes, which split characters too."""

    kind: Literal["slow_stream"]
    chunk_bytes: int = Field(default=1, ge=1)
    seconds: float = Field(default=0.0, ge=0)


#: What happens to a stream on its way; strikes only requests that ask for one.
StreamFault = CutStream | StallStream | SlowStream


class LineEnding(StrEnum):
    """How the lines of a stream end."""

    LF = "lf"
    CRLF = "crlf"
    CR = "cr"


class Vendor(_Strict):
    """Behave in some points as servers other than OpenAI's do."""

    kind: Literal["vendor"]
    background_ignored: bool = False
    first_status: Literal["queued", "in_progress"] = "queued"
    created_status: Literal[200, 201, 202] = 200
    integer_error_codes: bool = False
    errors: ErrorBody = ErrorBody.ENVELOPED
    minimal_bodies: bool = False
    background_stream: Literal["accept", "reject"] = "accept"
    #: Create answers `stream` with JSON.
    json_instead_of_stream: bool = False
    #: Retrieve answers `stream` with JSON.
    resume_ignored: bool = False
    #: `data: [DONE]` comes last.
    done_marker: bool = False
    comments: bool = False
    line_ending: LineEnding = LineEnding.LF
    event_lines: bool = True
    sequence_numbers: bool = True
    #: Numbers grow by this; more than 1 leaves gaps.
    sequence_step: int = Field(default=1, ge=1)
    #: The type of the last event, whatever the status in it.
    terminal_event: str | None = None
    queued_while_streaming: bool = False
    stays_open: bool = False
    resume_past_end_hangs: bool = False


Fault = Annotated[
    DropBefore
    | AcceptThenDrop
    | AcceptThenStall
    | Delay
    | AnswerStatus
    | AcceptThenStatus
    | Unreadable
    | Redirect
    | Gone
    | Fail
    | Incomplete
    | Refusal
    | CancelThenCompletes
    | StreamError
    | RestartStream
    | CutStream
    | StallStream
    | SlowStream
    | Vendor,
    Field(discriminator="kind"),
]


class Match(_Strict):
    """Which requests a rule is for; what is left out matches all."""

    method: str | None = None
    path_regex: str | None = None
    query_regex: str | None = None
    body_contains: str | None = None
    model: str | None = None


class FaultRule(_Strict):
    """One fault, the requests it is for, and how often it strikes.

    Of the requests that match, the first `after` pass; of the others each is struck with the
    given probability, until `times` were (null: for ever).
    """

    match: Match = Field(default_factory=Match)
    fault: Fault
    times: int | None = Field(default=1, ge=1)
    after: int = Field(default=0, ge=0)
    probability: float = Field(default=1.0, ge=0, le=1)


def describe(rule: FaultRule, *, seen: int, hits: int) -> dict[str, Any]:
    """Write a rule with how often it was met and how often it struck."""
    return {**rule.model_dump(mode="json"), "seen": seen, "hits": hits}
