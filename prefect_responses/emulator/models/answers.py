"""What a model is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect_responses.emulator.lifecycle import Status


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
