"""Read a response object and keep everything in it.

The published schema is stricter than what servers send, so nothing but the ID is required: fields
may be missing, null or of another type; unknown statuses, items and parts are carried.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefect_responses.statuses import ResponseStatus
from prefect_responses.wire.envelopes import ErrorEnvelope, clean_message, read_error_object

if TYPE_CHECKING:
    from collections.abc import Iterator

_OBJECT = "response"
_HEAD_ID = re.compile(rb'^\s*\{\s*"id"\s*:\s*"([^"\\\x00-\x20]+)"\s*[,}]')
_HEAD_OBJECT = re.compile(rb'"object"\s*:\s*"response"')
_HEAD_BYTES = 4096


class ResponseUnreadable(ValueError):
    """These bytes are no response object."""


class Response(BaseModel):
    """One response of the API, as it was sent.

    Fields that are not declared here stay reachable as attributes and in `raw`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    id: str = Field(min_length=1)
    #: The status word as the server wrote it; empty if it wrote none.
    status_text: str = Field(default="", alias="status")

    def __repr__(self) -> str:
        # Short, because what a model wrote does not belong in a log.
        return f"Response(id={self.id!r}, status={self.status_text!r})"

    @property
    def raw(self) -> dict[str, Any]:
        """Return the whole object under the API's own names."""
        return {"id": self.id, "status": self.status_text, **self._extras}

    @property
    def _extras(self) -> dict[str, Any]:
        return self.__pydantic_extra__ or {}

    @property
    def status(self) -> ResponseStatus:
        """Return the status, UNKNOWN for a word that no reference names."""
        return ResponseStatus(self.status_text)

    @property
    def output(self) -> tuple[dict[str, Any], ...]:
        """Return the output items that are JSON objects, unknown types included."""
        return tuple(_objects(self._extras.get("output")))

    @property
    def output_text(self) -> str:
        """Return the text of the final answer.

        Several messages may carry a `phase`; only `final_answer`, or a message without a phase, is
        the answer (API reference, message item). Comments on the way are not.
        """
        return "".join(_part_texts(self.output, "output_text", "text"))

    @property
    def refusal(self) -> str | None:
        """Return the model's refusal, or None if it did not refuse."""
        return "".join(_part_texts(self.output, "refusal", "refusal")) or None

    @property
    def error(self) -> ErrorEnvelope | None:
        """Return why the response failed, or None; codes are an open set."""
        match self._extras.get("error"):
            case dict() as error:
                return read_error_object(error)
            case str() as text if text:
                return ErrorEnvelope(clean_message(text))
            case _:
                return None

    @property
    def incomplete_reason(self) -> str | None:
        """Return `incomplete_details.reason`, an open set, or None."""
        details = self._extras.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return reason if isinstance(reason, str) else None

    @property
    def usage(self) -> dict[str, Any] | None:
        """Return the tokens counted so far, or None; cancelled responses have none."""
        usage = self._extras.get("usage")
        return usage if isinstance(usage, dict) else None

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the metadata that was sent with the request."""
        metadata = self._extras.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def model(self) -> str | None:
        """Return the model that works, which may be a dated name of the one asked for."""
        model = self._extras.get("model")
        return model if isinstance(model, str) else None

    @property
    def store(self) -> bool | None:
        """Return whether the server keeps it, which may differ from what was asked, or None."""
        store = self._extras.get("store")
        return store if isinstance(store, bool) else None


def read_response(body: bytes) -> Response:
    """Read a response object from the bytes of an answer.

    An object without a status word is accepted if it calls itself a response: small servers leave
    the word out, and refusing their answer would pay for it again.

    Args:
        body: the whole body of an answer.

    Raises:
        ResponseUnreadable: this is no JSON, no object, or an object without an ID and a status.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ResponseUnreadable(f"The body is no JSON: {error}.") from error
    return read_response_object(document)


def read_response_object(document: Any) -> Response:
    """Read a response from parsed JSON; see `read_response`.

    Raises:
        ResponseUnreadable: *document* is no object with an ID and a status.
    """
    if not isinstance(document, dict):
        raise ResponseUnreadable("The body is JSON, but no object.")
    if not isinstance(document.get("status"), str):
        if document.get("object") != _OBJECT:
            raise ResponseUnreadable("The object has no status.")
        document = {**document, "status": ""}
    try:
        return Response.model_validate(document)
    except ValidationError as error:
        raise ResponseUnreadable("The object has no ID.") from error


def read_cut_response(body: bytes) -> Response:
    """Read the ID of a response whose body broke off.

    The API writes the ID first, so that even the beginning of an accepted answer says what was
    accepted. Its status is unknown until it is retrieved.

    Args:
        body: what arrived of the body.

    Raises:
        ResponseUnreadable: the body does not begin as a response with an ID.
    """
    head = body[:_HEAD_BYTES]
    found = _HEAD_ID.match(head)
    if found is None or not _HEAD_OBJECT.search(head):
        raise ResponseUnreadable("The body broke off before it named a response.")
    return read_response_object({"id": found[1].decode("utf-8", "replace"), "object": _OBJECT})


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _part_texts(output: tuple[dict[str, Any], ...], kind: str, field: str) -> Iterator[str]:
    for item in output:
        if item.get("type") != "message" or item.get("phase") not in {None, "final_answer"}:
            continue
        for part in _objects(item.get("content")):
            text = part.get(field)
            if part.get("type") == kind and isinstance(text, str):
                yield text
