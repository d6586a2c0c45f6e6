"""Respond: submit a response once and wait for its answer, in one task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from prefect_responses.decisions.policies import AwaitMode, InDoubtMode, OnChange
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.identity import TASK_RESPOND
from prefect_responses.tasks.asking import Ask, hold, with_engine
from prefect_responses.tasks.create_response import ask_of
from prefect_responses.tasks.response_result import ResponseResult
from prefect_responses.tasks.retrying import worth_retrying
from prefect_responses.tasks.run_names import name_of_run

if TYPE_CHECKING:
    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.blocks.responses_credentials import ResponsesCredentials
    from prefect_responses.engine.calls import Call, Settled
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.tasks.cancel_on_timeout import CancelOnTimeout


async def submit_and_wait(ask: Ask) -> ResponseResult:
    """Submit *ask* or find it, wait for its end, and return the answer."""

    async def submit_and_follow(responses: DurableResponses, call: Call) -> Settled:
        async with ask.waiting.listening(title_of(ask)) as listeners:
            settled = await responses.respond(replace(call, listeners=listeners))
        hold(ask, responses, settled.attempt)
        return settled

    return ResponseResult.of(await with_engine(ask, submit_and_follow), ask.ledger)


def title_of(ask: Ask) -> str:
    """Return what a response is called where its text is shown: the same in a re-run."""
    said = ask.key or str(ask.request.get("model") or "response")
    return said if ask.sample is None else f"{said}-{ask.sample}"


@task(
    name=TASK_RESPOND,
    task_run_name=name_of_run,
    cache_policy=NO_CACHE,
    retry_condition_fn=worth_retrying,
)
def respond(  # noqa: PLR0913 - each is a named choice of the user
    *,
    key: str | None = None,
    sample: int | None = None,
    scope: str | None = None,
    on_change: OnChange | str = OnChange.ERROR,
    in_doubt: InDoubtMode | str = InDoubtMode.AUTO,
    max_attempts: int = 1,
    mode: AwaitMode | str = AwaitMode.AUTO,
    cancel_on_timeout: CancelOnTimeout | float | None = None,
    live_text: bool = False,
    accept_new_ledger: bool = False,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
    **request: Any,
) -> ResponseResult:
    """Submit a response, or find it, wait until it has ended, and return the answer.

    Args:
        key: see `create_response`, as the other arguments.
        sample: which of several wanted answers to the same request, counted from 0.
        scope: a name within which keys are told apart; by default the outermost flow run.
        on_change: `error`, `adopt` or `resubmit` when *key* was used for another request.
        in_doubt: `auto`, `resubmit`, `search` or `fail` when a POST may or may not have been
            accepted.
        max_attempts: how many attempts one run may pay for when the server fails.
        mode: `auto`, `poll` or `stream`: how its end is waited for.
        cancel_on_timeout: seconds of wall time that it may take, restarts included, or a
            `CancelOnTimeout`; then it is cancelled, and a late answer is kept.
        live_text: show the text so far in Prefect's UI; ask with `stream=True` for that.
        accept_new_ledger: let this ledger replace the one that the flow run began with.
        credentials: the account that pays; the environment's by default.
        ledger: where to record; the default ledger if None.
        request: the API's request fields, such as `model=` and `input=`.

    Raises:
        ResponseTimedOut: its deadline passed; `outcome` says what came of it.
        ResponseUnsuccessful: the response failed, was cancelled or is gone.
        ResponsesError: see `create_response`.
    """
    return current_runtime().run(submit_and_wait(ask_of(locals())))


@task(
    name=TASK_RESPOND,
    task_run_name=name_of_run,
    cache_policy=NO_CACHE,
    retry_condition_fn=worth_retrying,
)
async def arespond(  # noqa: PLR0913 - see respond
    *,
    key: str | None = None,
    sample: int | None = None,
    scope: str | None = None,
    on_change: OnChange | str = OnChange.ERROR,
    in_doubt: InDoubtMode | str = InDoubtMode.AUTO,
    max_attempts: int = 1,
    mode: AwaitMode | str = AwaitMode.AUTO,
    cancel_on_timeout: CancelOnTimeout | float | None = None,
    live_text: bool = False,
    accept_new_ledger: bool = False,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
    **request: Any,
) -> ResponseResult:
    """Submit a response, or find it, and wait for its answer; see `respond`."""
    return await current_runtime().arun(submit_and_wait(ask_of(locals())))
