"""Which model answers under which name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator.models import echo, extract

if TYPE_CHECKING:
    from prefect_responses.emulator.models.answers import ModelAnswer, Question
    from prefect_responses.emulator.models.script import Script

BUILT_IN = ("echo", "extract", "script")
_LISTED = (*BUILT_IN, "gpt-6-astra", "gpt-5.6", "o4-mini")
_BORROWED_NAME = re.compile(r"gpt-.+|o\d.*|ft:.+")
_RELEASED = 1_735_689_600


def is_served(model: str) -> bool:
    """Tell whether the name is a model: a built-in one, or shaped like one of OpenAI's."""
    return model in BUILT_IN or _BORROWED_NAME.fullmatch(model) is not None


def answer(question: Question, script: Script) -> ModelAnswer:
    """Let the named model answer; a borrowed name extracts where a schema asks, else echoes."""
    if question.model == "script":
        return script.answer(question)
    if question.model == "extract" or (question.model != "echo" and question.schema is not None):
        return extract.answer(question)
    return echo.answer(question)


def describe(model: str) -> dict[str, Any]:
    """Write the model object."""
    return {
        "id": model,
        "object": "model",
        "created": _RELEASED,
        "owned_by": "system",
        "shutdown_date": None,
    }


def listed() -> list[dict[str, Any]]:
    """List the models to show."""
    return [describe(model) for model in _LISTED]
