"""AwaitBackgroundResponse: wait for a response that was submitted before, by whomever."""

from __future__ import annotations

from typing import ClassVar

from prefect import task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from pydantic import Field, HttpUrl

from prefect_responses.blocks.response_ledger import ResponseLedger
from prefect_responses.blocks.responses_credentials import ResponsesCredentials
from prefect_responses.decisions.policies import AwaitMode, PollPolicy
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.identity import TASK_AWAIT
from prefect_responses.tasks.asking import waits
from prefect_responses.tasks.cancel_on_timeout import CancelOnTimeout
from prefect_responses.tasks.limits import timeout_of
from prefect_responses.tasks.response_result import ResponseResult
from prefect_responses.tasks.response_run import ResponseRun, settled_result
from prefect_responses.tasks.retrying import worth_retrying
from prefect_responses.tasks.waiting import Waiting


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
    mode: AwaitMode = Field(
        default=AwaitMode.AUTO,
        description="Follow its events where it has some, else poll; or always one of these.",
    )
    live_text: bool = Field(
        default=False, description="Show the text so far in the UI, where it has events."
    )
    cancel_on_timeout: CancelOnTimeout | None = Field(
        default=None, description="How long it may take from now on; no deadline if empty."
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
            ResponseTimedOut: its deadline passed; `outcome` says what came of it.
            ResponseUnsuccessful: it failed, was cancelled or is gone.
        """
        waiting = self._waiting()
        return current_runtime().run(
            settled_result(response, self.credentials, self.ledger, waiting)
        )

    async def arun(self, response: ResponseRun | str) -> ResponseResult:
        """Wait for *response* and return the answer; see `run`."""
        waiting = self._waiting()
        return await current_runtime().arun(
            settled_result(response, self.credentials, self.ledger, waiting)
        )

    def _waiting(self) -> Waiting:
        return Waiting(
            self.mode,
            timeout_of(self.cancel_on_timeout),
            PollPolicy(least=self.poll_least_seconds, most=self.poll_most_seconds),
            self.live_text,
        )


@task(name=TASK_AWAIT, cache_policy=NO_CACHE, retry_condition_fn=worth_retrying)
def await_background_response(  # noqa: PLR0913 - each is a named choice of the user
    response: ResponseRun | str,
    *,
    mode: AwaitMode | str = AwaitMode.AUTO,
    cancel_on_timeout: CancelOnTimeout | float | None = None,
    live_text: bool = False,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> ResponseResult:
    """Wait until a response has ended and return the answer.

    Args:
        response: what `create_response` returned, or the API's response ID.
        mode: `auto`, `poll` or `stream`: how its end is waited for.
        cancel_on_timeout: seconds of wall time from now that it may take, or a `CancelOnTimeout`;
            a deadline that it has already stays if it is earlier.
        live_text: show the text so far in Prefect's UI; it must have been created as a stream.
        credentials: the account that created it, where *response* is an ID.
        ledger: where it is recorded, where *response* is an ID.

    Raises:
        ResponseTimedOut: its deadline passed; `outcome` says what came of it.
        ResponseUnsuccessful: it failed, was cancelled or is gone.
    """
    waiting = waits(cancel_on_timeout, mode=mode, live_text=live_text)["waiting"]
    return current_runtime().run(settled_result(response, credentials, ledger, waiting))


@task(name=TASK_AWAIT, cache_policy=NO_CACHE, retry_condition_fn=worth_retrying)
async def aawait_background_response(  # noqa: PLR0913 - see await_background_response
    response: ResponseRun | str,
    *,
    mode: AwaitMode | str = AwaitMode.AUTO,
    cancel_on_timeout: CancelOnTimeout | float | None = None,
    live_text: bool = False,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> ResponseResult:
    """Wait until a response has ended; see `await_background_response`."""
    waiting = waits(cancel_on_timeout, mode=mode, live_text=live_text)["waiting"]
    return await current_runtime().arun(settled_result(response, credentials, ledger, waiting))
