"""CancelOnTimeout: end what takes too long, and say exactly what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from prefect import task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from pydantic import Field, HttpUrl

from prefect_responses.blocks.response_ledger import ResponseLedger
from prefect_responses.blocks.responses_credentials import ResponsesCredentials
from prefect_responses.decisions.policies import TimeoutPolicy
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.identity import TASK_CANCEL_ON_TIMEOUT
from prefect_responses.tasks.limits import enter_limit, leave_limit, timeout_of
from prefect_responses.tasks.response_result import ResponseResult
from prefect_responses.tasks.response_run import ResponseRun, settled_result
from prefect_responses.tasks.retrying import worth_retrying
from prefect_responses.tasks.waiting import Waiting

if TYPE_CHECKING:
    from types import TracebackType

    from prefect_responses.tasks.limits import Limit


class CancelOnTimeout(Block):
    """Cancel a response that takes longer than it may, and keep a late answer.

    The deadline is a wall-clock time in the ledger: it holds over restarts. Pass the block to a
    task or another block, or open it around any number of responses.

    Examples:
        Load the block and hand it to a task, or open it around several:
        ```python
        from prefect_responses import CancelOnTimeout, respond

        limit = CancelOnTimeout.load("BLOCK_NAME")
        result = respond(model="gpt-5-mini", input="Be quick.", cancel_on_timeout=limit)
        with limit:
            first = respond(model="gpt-5-mini", input="One.")
            second = respond(model="gpt-5-mini", input="Two.")
        ```
    """

    _block_type_name: ClassVar[str] = "Cancel On Timeout"
    _block_type_slug: ClassVar[str] = "cancel-on-timeout"
    _logo_url: ClassVar[HttpUrl] = HttpUrl("https://openai.com/favicon.ico")
    _documentation_url: ClassVar[HttpUrl] = HttpUrl(
        "https://platform.openai.com/docs/api-reference/responses/cancel"
    )

    timeout_seconds: float = Field(
        gt=0.0, description="Seconds of wall time that a response may take, restarts included."
    )
    grace_seconds: float = Field(
        default=10.0,
        ge=0.0,
        description="Seconds after the cancel in which a late answer is still waited for.",
    )

    def policy(self) -> TimeoutPolicy:
        """Return what the engine needs to know."""
        return TimeoutPolicy(self.timeout_seconds, None, self.grace_seconds)

    def __enter__(self) -> Limit:
        return enter_limit(self.policy())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leave_limit()

    async def __aenter__(self) -> Limit:
        return enter_limit(self.policy())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leave_limit()


def _waiting(timeout_seconds: float, grace_seconds: float) -> Waiting:
    limit = CancelOnTimeout(timeout_seconds=timeout_seconds, grace_seconds=grace_seconds)
    return Waiting(timeout=timeout_of(limit))


@task(name=TASK_CANCEL_ON_TIMEOUT, cache_policy=NO_CACHE, retry_condition_fn=worth_retrying)
def cancel_on_timeout(
    response: ResponseRun | str,
    *,
    timeout_seconds: float,
    grace_seconds: float = 10.0,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> ResponseResult:
    """Wait for a response and return its answer; cancel it if it takes too long.

    The time counts from the first call for this response; a restart does not begin it anew.

    Args:
        response: what `create_response` returned, or the API's response ID.
        timeout_seconds: seconds of wall time from now that it may take.
        grace_seconds: seconds after the cancel in which a late answer is still waited for.
        credentials: the account that created it, where *response* is an ID.
        ledger: where it is recorded, where *response* is an ID.

    Returns:
        The answer; its `timeout` is `completed` if it came after the deadline.

    Raises:
        ResponseTimedOut: its `outcome` says whether it was cancelled.
        ResponseUnsuccessful: it failed, was cancelled by somebody else, or is gone.
    """
    waiting = _waiting(timeout_seconds, grace_seconds)
    return current_runtime().run(settled_result(response, credentials, ledger, waiting))


@task(name=TASK_CANCEL_ON_TIMEOUT, cache_policy=NO_CACHE, retry_condition_fn=worth_retrying)
async def acancel_on_timeout(
    response: ResponseRun | str,
    *,
    timeout_seconds: float,
    grace_seconds: float = 10.0,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> ResponseResult:
    """Wait for a response, and cancel it if it takes too long; see `cancel_on_timeout`."""
    waiting = _waiting(timeout_seconds, grace_seconds)
    return await current_runtime().arun(settled_result(response, credentials, ledger, waiting))
