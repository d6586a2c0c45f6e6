"""The model that says what a test has told it to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from prefect_responses.emulator.lifecycle import Status
from prefect_responses.emulator.models.answers import (
    ModelAnswer,
    failed_answer,
    incomplete_answer,
    recorded_answer,
    refusal_answer,
    text_answer,
)

if TYPE_CHECKING:
    from prefect_responses.emulator.models.answers import Question


class ScriptedError(BaseModel):
    """The error that a response fails with."""

    model_config = ConfigDict(extra="forbid")

    code: str = "server_error"
    message: str = "The script says so."


class ScriptedReply(BaseModel):
    """One reply: what it answers to, what it says, and how often.

    A reply with `match` serves every input that contains it; one without serves the next input
    that no match serves, once unless `times` says otherwise (null: for ever).
    """

    model_config = ConfigDict(extra="forbid")

    match: str | None = None
    text: str | None = None
    value: Any = None
    output: list[dict[str, Any]] | None = None
    refusal: str | None = None
    error: ScriptedError | None = None
    incomplete: str | None = None
    events: list[dict[str, Any]] | None = None
    times: int | None = Field(default=None, ge=1)

    def answer(self) -> ModelAnswer:
        """Turn the reply into a model's answer."""
        if self.events is not None:
            return recorded_answer(self.events)
        if self.error is not None:
            return failed_answer(self.error.code, self.error.message)
        if self.refusal is not None:
            return refusal_answer(self.refusal)
        if self.output is not None:
            return ModelAnswer(tuple(self.output), self._ending(), None, self.incomplete)
        text = self.text if self.text is not None else orjson.dumps(self.value).decode()
        return incomplete_answer(text, self.incomplete) if self.incomplete else text_answer(text)

    def _ending(self) -> Status:
        return Status.INCOMPLETE if self.incomplete else Status.COMPLETED


class Script:
    """Hold the replies that are still to be given."""

    def __init__(self) -> None:
        self._matching: list[ScriptedReply] = []
        self._queue: list[ScriptedReply] = []
        self._given: dict[int, int] = {}

    def extend(self, replies: list[ScriptedReply]) -> None:
        """Add replies behind those that are there."""
        for reply in replies:
            if reply.match is None:
                once = reply if "times" in reply.model_fields_set else reply.model_copy()
                once.times = reply.times if "times" in reply.model_fields_set else 1
                self._queue.append(once)
            else:
                self._matching.append(reply)

    def clear(self) -> None:
        """Forget all replies."""
        self._matching.clear()
        self._queue.clear()
        self._given.clear()

    def remaining(self) -> list[dict[str, Any]]:
        """List the replies that may still be given."""
        return [
            reply.model_dump() | {"given": self._given.get(id(reply), 0)}
            for reply in (*self._matching, *self._queue)
        ]

    def answer(self, question: Question) -> ModelAnswer:
        """Give the next reply; an exhausted script fails loudly."""
        matching = (r for r in self._matching if r.match is not None and r.match in question.text)
        reply = next(matching, None) or next(iter(self._queue), None)
        if reply is None:
            return failed_answer("server_error", "The script has no reply for this input.")
        self._count(reply)
        return reply.answer()

    def _count(self, reply: ScriptedReply) -> None:
        given = self._given[id(reply)] = self._given.get(id(reply), 0) + 1
        if reply.times is not None and given >= reply.times:
            replies = self._queue if reply.match is None else self._matching
            replies[:] = [other for other in replies if other is not reply]
            del self._given[id(reply)]
