"""AwaitBackgroundResponse: wait for a response that was submitted before, by whomever."""

from __future__ import annotations

from typing import ClassVar

from prefect import task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from pydantic import Field, HttpUrl

from prefect_responses.blocks.response_ledger import ResponseLedger
from prefect_responses.blocks.responses_credentials import ResponsesCredentials
from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.identity import TASK_AWAIT
from prefect_responses.tasks.response_result import ResponseResult
from prefect_responses.tasks.response_run import ResponseRun
from prefect_responses.tasks.retrying import worth_retrying


async def wait_for(
    response: ResponseRun | str,
    credentials: ResponsesCredentials | None,
    ledger: ResponseLedger | None,
    poll: PollPolicy | None,
) -> ResponseResult:
    """Wait for the end of *response*, a handle or the API's ID, and return the answer."""
    if isinstance(response, str):
        response = await ResponseRun.find(response, credentials, ledger)
    return await response.settle(poll)


class AwaitBackgroundResponse(Block):
    """Wait for a background response and return its answer; a restart goes on waiting.

    Examples:
        Load the block and wait:
        ```python
        from prefect_responses import AwaitBackgroundResponse

        waiting = AwaitBackgroundResponse.load("BLOCK_NAME")
        result = waiting.run("resp_0123")
        ```
    """

    _block_type_name: ClassVar[str] = "Await Background Response"
    _block_type_slug: ClassVar[str] = "await-background-response"
    _logo_url: ClassVar[HttpUrl] = HttpUrl("https://openai.com/favicon.ico")
    _documentation_url: ClassVar[HttpUrl] = HttpUrl(
        "https://platform.openai.com/docs/api-reference/responses"
    )

    poll_least_seconds: float = Field(
        default=0.5, gt=0.0, description="Seconds between two polls at the start."
    )
    poll_most_seconds: float = Field(
        default=30.0, gt=0.0, description="Seconds between two polls at the end."
    )
    credentials: ResponsesCredentials | None = Field(
        default=None, description="The account that created it; the environment's if empty."
    )
    ledger: ResponseLedger | None = Field(
        default=None, description="Where responses are recorded; the default ledger if empty."
    )

    def run(self, response: ResponseRun | str) -> ResponseResult:
        """Wait for *response*, a handle or the API's ID, and return the answer.

        Raises:
            ResponseUnsuccessful: it failed, was cancelled or is gone.
        """
        return current_runtime().run(
            wait_for(response, self.credentials, self.ledger, self._policy())
        )

    async def arun(self, response: ResponseRun | str) -> ResponseResult:
        """Wait for *response* and return the answer; see `run`."""
        return await current_runtime().arun(
            wait_for(response, self.credentials, self.ledger, self._policy())
        )

    def _policy(self) -> PollPolicy:
        return PollPolicy(least=self.poll_least_seconds, most=self.poll_most_seconds)


@task(name=TASK_AWAIT, cache_policy=NO_CACHE, retry_condition_fn=worth_retrying)
def await_background_response(
    response: ResponseRun | str,
    *,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> ResponseResult:
    """Wait until a response has ended and return the answer.

    Args:
        response: what `create_response` returned, or the API's response ID.
        credentials: the account that created it, where *response* is an ID.
        ledger: where it is recorded, where *response* is an ID.

    Raises:
        ResponseUnsuccessful: it failed, was cancelled or is gone.
    """
    return current_runtime().run(wait_for(response, credentials, ledger, None))


@task(name=TASK_AWAIT, cache_policy=NO_CACHE, retry_condition_fn=worth_retrying)
async def aawait_background_response(
    response: ResponseRun | str,
    *,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> ResponseResult:
    """Wait until a response has ended; see `await_background_response`."""
    return await current_runtime().arun(wait_for(response, credentials, ledger, None))
