"""Read a page of the responses that a server lists, in search of the one that is in doubt.

Pure: an `Answer` in, one member of a closed union out. "Not there" is said only of a list that was
read to where the response would be: everything that leaves it open is `CannotList`.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from prefect_responses.errors import (
    AnswerUnreadable,
    CredentialsRefused,
    EndpointUnreachable,
    RefusedForNow,
    RequestRefused,
)
from prefect_responses.identity import METADATA_KEY
from prefect_responses.wire.answers import TransportFailure
from prefect_responses.wire.envelopes import read_error_body
from prefect_responses.wire.responses import ResponseUnreadable, read_response_object

if TYPE_CHECKING:
    from prefect_responses.errors import ApiError
    from prefect_responses.wire.answers import Answer
    from prefect_responses.wire.responses import Response

#: Seconds by which the server's clock and ours may differ.
CLOCK_MARGIN = 60.0

#: What a server answers that does not list, and what stays as it is.
_LASTING = frozenset(range(300, 500)) | {HTTPStatus.NOT_IMPLEMENTED}
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})


@dataclass(frozen=True, slots=True)
class FoundIt:
    """The server has the response, so its POST was accepted."""

    response: Response


@dataclass(frozen=True, slots=True)
class NextPage:
    """It is not on this page; it may be on the one after *after*, the API's ID."""

    after: str


@dataclass(frozen=True, slots=True)
class NotThere:
    """It is on no page where it could be."""


@dataclass(frozen=True, slots=True)
class CannotList:
    """The list was not read, or does not say whose responses it names."""

    error: ApiError


PageVerdict: TypeAlias = FoundIt | NextPage | NotThere | CannotList


def read_page(answer: Answer, key: str, sent_at: float) -> PageVerdict:
    """Look for a response on one page of a list, the newest first.

    Args:
        answer: what the GET gave.
        key: the attempt's key, which was sent as metadata.
        sent_at: when its POST was sent, in seconds since the epoch. Pages that are a minute older
            cannot hold it.
    """
    if answer.status is None or answer.status // 100 != HTTPStatus.OK // 100:
        return CannotList(_refusal(answer))
    document = _document(answer.body)
    rows = document.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return CannotList(_unreadable(answer, "it is no list of responses"))
    for row in rows:
        if _key_of(row) == key:
            return _found(answer, row)
    return _not_here(answer, document, rows, sent_at)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _key_of(row: dict[str, Any]) -> object:
    metadata = row.get("metadata")
    return metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None


def _found(answer: Answer, row: dict[str, Any]) -> FoundIt | CannotList:
    try:
        return FoundIt(read_response_object(row))
    except ResponseUnreadable as error:
        return CannotList(_unreadable(answer, f"the response is there, but: {error}"))


def _not_here(
    answer: Answer, document: dict[str, Any], rows: list[dict[str, Any]], sent_at: float
) -> NextPage | NotThere | CannotList:
    if rows and not any("metadata" in row for row in rows):
        return CannotList(_unreadable(answer, "it does not show the metadata of its responses"))
    goes_on = document.get("has_more", bool(rows))
    if not goes_on or _is_past(rows, sent_at - CLOCK_MARGIN):
        return NotThere()
    last = document.get("last_id") or (rows[-1].get("id") if rows else None)
    if not isinstance(last, str):
        return CannotList(_unreadable(answer, "it does not say how it goes on"))
    return NextPage(last)


def _is_past(rows: list[dict[str, Any]], moment: float) -> bool:
    """Tell whether a page has the newest first and ends before *moment*.

    Some servers ignore the order that is asked for, or say no times: no reason to stop there.
    """
    times = [row.get("created_at") for row in rows]
    numbers = [time for time in times if isinstance(time, int | float)]
    if not rows or len(numbers) < len(rows):
        return False
    in_order = all(newer >= older for newer, older in pairwise(numbers))
    return in_order and numbers[0] > numbers[-1] and numbers[-1] < moment


def _refusal(answer: Answer) -> ApiError:
    said = read_error_body(answer.body).message or answer.note
    return _error(_refusal_kind(answer), answer, said)


def _refusal_kind(answer: Answer) -> type[ApiError]:
    match answer.status:
        case None if answer.failure is TransportFailure.NOT_SENT:
            return EndpointUnreachable
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return CredentialsRefused
        case HTTPStatus.TOO_MANY_REQUESTS:
            return RefusedForNow
        case int() as status if status in _LASTING - _PASSING:
            return RequestRefused
        case _:
            return AnswerUnreadable


def _unreadable(answer: Answer, why: str) -> ApiError:
    return _error(AnswerUnreadable, answer, why)


def _error(kind: type[ApiError], answer: Answer, said: str) -> ApiError:
    where = "no answer" if answer.status is None else f"HTTP {answer.status}"
    return kind(
        f"The responses of the server cannot be listed ({where}{': ' if said else ''}{said}).",
        status=answer.status,
        server_request_id=answer.server_request_id,
        retry_after=answer.retry_after,
    )
