"""Decide what an answer of the API means for the request that was sent.

Pure: an `Answer` in, one member of a closed union out. The rules are those of the API reference
(Errors, limits, retries; Cancel) with one addition: a create that may have been accepted is never
called safe, whatever a header suggests. `x-should-retry` is therefore not asked.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from prefect_responses.decisions.verdicts import (
    CancelRefused,
    CancelTaken,
    CancelUnknown,
    CancelVerdict,
    CreateAccepted,
    CreateAmbiguous,
    CreateNotSent,
    CreateParked,
    CreateRefused,
    CreateRefusedForNow,
    CreateVerdict,
    Gone,
    RetrieveParked,
    RetrieveVerdict,
    Seen,
    TryLater,
)
from prefect_responses.errors import (
    AnswerAmbiguous,
    AnswerUnreadable,
    ApiError,
    CredentialsRefused,
    EndpointUnreachable,
    ModelNotFound,
    Parked,
    QuotaExhausted,
    RefusedForNow,
    RequestRefused,
)
from prefect_responses.wire.answers import Answer, TransportFailure
from prefect_responses.wire.envelopes import ErrorEnvelope, read_error_body
from prefect_responses.wire.responses import (
    ResponseUnreadable,
    read_cut_response,
    read_response,
)

if TYPE_CHECKING:
    from prefect_responses.wire.responses import Response

_Failure = TypeVar("_Failure", bound=ApiError)

#: Types and codes that say that money or quota ran out (API reference, error table).
MONEY_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
LOCK_CODE = "conversation_locked"
MODEL_CODE = "model_not_found"

#: What a 429 is called that is about tokens, and what it says of a request that never fits.
_TOKEN_CODES = frozenset({"rate_limit_exceeded", "tokens"})
_TOO_LARGE = "request too large"

_CREDENTIAL_STATUSES = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    }
)


# --- create ---------------------------------------------------------------------------------------


def read_create_answer(answer: Answer) -> CreateVerdict:
    """Say what became of a create.

    An answer that broke off counts by its status, for the status is known: a refusal stays one,
    and an acceptance whose beginning names the response is accepted.

    Args:
        answer: what the one POST gave.
    """
    if answer.status is None:
        return _create_without_answer(answer)
    if _is_success(answer.status):
        return _create_success(answer)
    envelope = read_error_body(answer.body)
    if not _took_nothing(answer.status, envelope):
        return CreateAmbiguous(_failure(AnswerAmbiguous, answer, envelope))
    return _create_refusal(answer, answer.status, envelope)


def _create_without_answer(answer: Answer) -> CreateNotSent | CreateAmbiguous:
    if answer.failure is TransportFailure.NOT_SENT:
        return CreateNotSent(_failure(EndpointUnreachable, answer))
    return CreateAmbiguous(_failure(AnswerAmbiguous, answer))


def _create_success(answer: Answer) -> CreateAccepted | CreateAmbiguous:
    try:
        return CreateAccepted(read_response(answer.body), answer.body, answer.server_request_id)
    except ResponseUnreadable as error:
        return _create_unreadable(answer, error)


def _create_unreadable(answer: Answer, why: ResponseUnreadable) -> CreateAccepted | CreateAmbiguous:
    try:
        return CreateAccepted(read_cut_response(answer.body), b"", answer.server_request_id)
    except ResponseUnreadable:
        return CreateAmbiguous(_failure(AnswerAmbiguous, answer, _said(answer, why)))


def _took_nothing(status: int, envelope: ErrorEnvelope) -> bool:
    """Tell whether an answer proves that the API accepted nothing.

    A 4xx is a refusal, except 408 (it says only that something took too long) and 409: the
    official client repeats a 409 like a 5xx, so it may come from a conflict after acceptance;
    only `conversation_locked` is known to come before. Of the 5xx, a 503 counts if the API itself
    wrote it, for then it was refused at the door; a proxy in front of the API, which writes none
    of the API's envelopes, may have lost an accepted answer. A 3xx comes from something else.
    """
    match status:
        case HTTPStatus.REQUEST_TIMEOUT:
            return False
        case HTTPStatus.CONFLICT:
            return envelope.code == LOCK_CODE
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return envelope.enveloped
        case _:
            return _is_client_error(status)


def _create_refusal(
    answer: Answer, status: int, envelope: ErrorEnvelope
) -> CreateRefusedForNow | CreateParked | CreateRefused:
    parked = _parked_kind(status, envelope)
    if parked is not None:
        return CreateParked(_failure(parked, answer, envelope))
    if _is_for_now(answer, status, envelope):
        return CreateRefusedForNow(_failure(RefusedForNow, answer, envelope))
    return CreateRefused(_failure(RequestRefused, answer, envelope))


def _parked_kind(status: int, envelope: ErrorEnvelope) -> type[Parked] | None:
    words = {envelope.code, envelope.type}
    if words & MONEY_CODES or status == HTTPStatus.PAYMENT_REQUIRED:
        return QuotaExhausted
    # Servers other than OpenAI have codes of their own for it, yet name the field.
    if envelope.code == MODEL_CODE or (status, envelope.param) == (HTTPStatus.NOT_FOUND, "model"):
        return ModelNotFound
    return CredentialsRefused if status in _CREDENTIAL_STATUSES else None


def _is_for_now(answer: Answer, status: int, envelope: ErrorEnvelope) -> bool:
    """Tell whether a refusal may pass by itself.

    Every 429 does, also one without the API's envelope: a proxy that limits the rate did not pass
    the request on. Only that of a request which is larger than a minute's limit never does. A lock
    passes, with HTTP 400 or 409. So does a refusal that broke off before it said why: asking again
    costs nothing, and giving up might bury what only had to wait.
    """
    return not is_too_large(status, envelope) and (
        status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
        or envelope.code == LOCK_CODE
        or answer.failure is not None
    )


def is_too_large(status: int | None, envelope: ErrorEnvelope) -> bool:
    """Tell whether a request was refused because it alone has more tokens than its limit.

    The API answers it like a rate limit, with 429, yet no waiting helps: only its words tell.
    """
    return (
        status == HTTPStatus.TOO_MANY_REQUESTS
        and bool({envelope.code, envelope.type} & _TOKEN_CODES)
        and _TOO_LARGE in envelope.message.lower()
    )


# --- retrieve -------------------------------------------------------------------------------------


def read_retrieve_answer(answer: Answer) -> RetrieveVerdict:
    """Say what became of a retrieve.

    "Could not read" is never "not there": only the API's own 404 or 410 says that a response is
    gone. A 404 page or text comes from something in front of it, as during a deployment.

    Args:
        answer: what the last GET gave.
    """
    if answer.status is None:
        return _later(_no_answer(answer), answer)
    if _is_success(answer.status):
        return _retrieve_success(answer)
    return _retrieve_refusal(answer, answer.status, read_error_body(answer.body))


def _retrieve_success(answer: Answer) -> Seen | TryLater:
    try:
        return Seen(read_response(answer.body), answer.body)
    except ResponseUnreadable as error:
        return _later(_failure(AnswerUnreadable, answer, _said(answer, error)), answer)


def _retrieve_refusal(
    answer: Answer, status: int, envelope: ErrorEnvelope
) -> Gone | TryLater | RetrieveParked:
    if _is_gone(status, envelope):
        return Gone(_failure(RequestRefused, answer, envelope))
    if status in _CREDENTIAL_STATUSES:
        return RetrieveParked(_failure(CredentialsRefused, answer, envelope))
    return _later(_unread(answer, status, envelope), answer)


def _is_gone(status: int, envelope: ErrorEnvelope) -> bool:
    return status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} and envelope.structured


def _later(error: ApiError, answer: Answer) -> TryLater:
    return TryLater(error, answer.retry_after)


def _unread(answer: Answer, status: int, envelope: ErrorEnvelope) -> ApiError:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _failure(RefusedForNow, answer, envelope)
    if _is_refusal(status) and envelope.structured:
        return _failure(RequestRefused, answer, envelope)
    return _failure(AnswerUnreadable, answer, envelope)


# --- cancel ---------------------------------------------------------------------------------------


def read_cancel_answer(answer: Answer) -> CancelVerdict:
    """Say what became of a cancel.

    Servers answer the cancel of a finished response with 200, 400, 404, 409, 405 or 501, so none
    of these says how the response ended: retrieve it afterwards (API reference, Cancel).

    Args:
        answer: what the last POST of the cancel gave.
    """
    if answer.status is None:
        return CancelUnknown(_no_answer(answer))
    if _is_success(answer.status):
        return CancelTaken(_response_or_none(answer.body))
    return _cancel_refusal(answer, answer.status, read_error_body(answer.body))


def _cancel_refusal(
    answer: Answer, status: int, envelope: ErrorEnvelope
) -> CancelRefused | CancelUnknown | Gone:
    if _is_gone(status, envelope):
        return Gone(_failure(RequestRefused, answer, envelope))
    if status in _CREDENTIAL_STATUSES:
        return CancelRefused(_failure(CredentialsRefused, answer, envelope))
    if _is_refusal(status) and status != HTTPStatus.NOT_FOUND:
        return CancelRefused(_failure(RequestRefused, answer, envelope))
    return CancelUnknown(_unread(answer, status, envelope))


def _response_or_none(body: bytes) -> Response | None:
    try:
        return read_response(body)
    except ResponseUnreadable:
        return None


# --- shared facts ---------------------------------------------------------------------------------


def _is_success(status: int) -> bool:
    return status // 100 == 2  # noqa: PLR2004 - 2xx


def _is_client_error(status: int) -> bool:
    return status // 100 == 4  # noqa: PLR2004 - 4xx


def _is_refusal(status: int) -> bool:
    """Tell whether asking again changes nothing: a refusal, or a missing endpoint (501)."""
    passing = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
    return status == HTTPStatus.NOT_IMPLEMENTED or (
        _is_client_error(status) and status not in passing
    )


def _no_answer(answer: Answer) -> EndpointUnreachable | AnswerUnreadable:
    if answer.failure is TransportFailure.NOT_SENT:
        return _failure(EndpointUnreachable, answer)
    return _failure(AnswerUnreadable, answer)


def _said(answer: Answer, why: ResponseUnreadable) -> ErrorEnvelope:
    """Return what the body of a 2xx said instead of a response, or why it cannot be read."""
    envelope = read_error_body(answer.body)
    return envelope if envelope.enveloped else ErrorEnvelope(str(why))


def _failure(
    kind: type[_Failure], answer: Answer, envelope: ErrorEnvelope | None = None
) -> _Failure:
    said = envelope or ErrorEnvelope()
    return kind(
        _sentence(kind, answer, said),
        status=answer.status,
        type=said.type,
        code=said.code,
        param=said.param,
        server_request_id=answer.server_request_id,
        client_request_id=answer.client_request_id,
        retry_after=answer.retry_after,
    )


def _sentence(kind: type[ApiError], answer: Answer, envelope: ErrorEnvelope) -> str:
    """Say what happened and how it is repaired, then what the other side said."""
    facts = [
        f"HTTP {answer.status}" if answer.status is not None else "",
        ", ".join(word for word in (envelope.type, envelope.code, envelope.param) if word),
        envelope.message,
        answer.note,
    ]
    told = ": ".join(fact for fact in facts if fact)
    return f"{kind()} ({told})" if told else str(kind())
