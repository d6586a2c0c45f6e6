"""Durable work on the OpenAI Responses API for Prefect 3: submit once, survive anything.

Names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_responses.blocks.model_prices import ModelPriceList
    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.blocks.responses_credentials import ResponsesCredentials
    from prefect_responses.decisions.budgets import Budget
    from prefect_responses.decisions.policies import AwaitMode, InDoubtMode, OnChange
    from prefect_responses.decisions.rate_limits import RateLimits
    from prefect_responses.decisions.stream_fold import Piece, Restarted
    from prefect_responses.enrichment.prices import ModelPrices
    from prefect_responses.enrichment.prompts import Prompt
    from prefect_responses.enrichment.reports import EnrichReport
    from prefect_responses.enrichment.samples import Preview
    from prefect_responses.enrichment.sinks import CsvSink, JsonlSink, ParquetSink
    from prefect_responses.enrichment.sources import CsvSource, JsonlSource, ParquetSource
    from prefect_responses.enrichment.sql.sink import SqlSink
    from prefect_responses.enrichment.sql.source import SqlSource
    from prefect_responses.errors import ResponsesError
    from prefect_responses.job_errors import BudgetStopped
    from prefect_responses.tasks.await_background_response import (
        AwaitBackgroundResponse,
        aawait_background_response,
        await_background_response,
    )
    from prefect_responses.tasks.cancel_on_timeout import (
        CancelOnTimeout,
        acancel_on_timeout,
        cancel_on_timeout,
    )
    from prefect_responses.tasks.create_response import (
        CreateResponse,
        acreate_response,
        create_response,
    )
    from prefect_responses.tasks.durable_flow import attach_hooks, durable_flow
    from prefect_responses.tasks.enrich import aenrich, enrich
    from prefect_responses.tasks.follow import follow
    from prefect_responses.tasks.kept_text import akept_text, kept_text
    from prefect_responses.tasks.respond import arespond, respond
    from prefect_responses.tasks.response_result import ResponseResult
    from prefect_responses.tasks.response_run import ResponseRun
    from prefect_responses.tasks.retrying import worth_retrying
    from prefect_responses.wire.stream_events import StreamEvent

    __version__: str

_HOMES = {
    "AwaitBackgroundResponse": "tasks.await_background_response",
    "AwaitMode": "decisions.policies",
    "Budget": "decisions.budgets",
    "BudgetStopped": "job_errors",
    "CancelOnTimeout": "tasks.cancel_on_timeout",
    "CreateResponse": "tasks.create_response",
    "CsvSink": "enrichment.sinks",
    "CsvSource": "enrichment.sources",
    "EnrichReport": "enrichment.reports",
    "InDoubtMode": "decisions.policies",
    "JsonlSink": "enrichment.sinks",
    "JsonlSource": "enrichment.sources",
    "ModelPriceList": "blocks.model_prices",
    "ModelPrices": "enrichment.prices",
    "OnChange": "decisions.policies",
    "ParquetSink": "enrichment.sinks",
    "ParquetSource": "enrichment.sources",
    "Piece": "decisions.stream_fold",
    "Preview": "enrichment.samples",
    "Prompt": "enrichment.prompts",
    "RateLimits": "decisions.rate_limits",
    "ResponseLedger": "blocks.response_ledger",
    "ResponseResult": "tasks.response_result",
    "ResponseRun": "tasks.response_run",
    "ResponsesCredentials": "blocks.responses_credentials",
    "ResponsesError": "errors",
    "Restarted": "decisions.stream_fold",
    "SqlSink": "enrichment.sql.sink",
    "SqlSource": "enrichment.sql.source",
    "StreamEvent": "wire.stream_events",
    "aawait_background_response": "tasks.await_background_response",
    "acancel_on_timeout": "tasks.cancel_on_timeout",
    "acreate_response": "tasks.create_response",
    "aenrich": "tasks.enrich",
    "akept_text": "tasks.kept_text",
    "arespond": "tasks.respond",
    "attach_hooks": "tasks.durable_flow",
    "await_background_response": "tasks.await_background_response",
    "cancel_on_timeout": "tasks.cancel_on_timeout",
    "create_response": "tasks.create_response",
    "durable_flow": "tasks.durable_flow",
    "enrich": "tasks.enrich",
    "follow": "tasks.follow",
    "kept_text": "tasks.kept_text",
    "respond": "tasks.respond",
    "worth_retrying": "tasks.retrying",
}

__all__ = [
    "AwaitBackgroundResponse",
    "AwaitMode",
    "Budget",
    "BudgetStopped",
    "CancelOnTimeout",
    "CreateResponse",
    "CsvSink",
    "CsvSource",
    "EnrichReport",
    "InDoubtMode",
    "JsonlSink",
    "JsonlSource",
    "ModelPriceList",
    "ModelPrices",
    "OnChange",
    "ParquetSink",
    "ParquetSource",
    "Piece",
    "Preview",
    "Prompt",
    "RateLimits",
    "ResponseLedger",
    "ResponseResult",
    "ResponseRun",
    "ResponsesCredentials",
    "ResponsesError",
    "Restarted",
    "SqlSink",
    "SqlSource",
    "StreamEvent",
    "aawait_background_response",
    "acancel_on_timeout",
    "acreate_response",
    "aenrich",
    "akept_text",
    "arespond",
    "attach_hooks",
    "await_background_response",
    "cancel_on_timeout",
    "create_response",
    "durable_flow",
    "enrich",
    "follow",
    "kept_text",
    "respond",
    "worth_retrying",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("prefect-responses")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
