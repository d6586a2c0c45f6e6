"""The flows that a worker runs while the tests end its processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.flow_runs import suspend_flow_run
from prefect.runtime import flow_run
from pydantic import BaseModel

from prefect_responses import create_response, enrich, respond
from prefect_responses.tasks.durable_flow import durable_flow

MODEL = "echo"


def note(what: str, *facts: Any) -> None:
    """Write down facts that the test reads, with the flow run and its process."""
    line = json.dumps([flow_run.id, os.getpid(), *facts])
    with (Path(os.environ["LAB_FOLDER"]) / f"{what}.notes").open("a") as file:
        file.write(line + "\n")


def answer(text: str) -> str:
    """Ask, and say so in the log before and after, as flows do."""
    logger = get_run_logger()
    logger.info("Asking.")
    note("began", flow_run.run_count)
    result = respond(model=MODEL, input=text)
    logger.info("Answered by %s.", result.response_id)
    note("delivered", result.response_id)
    return result.response_id


@flow
def one_answer(text: str) -> str:
    return answer(text)


@flow
def always_crashing(text: str) -> None:
    """Be killed after the answer, every time."""
    answer(text)
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def suspended_once(text: str) -> str:
    """Wait without a process until somebody resumes the run."""
    suspend_flow_run(key="once", timeout=3600)
    return answer(text)


# --- what a user cancels --------------------------------------------------------------------------


@task
def in_a_thread(text: str) -> str:
    return respond(model=MODEL, input=text).response_id


@flow
def below(text: str) -> str:
    return respond(model=MODEL, input=text).response_id


@durable_flow
def three_in_flight(text: str) -> None:
    note("began", flow_run.run_count)
    here = create_response(model=MODEL, input=f"{text} In the flow.")
    there = in_a_thread.submit(f"{text} In a thread.")
    try:
        inner = below(f"{text} In a subflow.")
    except BaseException:
        note("interrupted")
        raise
    note("delivered", [here.fetch_result().response_id, there.result(), inner])


@durable_flow
def one_durable_answer(text: str) -> str:
    return answer(text)


# --- one table, any number of workers -------------------------------------------------------------


class Facts(BaseModel):
    """What is asked of each row."""

    summary: str


@flow
def one_table(table: str, output: str, shard_rows: int, max_in_flight: int) -> None:
    """Work on the rows of one job, beside whoever else does."""
    note("began", flow_run.run_count)
    report = enrich(
        job="one-table",
        rows=table,
        key="id",
        prompt="Summarise.\n---\n{text}",
        output_type=Facts,
        model="extract",
        sink=output,
        shard_rows=shard_rows,
        max_in_flight=max_in_flight,
    )
    note("reported", report.model_dump(mode="json"))


if __name__ == "__main__":
    # `python deployed_stories.py STORY NAME` serves a story, as its user would.
    globals()[sys.argv[1]].serve(name=sys.argv[2], print_starting_message=False)
