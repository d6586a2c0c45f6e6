"""What can go wrong, as a tree. The class says what happened, the message what to do.

ResponsesError
├── RequestInvalid (ValueError)      noticed before anything was sent or written
│   ├── CredentialsMissing
│   ├── EndpointInvalid
│   ├── OptionUnknown
│   ├── OutputTypeUnsupported
│   ├── KeyRequired
│   ├── RequestChanged
│   └── TableInvalid
│       ├── TableEmpty
│       ├── ColumnMissing
│       └── RowKeyDuplicate
├── ApiError                         an answer of the API, or the lack of one
│   ├── EndpointUnreachable          retryable: no byte left
│   ├── RefusedForNow                retryable: wait as told
│   ├── RequestRefused               never retried
│   ├── Parked                       stop and resume later; nothing was consumed
│   │   ├── CredentialsRefused
│   │   ├── QuotaExhausted
│   │   └── ModelNotFound
│   ├── AnswerAmbiguous              a POST may have been accepted
│   └── AnswerUnreadable             retryable: a read came back broken
├── SubmissionInDoubt                a person or a policy must decide
├── ResponseUnsuccessful             a terminal answer that is no result
│   ├── ResponseFailed
│   ├── ResponseCancelled
│   │   └── ResponseTimedOut          its deadline passed; `outcome` says what came of it
│   └── ResponseExpired
├── PrefectUnavailable               retryable: Prefect's API could not be asked
└── LedgerError                      the record could not be read or written
    ├── LedgerUnavailable            retryable
    ├── LedgerLocked                 retryable
    ├── ResponseUnrecorded            accepted, and its ID could not be written
    ├── LedgerNewer
    ├── LedgerNotDurable
    ├── LedgerChanged
    ├── LedgerInconsistent
    ├── IllegalMove
    ├── AttemptUnknown
    └── OwnerLost                    retryable

Every error survives a pickle: Prefect moves exceptions through persisted results.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self


class ResponsesError(Exception):
    """Something in prefect-responses went wrong."""

    #: Whether the same call may succeed when it is repeated as it is.
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or _first_sentence(type(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


def _first_sentence(kind: type[BaseException]) -> str:
    return (kind.__doc__ or kind.__name__).strip().split("\n\n")[0].replace("\n    ", " ")


def _rebuild(
    kind: type[ResponsesError], args: tuple[Any, ...], facts: dict[str, Any]
) -> ResponsesError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


# --- noticed before anything was sent -------------------------------------------------------------


class RequestInvalid(ResponsesError, ValueError):
    """The request cannot be sent as it is; nothing was sent or written."""


class CredentialsMissing(RequestInvalid):
    """No API key was found: load a ResponsesCredentials block or set OPENAI_API_KEY."""


class EndpointInvalid(RequestInvalid):
    """The base URL cannot be used: take https, or http on a loopback address."""


class OptionUnknown(RequestInvalid):
    """The API has no such request field; see the names that are allowed."""


class OutputTypeUnsupported(RequestInvalid):
    """A strict JSON schema cannot express this output type."""


class KeyRequired(RequestInvalid):
    """Outside a flow run nothing tells calls apart: give scope= and key=."""


class RequestChanged(RequestInvalid):
    """Another request was submitted under this key.

    Pass on_change="adopt" to keep the earlier response or on_change="resubmit" to pay for a new
    one.

    Args:
        key: the key in question.
        paths: the JSON paths of the request that differ.
    """

    def __init__(self, key: str, paths: tuple[str, ...]) -> None:
        super().__init__(
            f"The request under key {key!r} was different before: {', '.join(paths)} changed. "
            'Pass on_change="adopt" to keep the earlier response, or on_change="resubmit" to pay '
            "for a new one."
        )
        self.key = key
        self.paths = paths


class TableInvalid(RequestInvalid):
    """The rows cannot be enriched as they are; nothing was sent."""


class TableEmpty(TableInvalid):
    """The table has no rows."""


class ColumnMissing(TableInvalid):
    """The prompt or the key names a column that the table does not have."""


class RowKeyDuplicate(TableInvalid):
    """Two rows share a key; each row needs its own."""


# --- an answer of the API -------------------------------------------------------------------------


class ApiError(ResponsesError):
    """The API did not do what was asked.

    Args:
        message: what happened and what to do.
        status: the HTTP status, or None if no answer came.
        type: `error.type` of the envelope, as `code` and `param`.
        code: see `type`.
        param: see `type`.
        server_request_id: the server's `x-request-id`.
        client_request_id: the `X-Client-Request-Id` that we sent.
        retry_after: seconds that the server asked to wait, or None.
    """

    def __init__(  # noqa: PLR0913 - these are the facts of an API error, all named
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        type: str | None = None,  # noqa: A002 - the envelope's own word
        code: str | None = None,
        param: str | None = None,
        server_request_id: str | None = None,
        client_request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.server_request_id = server_request_id
        self.client_request_id = client_request_id
        self.retry_after = retry_after

    def as_record(self) -> dict[str, Any]:
        """Return what the ledger keeps of this error: facts, no secrets, JSON types."""
        held = vars(self)
        facts = {name: held[name] for name in _API_FACTS if held.get(name) is not None}
        return {"error": type_name(self), "message": str(self), **facts}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Build the error again from what `as_record` returned."""
        facts = {name: value for name, value in record.items() if name in _API_FACTS}
        return cls(record.get("message"), **facts)


