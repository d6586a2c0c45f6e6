"""What a response means for its row: the answer, or the class of dead row that it is.

Reading never fails. A body is read by what can be recognised in it, since servers differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, assert_never

from prefect_responses.charges import said_tokens
from prefect_responses.enrichment.output_types import AnswerMismatch, AnswerNotJson
from prefect_responses.enrichment.rows import RowOutcome, RowResult
from prefect_responses.statuses import ResponseStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prefect_responses.enrichment.output_types import OutputType

_LONGEST_ERROR = 300
#: Messages with another phase (`commentary`) are said on the way to the answer.
_ANSWER_PHASES = (None, "final_answer")


def read_row(response: Mapping[str, Any], output_type: OutputType, key: str) -> RowResult:
    """Return the result of the row *key* from the API's JSON object *response*.

    Args:
        response: the Response object; fields may be missing or of any type.
        output_type: what the answer has to look like.
        key: the row's key.
    """
    usage = _object(response.get("usage"))
    result = RowResult(
        key=key,
        outcome=RowOutcome.FAILED,
        response_id=_text(response.get("id")) or None,
        input_tokens=said_tokens(usage.get("input_tokens")),
        output_tokens=said_tokens(usage.get("output_tokens")),
    )
    return _with_outcome(result, response, output_type)


def _with_outcome(
    result: RowResult, response: Mapping[str, Any], output_type: OutputType
) -> RowResult:
    status = ResponseStatus(_text(response.get("status")))
    match status:
        case ResponseStatus.COMPLETED:
            return _completed(result, response, output_type)
        case ResponseStatus.INCOMPLETE:
            return _incomplete(result, response)
        case ResponseStatus.FAILED:
            return _ended(result, RowOutcome.FAILED, _failure(response))
        case ResponseStatus.CANCELLED:
            return _ended(result, RowOutcome.CANCELLED, "The response was cancelled.")
        case ResponseStatus.QUEUED | ResponseStatus.IN_PROGRESS:
            return _ended(result, RowOutcome.IN_FLIGHT, f"The response is still {status}.")
        case ResponseStatus.UNKNOWN:
            word = response.get("status")
            return _ended(result, RowOutcome.FAILED, f"The status {word!r} is not known.")
        case _:
            assert_never(status)


def _completed(
    result: RowResult, response: Mapping[str, Any], output_type: OutputType
) -> RowResult:
    answer = _answer(response)
    if answer.refusal:
        return _ended(result, RowOutcome.REFUSAL, answer.refusal)
    if not answer.text:
        return _ended(result, RowOutcome.EMPTY, "The response completed without an answer.")
    try:
        parsed = output_type.dump(output_type.parse(answer.text))
    except AnswerNotJson as error:
        return _ended(result, RowOutcome.INVALID_JSON, str(error))
    except AnswerMismatch as error:
        return _ended(result, RowOutcome.SCHEMA, str(error))
    return replace(result, outcome=RowOutcome.OK, parsed=parsed)


def _incomplete(result: RowResult, response: Mapping[str, Any]) -> RowResult:
    reason = _text(_object(response.get("incomplete_details")).get("reason"))
    if reason == "content_filter":
        return _ended(result, RowOutcome.CONTENT_FILTER, "The content filter cut the answer short.")
    return _ended(result, RowOutcome.TRUNCATED, f"The answer was cut short: {reason or 'unknown'}.")


def _failure(response: Mapping[str, Any]) -> str:
    error = _object(response.get("error"))
    words = [_text(error.get("code")), _text(error.get("message"))]
    return ": ".join(filter(None, words)) or "The response failed, and no reason was given."


def _ended(result: RowResult, outcome: RowOutcome, error: str) -> RowResult:
    short = error if len(error) <= _LONGEST_ERROR else f"{error[: _LONGEST_ERROR - 1]}…"
    return replace(result, outcome=outcome, error=short)


# --- the answer in the output items ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str = ""
    refusal: str = ""


def _answer(response: Mapping[str, Any]) -> _Answer:
    """Return the last answer that says something: models have been seen to write it twice."""
    spoken = (_Answer(_spoken_text(item), _refusal(item)) for item in _said(response))
    return next((answer for answer in spoken if answer.text or answer.refusal), _Answer())


def _said(response: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Read the messages that may hold the answer, the last one first."""
    for item in reversed(_objects(response.get("output"))):
        is_answer = item.get("type") == "message" and item.get("role", "assistant") == "assistant"
        if is_answer and item.get("phase") in _ANSWER_PHASES:
            yield item


def _spoken_text(message: Mapping[str, Any]) -> str:
    text = "".join(_text(part.get("text")) for part in _parts(message, "output_text"))
    return text if text.strip() else ""


def _refusal(message: Mapping[str, Any]) -> str:
    parts = _parts(message, "refusal")
    words = "".join(_text(part.get("refusal")) for part in parts)
    return words or ("The model declined without a word." if parts else "")


def _parts(message: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [part for part in _objects(message.get("content")) if part.get("type") == kind]


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
