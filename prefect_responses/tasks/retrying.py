"""Which failures a task retry can help with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_responses.errors import ResponsesError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task


def worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Tell Prefect whether to retry: pass it as `retry_condition_fn` to a task of your own.

    A refused request, a missing key or a response that failed will not get better by being asked
    again in the same run, so `retries=3` spends nothing on them. Errors of other packages are
    retried as Prefect would.
    """
    del task, task_run
    error = state.result(raise_on_failure=False)
    return error.retryable if isinstance(error, ResponsesError) else True