#: In a fixed order, so that equal errors have equal records.
_API_FACTS = (
    *("status", "type", "code", "param"),
    *("server_request_id", "client_request_id", "retry_after"),
)


def type_name(error: BaseException) -> str:
    """Return the class name of *error*, as the ledger and reports show it."""
    return type(error).__name__


class EndpointUnreachable(ApiError):
    """No connection could be made, so nothing was sent: check the base URL and the network."""

    retryable = True


class RefusedForNow(ApiError):
    """The API took nothing and asks to wait: a rate limit, a lock, or no capacity."""

    retryable = True


class RequestRefused(ApiError):
    """The API refused the request; the same request will be refused again."""


class Parked(ApiError):
    """Nothing can be submitted until a person acts; nothing was consumed, and a re-run resumes."""


class CredentialsRefused(Parked):
    """The API refused the credentials: check the key, the organisation and the project."""


class QuotaExhausted(Parked):
    """The account has no quota or credit left: top it up or raise the limit, then run again."""


class ModelNotFound(Parked):
    """The model does not exist or this project may not use it."""


class AnswerAmbiguous(ApiError):
    """The request was sent, and whether it was accepted is not known."""


class AnswerUnreadable(ApiError):
    """The API's answer could not be read; the response itself may be fine."""

    retryable = True


# --- the life of a response -----------------------------------------------------------------------


class SubmissionInDoubt(ResponsesError):
    """A POST may have been accepted: look on the server, then tell the ledger what you found.

    Args:
        attempt_id: the attempt in question; it is also the metadata `prefect_responses_key`.
        message: what to do.
    """

    def __init__(self, attempt_id: str, message: str | None = None) -> None:
        super().__init__(
            message
            or (
                f"Attempt {attempt_id} was sent, and no answer tells whether it was accepted. "
                f"Look on the server for a response with metadata prefect_responses_key="
                f"{attempt_id}; then run `prefect-responses resolve {attempt_id} --created RESP_ID`"
                " or `--not-created`."
            )
        )
        self.attempt_id = attempt_id


class ResponseUnsuccessful(ResponsesError):
    """The response ended without a result.

    Args:
        response_id: the API's ID.
        attempt_id: the ledger's ID.
        message: what happened.
        code: `error.code` of the response, if it has one.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        response_id: str | None = None,
        attempt_id: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.response_id = response_id
        self.attempt_id = attempt_id
        self.code = code


class ResponseFailed(ResponseUnsuccessful):
    """The response failed; retry the flow run to submit it once more."""


class ResponseCancelled(ResponseUnsuccessful):
    """The response was cancelled; retry the flow run to submit it once more."""


class ResponseTimedOut(ResponseCancelled):
    """The deadline passed before the response had an answer.

    Args:
        outcome: `cancelled`; `cancel_refused` or `unknown` (it may still be at work, and the
            harvester keeps its end); `not_sent` (nothing was paid).
        deadline_at: the deadline, in seconds since the epoch.
        message: see `ResponseUnsuccessful`, as the further arguments.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        outcome: str = "unknown",
        deadline_at: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.outcome = outcome
        self.deadline_at = deadline_at


class ResponseExpired(ResponseUnsuccessful):
    """The API no longer knows the response: it was deleted or its retention ended unread."""


class PrefectUnavailable(ResponsesError):
    """Prefect's API gave no usable answer, so nothing is known of its flow runs and blocks."""

    retryable = True


# --- the ledger -----------------------------------------------------------------------------------


class LedgerError(ResponsesError):
    """The ledger could not be read or written; nothing was sent."""


class LedgerUnavailable(LedgerError):
    """The ledger cannot be opened: check its URL, its folder and its permissions."""

    retryable = True


class LedgerLocked(LedgerError):
    """Another process has held the ledger's lock for too long; find it, or try again."""

    retryable = True


class ResponseUnrecorded(LedgerError):
    """The API accepted the response, and the ledger could not be written.

    Args:
        attempt_id: the attempt in question.
        response_id: the ID that must not be lost.
    """

    def __init__(self, attempt_id: str, response_id: str) -> None:
        super().__init__(
            f"The API accepted {response_id}, and the ledger could not be written. Repair the "
            f"ledger, then run `prefect-responses resolve {attempt_id} --created {response_id}`."
        )
        self.attempt_id = attempt_id
        self.response_id = response_id


class LedgerNewer(LedgerError):
    """The ledger was upgraded and needs a newer prefect-responses than this one."""


class LedgerNotDurable(LedgerError):
    """The ledger's file would die with its container: set a ledger URL that survives it."""


class LedgerChanged(LedgerError):
    """This flow run began with another ledger: use that one, or pass accept_new_ledger=True."""


class LedgerInconsistent(LedgerError):
    """The ledger says something that cannot be; report it with the output of the audit."""


class IllegalMove(LedgerError):
    """An attempt was asked to make a move that its state does not allow."""


class AttemptUnknown(LedgerError):
    """The ledger has no such attempt or response."""


class OwnerLost(LedgerError):
    """This process was paused past its lease, so it may not submit; run again."""

    retryable = True
