"""The deployments, deployed to a real server by the commands of their README."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

README = (ROOT / "deployments" / "README.md").read_text()


def readme_command(start: str) -> str:
    [line] = re.findall(rf"^prefect .*{start}.*$", README, re.MULTILINE)
    return line


@pytest.fixture
def run(prefect_server, tmp_path):
    def run(line: str) -> None:
        result = subprocess.run(
            [Path(sys.executable).with_name("prefect"), *shlex.split(line)[1:]],
            cwd=ROOT,
            env={
                **os.environ,
                "PREFECT_API_URL": prefect_server,
                "PREFECT_HOME": str(tmp_path / "prefect"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr

    return run


def test_all_flows_are_deployed_and_can_be_run(run):
    run(readme_command("work-pool create"))
    run(readme_command("deploy --all"))
    run(readme_command("enrich-table/enrich-table"))
    for _ in range(3):
        run(readme_command("enrich-table/enrich-together"))

    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("enrich-table/enrich-table")
        assert deployment.job_variables == {"stream_output": False}
        assert deployment.entrypoint == "flows/enrich_table.py:enrich_table"
        of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        [flow_run] = client.read_flow_runs(deployment_filter=of_deployment)
        assert flow_run.parameters["table"] == "modules.csv"

        together = client.read_deployment_by_name("enrich-table/enrich-together")
        assert together.global_concurrency_limit.limit == 16
        of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[together.id]))
        runs = client.read_flow_runs(deployment_filter=of_deployment)
        assert [run.parameters["output"] for run in runs] == ["/shared/enriched.csv"] * 3
        assert all("durable-responses" in run.tags for run in runs)

        harvest = client.read_deployment_by_name("harvest/harvest")
        assert [each.schedule.interval.total_seconds() for each in harvest.schedules] == [60]
        assert harvest.global_concurrency_limit.limit == 1
        assert harvest.concurrency_options.collision_strategy == "CANCEL_NEW"
