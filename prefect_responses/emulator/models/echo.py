"""The model that repeats what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_responses.emulator.models.answers import text_answer

if TYPE_CHECKING:
    from prefect_responses.emulator.models.answers import ModelAnswer, Question


def answer(question: Question) -> ModelAnswer:
    """Say the input text."""
    return text_answer(question.text)
