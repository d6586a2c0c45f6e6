"""A user's view of the public API. It is never run: a type checker reads it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, assert_type

from prefect import flow, task
from prefect.futures import PrefectFuture
from pydantic import BaseModel

from prefect_responses import (
    AwaitBackgroundResponse,
    Budget,
    CreateResponse,
    CsvSink,
    CsvSource,
    EnrichReport,
    InDoubtMode,
    ModelPrices,
    OnChange,
    Prompt,
    RateLimits,
    ResponseLedger,
    ResponseResult,
    ResponseRun,
    ResponsesCredentials,
    ResponsesError,
    aawait_background_response,
    acreate_response,
    aenrich,
    arespond,
    await_background_response,
    create_response,
    enrich,
    respond,
    worth_retrying,
)

if TYPE_CHECKING:
    from prefect_responses.clock import Clock
    from prefect_responses.testing import ManualClock

credentials = ResponsesCredentials(api_key="sk-x")
ledger = ResponseLedger(url="sqlite:////var/lib/prefect/responses.db")


class Product(BaseModel):
    """What is asked of a row."""

    name: str


# --- tasks ----------------------------------------------------------------------------------------


@flow
def sync_flow(text: str) -> str:
    """Call the sync tasks."""
    handle = create_response(model="gpt-5", input=text)
    assert_type(handle, ResponseRun)
    result = await_background_response(handle)
    assert_type(result, ResponseResult)
    assert_type(await_background_response("resp_1", credentials=credentials), ResponseResult)
    answer = respond(
        model="gpt-5",
        input=[{"role": "user", "content": text}],
        key="summary",
        on_change=OnChange.RESUBMIT,
        in_doubt="fail",
        max_attempts=2,
        credentials=credentials,
        ledger=ledger,
        temperature=0.2,
    )
    assert_type(answer, ResponseResult)
    answer.reject("too long")
    return answer.output_text


@flow
async def async_flow(text: str) -> str:
    """Call the async tasks."""
    handle = await acreate_response(model="gpt-5", input=text, in_doubt=InDoubtMode.RESUBMIT)
    assert_type(handle, ResponseRun)
    assert_type(await aawait_background_response(handle, ledger=ledger), ResponseResult)
    answer = await arespond(model="gpt-5", input=text, sample=1)
    assert_type(answer, ResponseResult)
    await answer.areject("too long")
    return answer.output_text


@flow
def futures() -> list[str]:
    """Submit the tasks as futures."""
    future = respond.submit(model="gpt-5", input="x")
    assert_type(future, PrefectFuture[ResponseResult])
    assert_type(future.result(), ResponseResult)
    patient = respond.with_options(retries=3, timeout_seconds=60)
    return [patient(model="gpt-5", input="x").output_text]


@task(retries=3, retry_condition_fn=worth_retrying)
def mine() -> ResponseResult:
    """Use our retry condition on a task of one's own."""
    try:
        return respond(model="gpt-5", input="x")
    except ResponsesError as error:
        assert_type(error.retryable, bool)
        raise


# --- handles and blocks ---------------------------------------------------------------------------


def handles() -> None:
    """Use the blocks and handles from a script."""
    block = CreateResponse(
        model="gpt-5",
        prompt="x",
        key="summary",
        scope="nightly",
        options={"temperature": 0},
        credentials=credentials,
        ledger=ledger,
    )
    run = block.trigger(input="y")
    assert_type(run, ResponseRun)
    run.wait_for_completion()
    assert_type(run.fetch_result(), ResponseResult)
    assert_type(ResponseRun.attach("resp_1", credentials=credentials), ResponseRun)
    assert_type(run.attempt_id, str)
    waiting = AwaitBackgroundResponse(poll_most_seconds=5)
    result = waiting.run(run)
    assert_type(result, ResponseResult)
    assert_type(result.usage, dict[str, Any] | None)
    assert_type(result.response, dict[str, Any])


async def async_handles(block: CreateResponse, waiting: AwaitBackgroundResponse) -> None:
    """Use the async twins."""
    run = await block.atrigger()
    assert_type(run, ResponseRun)
    await run.await_for_completion()
    assert_type(await run.afetch_result(), ResponseResult)
    assert_type(await ResponseRun.aattach("resp_1"), ResponseRun)
    assert_type(await waiting.arun("resp_1"), ResponseResult)


# --- tables ---------------------------------------------------------------------------------------


def tables() -> None:
    """Enrich a table."""
    report = enrich(
        job="products",
        rows=CsvSource("products.csv"),
        key=("shop", "id"),
        prompt=Prompt("Name {text}.", version="2"),
        output_type=Product,
        model="gpt-5-mini",
        sink=CsvSink("named.csv"),
        options={"service_tier": "flex"},
        select="due",
        where={"shop": ["one", "two"]},
        replay=["schema"],
        on_change="error",
        max_attempts={"failed": 2},
        prices=ModelPrices(as_of=date(2026, 11, 21), models={}),
        budget=[Budget(max_usd=1.0, per="day"), Budget(max_tokens=1000, per="run")],
        limits=RateLimits(requests_per_minute=500),
        credentials=credentials,
        ledger=ledger,
    )
    assert_type(report, EnrichReport)
    assert_type(report.cost, int)


async def async_tables() -> None:
    """Enrich a table from async code."""
    report = await aenrich(
        job="products",
        rows="products.csv",
        key="id",
        prompt="Name {text}.",
        output_type={"type": "object"},
        model="gpt-5-mini",
        where=lambda row: row.key > "a",
        sample=20,
        dry_run=True,
        prices="prices.toml",
    )
    assert_type(report, EnrichReport)


# --- testing --------------------------------------------------------------------------------------


async def clocks(clock: ManualClock) -> None:
    """Use the public clock where a clock is wanted."""
    wanted: Clock = clock
    await clock.advance(60)
    assert_type(wanted.now(), float)
