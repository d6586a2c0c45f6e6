"""Readable names of task runs."""

from __future__ import annotations

from prefect.runtime import task_run

_LONGEST = 60


def name_of_run() -> str:
    """Name a task run after its key or its model: `create_response-gpt-5-summary`."""
    given = task_run.parameters
    request = given.get("request") or {}
    said = [task_run.task_name, request.get("model"), given.get("key")]
    if given.get("sample") is not None:
        said.append(f"sample-{given['sample']}")
    return "-".join(str(word) for word in said if word)[:_LONGEST]
