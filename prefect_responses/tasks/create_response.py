"""CreateResponse: submit a response once, whatever happens to the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from prefect import task
from prefect.blocks.abstract import JobBlock
from prefect.cache_policies import NO_CACHE
from pydantic import Field, HttpUrl

from prefect_responses.blocks.response_ledger import ResponseLedger
from prefect_responses.blocks.responses_credentials import ResponsesCredentials
from prefect_responses.decisions.policies import AwaitMode, InDoubtMode, OnChange
from prefect_responses.engine.outcomes import failure_of
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.identity import TASK_CREATE
from prefect_responses.tasks.asking import Ask, hold, one_of, waits, with_engine
from prefect_responses.tasks.cancel_on_timeout import CancelOnTimeout
from prefect_responses.tasks.response_result import ResponseResult
from prefect_responses.tasks.response_run import ResponseRun
from prefect_responses.tasks.retrying import worth_retrying
from prefect_responses.tasks.run_names import name_of_run

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.calls import Call
    from prefect_responses.engine.durable_responses import DurableResponses


async def create(ask: Ask) -> ResponseRun:
    """Submit *ask* or find what was submitted for it, and return its handle.

    Raises:
        RequestRefused: the API refused the request.
        ResponsesError: see `DurableResponses.create`.
    """

    async def submit(responses: DurableResponses, call: Call) -> Attempt:
        attempt = await responses.create(call)
        hold(ask, responses, attempt)
        return attempt

    attempt = await with_engine(ask, submit)
    if attempt.response_id is None and (failure := failure_of(attempt)) is not None:
        raise failure
    return ResponseRun.of(attempt, ask.credentials, ask.ledger)


class CreateResponse(JobBlock[ResponseResult]):
    """Submit a response and find it again after any crash.

    Examples:
        Load the block, submit, and wait:
        ```python
        from prefect_responses import CreateResponse

        create = CreateResponse.load("BLOCK_NAME")
        result = create.trigger().fetch_result()
        ```
    """

    _block_type_name: ClassVar[str] = "Create Response"
    _block_type_slug: ClassVar[str] = "create-response"
    _logo_url: ClassVar[HttpUrl] = HttpUrl("https://openai.com/favicon.ico")
    _documentation_url: ClassVar[HttpUrl] = HttpUrl(
        "https://platform.openai.com/docs/api-reference/responses"
    )

    model: str = Field(description="The model that answers.")
    prompt: str = Field(default="", description="The input, as text.")
    instructions: str | None = Field(
        default=None, description="What the model is told before the input."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Further request fields, named as the API names them."
    )
    key: str | None = Field(
        default=None,
        description="A name for this response within the flow run, if its text changes.",
    )
    scope: str | None = Field(
        default=None,
        description="Within which keys are told apart; needed with a key outside flow runs.",
    )
    in_doubt: InDoubtMode = Field(
        default=InDoubtMode.AUTO,
        title="In Doubt",
        description="What to do when a request may or may not have been accepted.",
    )
    credentials: ResponsesCredentials | None = Field(
        default=None, description="The account that pays; the environment's if empty."
    )
    ledger: ResponseLedger | None = Field(
        default=None, description="Where responses are recorded; the default ledger if empty."
    )
    cancel_on_timeout: CancelOnTimeout | None = Field(
        default=None, description="How long it may take; no deadline if empty."
    )

    def trigger(self, **changes: Any) -> ResponseRun:  # type: ignore[override]
        """Submit, or find what was submitted; return the handle.

        Args:
            changes: request fields to use in place of the block's, such as `input=`.

        Raises:
            ResponsesError: see `create_response`.
        """
        return current_runtime().run(create(self._ask(changes)))

    async def atrigger(self, **changes: Any) -> ResponseRun:
        """Submit, or find what was submitted; see `trigger`."""
        return await current_runtime().arun(create(self._ask(changes)))

    def _ask(self, changes: dict[str, Any]) -> Ask:
        named = {
            "model": self.model,
            "input": self.prompt or None,
            "instructions": self.instructions,
        }
        request = {**named, **self.options, **changes}
        given = {name: value for name, value in request.items() if value is not None}
        return Ask(
            given,
            key=self.key,
            scope=self.scope,
            in_doubt=self.in_doubt,
            credentials=self.credentials,
            ledger=self.ledger,
            **waits(self.cancel_on_timeout),
        )


@task(
    name=TASK_CREATE,
    task_run_name=name_of_run,
    cache_policy=NO_CACHE,
    retry_condition_fn=worth_retrying,
)
def create_response(  # noqa: PLR0913 - each is a named choice of the user
    *,
    key: str | None = None,
    sample: int | None = None,
    scope: str | None = None,
    on_change: OnChange | str = OnChange.ERROR,
    in_doubt: InDoubtMode | str = InDoubtMode.AUTO,
    accept_new_ledger: bool = False,
    cancel_on_timeout: CancelOnTimeout | float | None = None,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
    **request: Any,
) -> ResponseRun:
    """Submit a response, or find what an earlier process submitted for the same call.

    Args:
        key: a name for this response within the scope; without one its request is the name.
        sample: which of several wanted answers to the same request, counted from 0.
        scope: a name within which keys are told apart; by default the outermost flow run.
        on_change: `error`, `adopt` or `resubmit` when *key* was used for another request.
        in_doubt: `auto`, `resubmit`, `search` or `fail` when a POST may or may not have been
            accepted.
        accept_new_ledger: let this ledger replace the one that the flow run began with.
        cancel_on_timeout: seconds of wall time that it may take, restarts included, or a
            `CancelOnTimeout`. Whoever awaits it, or a harvest, cancels it then.
        credentials: the account that pays; the environment's by default.
        ledger: where to record; the default ledger if None.
        request: the API's request fields, such as `model=` and `input=`; with `stream=True` its
            events can be followed.

    Returns:
        The handle: `fetch_result()` waits and returns the answer.

    Raises:
        RequestInvalid: something is wrong with what was asked; nothing was sent.
        RequestRefused: the API refused it.
        Parked: the account cannot submit now; run again later.
        SubmissionInDoubt: a person must say whether the API accepted it.
    """
    return current_runtime().run(create(ask_of(locals())))


@task(
    name=TASK_CREATE,
    task_run_name=name_of_run,
    cache_policy=NO_CACHE,
    retry_condition_fn=worth_retrying,
)
async def acreate_response(  # noqa: PLR0913 - see create_response
    *,
    key: str | None = None,
    sample: int | None = None,
    scope: str | None = None,
    on_change: OnChange | str = OnChange.ERROR,
    in_doubt: InDoubtMode | str = InDoubtMode.AUTO,
    accept_new_ledger: bool = False,
    cancel_on_timeout: CancelOnTimeout | float | None = None,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
    **request: Any,
) -> ResponseRun:
    """Submit a response, or find what was submitted; see `create_response`."""
    return await current_runtime().arun(create(ask_of(locals())))


def ask_of(given: dict[str, Any]) -> Ask:
    """Return the ask that a task's own arguments make."""
    return Ask(
        {name: value for name, value in given["request"].items() if value is not None},
        key=given["key"],
        sample=given["sample"],
        scope=given["scope"],
        on_change=one_of(OnChange, "on_change", given["on_change"]),
        in_doubt=one_of(InDoubtMode, "in_doubt", given["in_doubt"]),
        max_attempts=given.get("max_attempts", 1),
        accept_new_ledger=given["accept_new_ledger"],
        credentials=given["credentials"],
        ledger=given["ledger"],
        **waits(
            given["cancel_on_timeout"],
            mode=given.get("mode", AwaitMode.AUTO),
            live_text=given.get("live_text", False),
        ),
    )
