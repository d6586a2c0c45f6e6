"""Flows that leave responses in flight, for a hook that knows no more than their flow run."""

from __future__ import annotations

from prefect import flow, task

from prefect_responses import ResponseLedger, create_response
from prefect_responses.tasks.durable_flow import durable_flow

LEDGER = "cancel-stories"


def leave(text: str, ledger: str | None) -> None:
    """Submit a response and do not wait for it."""
    block = ResponseLedger.load(ledger) if ledger else None
    create_response(model="echo", input=text, ledger=block)


@task
def in_a_task(text: str, ledger: str | None) -> None:
    leave(text, ledger)


@flow
def below(text: str, ledger: str | None) -> None:
    leave(text, ledger)


@durable_flow(name="leaves-three")
def leaves_three(ledger: str | None = None) -> None:
    leave("In the flow.", ledger)
    in_a_task.submit("In a task's thread.", ledger).result()
    below("In a subflow.", ledger)


@durable_flow
def leaves_one() -> None:
    leave("Alone.", None)
