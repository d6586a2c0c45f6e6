"""Show reports in Prefect's UI. Best effort: it never fails or delays a flow run for long."""

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
    from prefect_responses.engine.harvest_report import HarvestReport
    from prefect_responses.enrichment.reports import EnrichReport

#: The key of the artifact of harvests.
HARVEST_KEY = "responses-harvest"
_PATIENCE = 5.0
_log = logging.getLogger(__name__)


async def publish_report(report: EnrichReport) -> None:
    """Publish *report* in the log and as a Markdown artifact of the flow run, if there is one."""
    if FlowRunContext.get() is None:
        return
    _say(logging.INFO, report.as_lines())
    await _publish(report.as_markdown(), artifact_key(report.job), f"Job {report.job}")


async def publish_harvest(report: HarvestReport) -> None:
    """Publish *report* in the log of the flow run, if there is one, and as a Markdown artifact.

    A harvest in which nothing happened gets no artifact: it would hide the last one that did.
    """
    if FlowRunContext.get() is None:
        return
    _say(logging.WARNING if report.needs_a_person else logging.INFO, report.as_lines())
    if not report.is_quiet:
        await _publish(report.as_markdown(), HARVEST_KEY, "Harvest of the ledger")


def say(lines: list[str]) -> None:
    """Say something of a job in the log: of the flow run if there is one, or of the process."""
    if FlowRunContext.get() is None:
        _log.info("%s", "\n".join(lines))
    else:
        _say(logging.INFO, lines)


def _say(level: int, lines: list[str]) -> None:
    # A process whose console is gone gets SystemExit from its console handler.
    with suppress(Exception, SystemExit):
        get_run_logger().log(level, "%s", "\n".join(lines))


async def _publish(markdown: str, key: str, what: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await acreate_markdown_artifact(markdown, key=key, description=what)
    except Exception:  # noqa: BLE001 - nothing that only shows something may fail a flow run
        _log.warning("The report could not be shown in the UI: %s.", what)


def artifact_key(job: str) -> str:
    """Return *job* as an artifact key: lower-case letters, digits and dashes."""
    return "enrich-" + (re.sub(r"[^a-z0-9]+", "-", job.lower()).strip("-") or "job")
