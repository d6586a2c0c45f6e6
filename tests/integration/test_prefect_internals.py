"""Everything of Prefect's that is not public, on the Prefect that is installed.

Run it on every version that is supported: `make test test-prefect-3.9`.
"""

from __future__ import annotations

import pytest
from prefect import flow, task, unmapped
from prefect.blocks.system import Secret
from prefect.context import FlowRunContext, TaskRunContext

from prefect_responses.host.prefect_internals import enclosing, saved_name

# Prefect leaves sockets of its own to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def task_names() -> list[str]:
    """Return each enclosing task run's name once: Prefect enters the context of a run twice."""
    contexts = enclosing(TaskRunContext.get())
    return list({context.task_run.id: context.task.name for context in contexts}.values())


def flow_names() -> list[str]:
    return [context.flow.name for context in enclosing(FlowRunContext.get()) if context.flow]


def names() -> tuple[list[str], list[str]]:
    """Return the enclosing tasks and flows, innermost first."""
    return task_names(), flow_names()


@task(name="inner")
def inner() -> tuple[list[str], list[str]]:
    return names()


@task(name="outer")
def outer() -> tuple[list[str], list[str]]:
    return inner()


@task(name="async-inner")
async def async_inner() -> tuple[list[str], list[str]]:
    return names()


@task(name="async-outer")
async def async_outer() -> tuple[list[str], list[str]]:
    return await async_inner()


def test_outside_of_runs_nothing_encloses():
    assert names() == ([], [])


def test_a_flow_encloses_what_it_calls():
    @flow(name="alone")
    def alone():
        return names()

    assert alone() == ([], ["alone"])


def test_a_task_in_a_task_sees_both():
    @flow(name="parent")
    def parent():
        return outer()

    assert parent() == (["inner", "outer"], ["parent"])


async def test_async_tasks_see_the_same():
    @flow(name="parent")
    async def parent():
        return await async_outer()

    assert await parent() == (["async-inner", "async-outer"], ["parent"])


def test_a_subflow_sees_its_parent():
    @flow(name="child")
    def child():
        return inner()

    @flow(name="parent")
    def parent():
        return child()

    tasks, flows = parent()

    assert (tasks[0], flows) == ("inner", ["child", "parent"])


def test_a_subflow_in_a_task_sees_that_task():
    @flow(name="child")
    def child():
        return inner()

    @task(name="caller")
    def caller():
        return child()

    @flow(name="parent")
    def parent():
        return caller()

    assert parent() == (["inner", "caller"], ["child", "parent"])


def test_mapped_threads_see_the_flow():
    @task(name="mapped")
    def mapped(number: int, found: list) -> int:
        found.append(names())
        return number

    found: list[tuple[list[str], list[str]]] = []

    @flow(name="parent")
    def parent():
        return mapped.map([1, 2, 3], unmapped(found)).result()

    assert sorted(parent()) == [1, 2, 3]
    assert found == [(["mapped"], ["parent"])] * 3


def test_submitted_tasks_see_the_task_that_they_call():
    @flow(name="parent")
    def parent():
        return outer.submit().result()

    assert parent() == (["inner", "outer"], ["parent"])


def test_what_encloses_is_forgotten_when_it_ends():
    @flow(name="first")
    def first():
        return names()

    first()

    assert names() == ([], [])


def test_a_saved_block_says_under_which_name():
    block = Secret(value="not a secret")

    assert (saved_name(None), saved_name(block)) == (None, None)
    block.save("internals", overwrite=True)
    assert saved_name(block) == "internals"
    assert saved_name(Secret.load("internals")) == "internals"
