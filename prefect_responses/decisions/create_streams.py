"""Say what a streamed create came to, from the events up to the first that names its response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from prefect_responses.decisions.verdicts import CreateAccepted, CreateAmbiguous
from prefect_responses.errors import AnswerAmbiguous
from prefect_responses.wire.responses import ResponseUnreadable, read_response_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect_responses.wire.answers import AnswerHead
    from prefect_responses.wire.responses import Response
    from prefect_responses.wire.stream_events import StreamEvent

_OK = 200


def response_of(event: StreamEvent) -> Response | None:
    """Return the response that *event* names, or None if it names none."""
    try:
        return read_response_object(event.response)
    except ResponseUnreadable:
        return None


def read_create_events(
    events: Iterable[StreamEvent], head: AnswerHead, note: str = ""
) -> CreateAccepted | CreateAmbiguous:
    """Say whether the events of a create name the response that it made.

    A stream that began and named none is in doubt: the server answered, and may be at work.

    Args:
        events: what came, in order, up to the first event that names a response.
        head: what the headers said.
        note: why no more came, in words without secrets.
    """
    said = ""
    for event in events:
        response = response_of(event)
        if response is not None:
            body = orjson.dumps(event.response) if event.is_terminal else b""
            return CreateAccepted(response, body, head.server_request_id)
        said = said or (event.error.message if event.error else "")
    reason = ": ".join(word for word in (note, said) if word)
    return CreateAmbiguous(
        AnswerAmbiguous(
            f"The stream began and named no response ({reason or 'it ended'}).",
            status=_OK,
            server_request_id=head.server_request_id,
        )
    )
