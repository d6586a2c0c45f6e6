"""Show a job's report in Prefect's UI. Best effort: it never fails or delays a job for long."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from prefect.artifacts import acreate_markdown_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

if TYPE_CHECKING:
    from prefect_responses.enrichment.reports import EnrichReport

_PATIENCE = 5.0
_log = logging.getLogger(__name__)


async def publish_report(report: EnrichReport) -> None:
    """Publish *report* in the log and as a Markdown artifact of the flow run, if there is one."""
    if FlowRunContext.get() is None:
        return
    # A process whose console is gone gets SystemExit from its console handler.
    with suppress(Exception, SystemExit):
        get_run_logger().info("%s", "\n".join(report.as_lines()))
    try:
        async with asyncio.timeout(_PATIENCE):
            await acreate_markdown_artifact(
                report.as_markdown(), key=_key(report.job), description=f"Job {report.job}"
            )
    except Exception:  # noqa: BLE001 - nothing that only shows something may fail a job
        _log.warning("The report of job %s could not be shown in the UI.", report.job)


def _key(job: str) -> str:
    """Return *job* as an artifact key: lower-case letters, digits and dashes."""
    return "enrich-" + (re.sub(r"[^a-z0-9]+", "-", job.lower()).strip("-") or "job")
