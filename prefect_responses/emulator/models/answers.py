"""What a model is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator.lifecycle import TERMINAL, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

_SUMMARY = "**Reading the input**\n\nThe answer follows from the input by plain rules."


@dataclass(frozen=True, slots=True)
class Question:
    """What a model may look at: an answer depends on nothing else."""

    model: str
    text: str
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model says: output items without IDs, and the status that it ends with."""

    items: tuple[dict[str, Any], ...] = ()
    ending: Status = Status.COMPLETED
    error: dict[str, Any] | None = None
    incomplete_reason: str | None = None
    #: What is streamed of an answer that then fails, and is not kept.
    draft: tuple[dict[str, Any], ...] = ()
    #: The events of a recording to be played as they are.
    recorded: tuple[dict[str, Any], ...] | None = None


def text_answer(text: str) -> ModelAnswer:
    """Say a text."""
    return ModelAnswer((message_item(text_content(text)),))


def refusal_answer(refusal: str) -> ModelAnswer:
    """Refuse: the response completes, its content is a refusal."""
    return ModelAnswer((message_item({"type": "refusal", "refusal": refusal}),))


def failed_answer(code: str, message: str) -> ModelAnswer:
    """Fail with an error code."""
    return ModelAnswer(ending=Status.FAILED, error={"code": code, "message": message})


def incomplete_answer(text: str, reason: str) -> ModelAnswer:
    """Stop in the middle of a text."""
    item = message_item(text_content(text)) | {"status": "incomplete"}
    return ModelAnswer((item,), Status.INCOMPLETE, incomplete_reason=reason)


def reasoned(answer: ModelAnswer) -> ModelAnswer:
    """Put a summary of the reasoning before an answer that has none."""
    if not answer.items or any(item["type"] == "reasoning" for item in answer.items):
        return answer
    summary = {"type": "summary_text", "text": _SUMMARY}
    return replace(answer, items=({"type": "reasoning", "summary": [summary]}, *answer.items))


def recorded_answer(events: Iterable[dict[str, Any]]) -> ModelAnswer:
    """Answer with recorded events; what they end with is what can be retrieved."""
    recorded = tuple(events)
    done = [e["item"] for e in recorded if e.get("type") == "response.output_item.done"]
    last = next((e for e in reversed(recorded) if _ends(e)), None)
    response = last["response"] if last else {}
    return ModelAnswer(
        tuple(response.get("output") or done),
        Status(response["status"]) if last else Status.COMPLETED,
        response.get("error"),
        (response.get("incomplete_details") or {}).get("reason"),
        recorded=recorded,
    )


def _ends(event: dict[str, Any]) -> bool:
    return (event.get("response") or {}).get("status") in TERMINAL


def message_item(content: dict[str, Any]) -> dict[str, Any]:
    """Make a message of one part."""
    return {"type": "message", "status": "completed", "role": "assistant", "content": [content]}


def text_content(text: str) -> dict[str, Any]:
    """Make a part of output text."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def spoken_text(answer: ModelAnswer) -> str:
    """Join all text of an answer."""
    parts = [part for item in answer.items for part in item.get("content", ())]
    return "".join(part.get("text") or part.get("refusal") or "" for part in parts)
