"""The flows that the chaos tests kill. Each is started as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import anyio
from prefect import flow, task
from prefect.cache_policies import INPUTS, RUN_ID
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from prefect_responses import (
    CancelOnTimeout,
    aawait_background_response,
    acreate_response,
    arespond,
    create_response,
    follow,
    respond,
)
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.decisions.stream_fold import Piece
from prefect_responses.errors import LedgerLocked, ResponsesError, ResponseTimedOut
from prefect_responses.ledger import Ledger, RecordProgress

MODEL = "echo"
#: Seconds after a cancel in which a late answer is waited for.
GRACE = 0.5


class Transient(Exception):
    """A failure of the user's own."""


def first_time(what: str) -> bool:
    """Tell, over all processes of a test, whether this is asked for the first time."""
    try:
        (Path(os.environ["LAB_FOLDER"]) / f"{what}.once").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def note(what: str, fact: Any) -> None:
    """Write down a fact that the test reads."""
    with (Path(os.environ["LAB_FOLDER"]) / f"{what}.notes").open("a") as file:
        file.write(json.dumps(fact) + "\n")


def wait_for_word(word: str) -> None:
    """Wait until the test has given the word."""
    file, end = Path(os.environ["LAB_FOLDER"]) / f"{word}.word", time.monotonic() + 30
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.02)


def ask(text: str, **choices: Any) -> str:
    """Ask through our task; note and return the response's ID."""
    result = respond(model=MODEL, input=text, **choices)
    note("delivered", result.response_id)
    return result.response_id


# --- one response, one task -----------------------------------------------------------------------


@flow
def one_response(text: str = "One paid answer.", in_doubt: str = "auto") -> str:
    return ask(text, in_doubt=in_doubt)


@flow
def cell(text: str, *, stream: bool = False, seconds: float = 0.0) -> None:
    """Be one cell of the crash matrix, with a deadline after *seconds* if there are some."""
    note("began", [text, os.getpid()])
    choices: dict[str, Any] = {"stream": True} if stream else {}
    if seconds:
        limit = CancelOnTimeout(timeout_seconds=seconds, grace_seconds=GRACE)
        choices["cancel_on_timeout"] = limit
    try:
        result = respond(model=MODEL, input=text, **choices)
    except ResponseTimedOut as error:
        note("ended", [text, error.response_id, error.outcome])
        raise
    note("ended", [text, result.response_id, "completed"])


@flow
def scripted(text: str) -> str:
    result = respond(model="script", input=text)
    note("delivered", result.response_id)
    return result.response_id


@flow
def patient(text: str) -> str:
    return respond.with_options(retries=3, retry_delay_seconds=0)(model=MODEL, input=text).status


@flow
def impatient_task(text: str, patience: float) -> str:
    hasty = respond.with_options(retries=6, retry_delay_seconds=0, timeout_seconds=patience)
    return hasty(model=MODEL, input=text).status


@flow
async def impatient_async_task(text: str, patience: float) -> str:
    hasty = arespond.with_options(retries=6, retry_delay_seconds=0, timeout_seconds=patience)
    return (await hasty(model=MODEL, input=text)).status


@task(retries=2, retry_delay_seconds=0)
def fails_once_around(text: str) -> str:
    response_id = ask(text)
    if first_time("around"):
        raise Transient
    return response_id


@flow
def enclosed(text: str) -> str:
    return fails_once_around(text)


@flow(retries=1, retry_delay_seconds=0)
def fails_once(text: str) -> str:
    response_id = ask(text)
    if first_time("flow"):
        raise Transient
    return response_id


# --- a long stream --------------------------------------------------------------------------------


def note_commits() -> None:
    """Write down each commit of a stream's progress."""
    do = Ledger.do

    async def noting(self: Ledger, verb: Any) -> Any:
        done = await do(self, verb)
        if isinstance(verb, RecordProgress):
            note("commits", verb.cursor)
        return done

    Ledger.do = noting  # type: ignore[method-assign]


@flow
def long_stream(words: int) -> None:
    """Follow a long stream, store its text piece by piece, and then take the whole answer."""
    from stored_text import StoredText, long_text  # noqa: PLC0415 - other stories do without

    note_commits()
    run = create_response(model=MODEL, input=long_text(words), stream=True)
    following = follow(run)
    stored = StoredText(Path(os.environ["LAB_FOLDER"]) / "pieces")
    whole, ours = time.process_time(), time.thread_time()
    for piece in following.text():
        assert isinstance(piece, Piece), "nothing was begun again"
        stored.put(piece.offset, piece.text)
    # What the consumer took in this thread is its own.
    note("seconds", time.process_time() - whole - (time.thread_time() - ours))
    note("answer", following.result().output_text)


# --- subflows -------------------------------------------------------------------------------------


@flow
def child(text: str, end: str) -> str:
    response_id = ask(text)
    if end == "failed" and first_time("child"):
        raise Transient
    if end == "terminated" and first_time("child"):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    return response_id


@flow(retries=1, retry_delay_seconds=0)
def parent(text: str, end: str) -> str:
    response_id = child(text, end)
    if end == "completed" and first_time("parent"):
        raise Transient
    return response_id


# --- many identical calls -------------------------------------------------------------------------


@task(persist_result=True, cache_policy=INPUTS + RUN_ID)
def sample(text: str, index: int) -> str:
    response_id = respond(model=MODEL, input=text).response_id
    note("asked", [index, response_id])
    return response_id


@flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
def mapped(text: str, count: int) -> list[str]:
    ids = [future.result() for future in sample.map([text] * count, list(range(count)))]
    note("samples", ids)
    return ids


@flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
def mapped_in_turn(text: str, count: int) -> None:
    from prefect.futures import as_completed  # noqa: PLC0415

    futures = sample.map([text] * count, list(range(count)))
    for future in as_completed(list(futures)):
        note("kept", future.result())
    note("samples", [future.result() for future in futures])


@flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
def impatient_in_threads(texts: list[str], patience: float) -> None:
    hasty = respond.with_options(retries=6, retry_delay_seconds=0, timeout_seconds=patience)
    futures = [hasty.submit(model=MODEL, input=text) for text in texts]
    note("delivered", [future.result().response_id for future in futures])


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def pooled(text: str, other: str) -> None:
    texts = [text, text, text, other]
    futures = [respond.submit(model=MODEL, input=each) for each in texts]
    note("pooled", [future.result().response_id for future in futures])
    if first_time("pooled"):
        raise Transient


@flow
def numbered_samples(text: str) -> None:
    ids = [respond(model=MODEL, input=text, sample=index).response_id for index in range(3)]
    note("samples", ids)
    if first_time("samples"):
        os.kill(os.getpid(), signal.SIGKILL)


@flow
async def gathered(text: str, count: int) -> None:
    results = await asyncio.gather(*(arespond(model=MODEL, input=text) for _ in range(count)))
    note("samples", [result.response_id for result in results])


# --- async, in two steps --------------------------------------------------------------------------


@task(persist_result=True, cache_policy=INPUTS + RUN_ID)
async def begin(text: str) -> Any:
    return await acreate_response(model=MODEL, input=text)


@task(persist_result=True, cache_policy=INPUTS + RUN_ID)
async def end(handle: Any) -> str:
    result = await aawait_background_response(handle)
    return result.response_id


@flow
async def two_steps(text: str) -> None:
    handle = await begin(text)
    note("handles", handle.response_id)
    note("delivered", await end(handle))


@task(persist_result=True, cache_policy=INPUTS + RUN_ID)
def begin_scripted(text: str) -> Any:
    return create_response(model="script", input=text)


@flow
def two_scripted_steps(text: str) -> None:
    handle = begin_scripted(text)
    note("handles", handle.attempt_id)
    note("delivered", handle.fetch_result().output_text)


@flow
def created_then_interrupted(text: str) -> None:
    handle = create_response(model=MODEL, input=text)
    note("handles", handle.response_id)
    if first_time("between"):
        raise Transient
    note("delivered", handle.fetch_result().response_id)


# --- what a user says of an answer ----------------------------------------------------------------


@flow
def rejecting(text: str) -> None:
    result = respond(model=MODEL, input=text)
    note("delivered", result.response_id)
    if first_time("rejected"):
        result.reject("The test does not want it.")
        os.kill(os.getpid(), signal.SIGKILL)


@flow
def rejecting_in_a_loop(text: str) -> None:
    for _ in range(3):
        result = respond(model=MODEL, input=text)
        note("delivered", result.response_id)
        if not first_time("rejected"):
            break
        result.reject("The test does not want it.")
    if first_time("looped"):
        os.kill(os.getpid(), signal.SIGKILL)


@flow
def keyed(texts: list[str], on_change: str) -> None:
    text = texts[0] if first_time("keyed") else texts[1]
    result = respond(model=MODEL, input=text, key="the-answer", on_change=on_change)
    note("delivered", result.output_text)
    if text == texts[0]:
        os.kill(os.getpid(), signal.SIGKILL)


# --- interrupted from within ----------------------------------------------------------------------


@flow
async def called_again_after_a_timeout(text: str, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await arespond(model=MODEL, input=text)
        note("delivered", "too early")
    result = await arespond(model=MODEL, input=text)
    note("delivered", result.response_id)


@flow
def interrupted_by_ctrl_c(text: str) -> None:
    try:
        respond(model=MODEL, input=text)
    except KeyboardInterrupt:
        note("interrupted", "yes")
    ask(text)


def fail_once(verb: str) -> None:
    """Let the ledger refuse one verb as if another process held it; `POST` breaks the client."""
    answer, create = Ledger.do, HttpResponsesApi.create

    async def refusing(self: Ledger, asked: Any) -> Any:
        if type(asked).__name__ == verb and first_time("refused"):
            raise LedgerLocked
        return await answer(self, asked)

    async def breaking(self: HttpResponsesApi, *args: Any, **kwargs: Any) -> Any:
        if verb == "POST" and first_time("refused"):
            raise Transient
        return await create(self, *args, **kwargs)

    Ledger.do, HttpResponsesApi.create = refusing, breaking  # type: ignore[method-assign]


@flow
def caught_and_asked_again(text: str, verb: str) -> None:
    fail_once(verb)
    for _ in range(3):
        try:
            ask(text)
        except (ResponsesError, Transient) as error:
            note("caught", type(error).__name__)
        else:
            return


@flow
def two_in_turn(text: str, then: str) -> None:
    ask(text)
    wait_for_word("go on")
    ask(then)


# --- two processes --------------------------------------------------------------------------------


def wait_for_the_other(*_: Any) -> None:
    """Wait, where Prefect has set Running and not yet read it back, until both are there."""
    note("running", os.getpid())
    file, deadline = Path(os.environ["LAB_FOLDER"]) / "running.notes", time.monotonic() + 20
    while len(file.read_text().splitlines()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)


@flow(on_running=[wait_for_the_other])
def side_by_side(text: str) -> str:
    return ask(text)
