"""The flows that the chaos tests kill. Each is started as a process of its own."""

from __future__ import annotations

from prefect import flow

from prefect_responses import respond


@flow(log_prints=False)
def one_response(text: str = "One paid answer.") -> str:
    return respond(model="echo", input=text).output_text
