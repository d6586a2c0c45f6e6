"""What an answer of the API can mean: closed unions, one a verb."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from prefect_responses.errors import (
        AnswerAmbiguous,
        ApiError,
        CredentialsRefused,
        EndpointUnreachable,
        Parked,
        RefusedForNow,
        RequestRefused,
    )
    from prefect_responses.wire.responses import Response

# --- what a create came to ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateAccepted:
    """The API took the request, and this is its response, perhaps already terminal.

    Args:
        response: the response; only its ID where the answer broke off.
        body: the bytes to keep, empty where the answer broke off.
        server_request_id: the server's `x-request-id`.
    """

    response: Response
    body: bytes = field(repr=False)
    server_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class CreateNotSent:
    """No byte left: repeating the request is safe."""

    error: EndpointUnreachable


@dataclass(frozen=True, slots=True)
class CreateRefusedForNow:
    """The API took nothing and may take the same request later."""

    error: RefusedForNow


@dataclass(frozen=True, slots=True)
class CreateParked:
    """The API took nothing and will not until a person acts."""

    error: Parked


@dataclass(frozen=True, slots=True)
class CreateRefused:
    """The API took nothing and never will take this request."""

    error: RequestRefused


@dataclass(frozen=True, slots=True)
class CreateAmbiguous:
    """The API may have taken the request; `error.status` is None if no answer began."""

    error: AnswerAmbiguous


CreateVerdict: TypeAlias = (
    CreateAccepted
    | CreateNotSent
    | CreateRefusedForNow
    | CreateParked
    | CreateRefused
    | CreateAmbiguous
)


# --- what a retrieve came to ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """The response was read.

    Args:
        response: the response as it is now.
        body: the bytes to keep.
    """

    response: Response
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Gone:
    """The API says that it does not know the response: deleted, expired, or another project's."""

    error: RequestRefused


@dataclass(frozen=True, slots=True)
class TryLater:
    """Nothing was learned of the response; it may be fine.

    Args:
        error: what happened; `error.retryable` is false where the server says no to reading.
        wait: seconds that the server asked to wait, or None.
    """

    error: ApiError
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class RetrieveParked:
    """The credentials may not read the response; a person must act."""

    error: CredentialsRefused


RetrieveVerdict: TypeAlias = Seen | Gone | TryLater | RetrieveParked


# --- what a cancel came to ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CancelTaken:
    """The API took the cancel; retrieve the response to learn how it ended.

    Args:
        response: the response as the API answered it, or None if that could not be read.
    """

    response: Response | None


@dataclass(frozen=True, slots=True)
class CancelRefused:
    """The API did not cancel: the response is finished, or cannot be cancelled."""

    error: ApiError


@dataclass(frozen=True, slots=True)
class CancelUnknown:
    """Whether the response was cancelled is not known."""

    error: ApiError


CancelVerdict: TypeAlias = CancelTaken | CancelRefused | CancelUnknown | Gone
