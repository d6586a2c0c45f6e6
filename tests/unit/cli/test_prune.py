"""`prefect-responses ledger list` and `ledger prune`, run in this process."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from ledger_stories import answered, doubted, write
from test_commands import run

from prefect_responses.cli.printing import size


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def write_long_ago(url, *stories):
    """Let each story have happened three days ago."""
    write(url, *stories)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as ledger, ledger:
        ledger.execute("UPDATE attempts SET settled_at = settled_at - 3 * 86400")


def numbers(url, *options):
    result = run("ledger", "prune", "--json", "--url", url, *options)
    assert result.returncode == 0
    return json.loads(result.stdout)


def test_list_names_each_scope(url):
    write(url, (answered, "a"), (doubted, "b"))

    shown = run("ledger", "list", "--url", url)
    listed = json.loads(run("ledger", "list", "--json", "--url", url).stdout)

    assert shown.returncode == 0
    assert "job:demo" in shown.stdout
    [scope] = listed["scopes"]
    assert (scope["scope"], scope["attempts"], scope["unsettled"]) == ("job:demo", 2, 1)


def test_prune_deletes_nothing_unless_it_is_told_to(url):
    write_long_ago(url, (answered, "a"), (doubted, "b"))
    chosen = ("--days", "1", "--job", "demo")

    dry = run("ledger", "prune", "--url", url, *chosen)
    assert "--yes would delete 1 attempts, 1 requests with their responses" in dry.stdout
    assert numbers(url, *chosen)["attempts"] == 1

    told = run("ledger", "prune", "--url", url, "--yes", *chosen)
    assert told.stdout.startswith("Deleted 1 attempts")
    assert numbers(url, *chosen)["attempts"] == 0


def test_prune_leaves_the_rows_of_jobs_and_what_is_young(url):
    write_long_ago(url, (answered, "a"))

    assert numbers(url, "--days", "1")["attempts"] == 0
    assert numbers(url, "--job", "demo")["attempts"] == 0
    assert numbers(url, "--days", "1.5", "--scope", "job:demo")["attempts"] == 1


def test_prune_can_delete_bodies_alone(url):
    write_long_ago(url, (answered, "a"))

    deleted = numbers(url, "--days", "1", "--job", "demo", "--bodies-only", "--yes")

    assert (deleted["deleted"], deleted["attempts"], deleted["bodies"]) == (True, 0, 1)
    assert deleted["bytes"] > 0
    assert json.loads(run("ledger", "show", "--json", "--url", url).stdout)["attempts"]


def test_prune_says_what_becomes_of_a_job_whose_answers_it_deletes(url):
    write_long_ago(url, (answered, "a"))
    command = ("ledger", "prune", "--bodies-only", "--days", "1", "--url", url)

    unnamed = run(*command, "--yes").stdout
    assert unnamed.startswith("Deleted 0 attempts, 0 requests")
    assert "later run" not in unnamed
    for more in (("--job", "demo"), ("--scope", "job:demo", "--yes")):
        assert "A later run of the job neither asks such rows again" in run(*command, *more).stdout


@pytest.mark.parametrize("days", ["-1", "0", "0.9"])
def test_a_day_stays_whatever_is_asked(url, days):
    """A call that was given up minutes ago may be answered yet."""
    write(url, (answered, "a"))

    assert run("ledger", "prune", "--url", url, "--days", days).returncode == 2


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_450_000, "3.5 MB"), (10**10, "10.0 GB")],
)
def test_sizes(count, said):
    assert size(count) == said
