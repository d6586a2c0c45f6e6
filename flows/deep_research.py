"""Research a question for minutes, show the text as it grows, and end with a report.

`python -m flows.deep_research` runs it on the emulator: no account, no cost.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from prefect_responses import ResponseResult, durable_flow, respond
from prefect_responses.engine.report_text import escaped, markdown_table
from prefect_responses.errors import ResponsesError, ResponseTimedOut, ResponseUnsuccessful
from prefect_responses.host.foreign_markdown import defused
from prefect_responses.tasks.kept_text import kept_text

#: The flow and the artifact with its report.
NAME = "deep-research"
_LONGEST = 20_000


@durable_flow(name=NAME, persist_result=True, result_serializer="json")
def deep_research(
    question: Annotated[str, Field(min_length=1, max_length=_LONGEST)],
    model: Annotated[str, Field(min_length=1)] = "o4-mini-deep-research",
    minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0,
    instructions: Annotated[str, Field(max_length=_LONGEST)] = "",
    web_search: bool = True,  # noqa: FBT001, FBT002 - a box to tick in a form
) -> str:
    """Research a question and return the answer.

    The text so far and the report are artifacts of the flow run. A run that died goes on with the
    same response when it is run again, and until the same deadline.

    Args:
        question: What is to be found out. Say what is known already and how long the answer may be.
        model: The model that researches.
        minutes: How long it may take, restarts included. Then it is cancelled, and what was written
            until then is reported.
        instructions: How to answer: for whom, in which form, from which sources.
        web_search: Let the model search the web.
    """
    request: dict[str, Any] = {"model": model, "input": question, "stream": True}
    if instructions:
        request["instructions"] = instructions
    if web_search:
        request["tools"] = [{"type": "web_search"}]
    try:
        result: ResponseResult = respond(live_text=True, cancel_on_timeout=60 * minutes, **request)
    except ResponseUnsuccessful as error:
        Report.of_failure(question, error).publish()
        raise
    Report.of_answer(question, result).publish()
    return result.output_text


@dataclass
class Report:
    """What came of one question.

    Args:
        question: the question.
        remark: one sentence on how it went.
        heading: what the text is.
        text: the answer, or what was written of it.
        facts: the rest, by name.
    """

    question: str
    remark: str
    heading: str
    text: str
    facts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_answer(cls, question: str, result: ResponseResult) -> Self:
        """Report an answer."""
        in_time = result.timeout is None
        remark = "It was answered." if in_time else "It was answered after the deadline."
        response, usage = result.response, result.usage or {}
        facts = {
            "response": result.response_id,
            "status": result.status,
            "model": str(response.get("model")),
            "input tokens": f"{usage.get('input_tokens', 0):,}",
            "output tokens": f"{usage.get('output_tokens', 0):,}",
            "in time": "yes" if in_time else "no but kept",
        }
        if response.get("created_at") and response.get("completed_at"):
            facts["took"] = f"{response['completed_at'] - response['created_at']:,.0f} s"
        return cls(question, remark, "Answer", result.output_text, facts)

    @classmethod
    def of_failure(cls, question: str, error: ResponseUnsuccessful) -> Self:
        """Report that there is no answer, with what was written of it."""
        text = kept_text(error.attempt_id) if error.attempt_id else ""
        facts = {"response": error.response_id or "none was created"}
        if isinstance(error, ResponseTimedOut):
            facts["outcome"] = error.outcome
        return cls(question, str(error), "What was written until then", text, facts)

    def publish(self) -> None:
        """Show it as an artifact of the flow run, and without the text in its log."""
        get_run_logger().info("%s %s", self.remark, self.facts)
        create_markdown_artifact(self.as_markdown(), key=NAME, description=escaped(self.question))

    def as_markdown(self) -> str:
        """Return Markdown in which all that comes from outside is harmless."""
        rows = [(name, escaped(fact)) for name, fact in self.facts.items()]
        blocks = [
            f"# {escaped(self.question)}",
            escaped(self.remark, longest=1000),
            markdown_table(("", ""), rows),
            f"## {self.heading}",
            defused(self.text) or "Nothing.",
        ]
        return "\n\n".join(blocks)


# --- a run on the emulator ------------------------------------------------------------------------

_QUESTION = "Why do long jobs that call a paid API pay twice, and what helps?"
_ANSWER = """\
A job that dies between *sending* a request and *storing* what it got cannot know, when it is run \
again, whether the request was taken. It sends it once more, and both are paid for.

## What helps

1. **Write down first.** An intent that is stored before the request leaves names what is in doubt.
2. **Let the server work in the background.** A response with an ID can be waited for by anybody.
3. **Find it again by what was asked**, not by the process that asked.

| what dies | without a ledger | with one |
| --- | --- | --- |
| the process | paid twice | waited for |
| the stream | paid twice | resumed from a cursor |
| the deadline's timer | runs for ever | kept as a wall-clock time |

## What does not help

A retry decorator: it repeats the request, and the bill. A cache of results: it knows only what \
has ended.
"""


def main() -> int:
    """Run the flow against an emulator of this process; return 0 if it was answered."""
    # What is deployed needs no emulator.
    from prefect_responses.emulator.server import EmulatorThread  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m flows.deep_research", description=__doc__)
    parser.add_argument("question", nargs="?", default=_QUESTION)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long it may take")
    options = parser.parse_args()
    ledger = Path(".demo").resolve() / "deep-research.db"
    ledger.parent.mkdir(exist_ok=True)
    with EmulatorThread(latency="constant:2", settings={"token_rate": 25}) as emulator:
        emulator.control.add_replies({"text": _ANSWER})
        os.environ |= {"OPENAI_API_KEY": "emulator", "OPENAI_BASE_URL": emulator.url}
        os.environ["PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL"] = f"sqlite:///{ledger}"
        try:
            deep_research(options.question, model="script", minutes=options.minutes)
        except ResponsesError:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
