"""Whose answers a run writes, and what it says of them, when other runs of the job came between."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing

import pytest
from row_jobs import Facts, Process, ask, read, rows_of, table, wait_until

from prefect_responses import CsvSink, Prompt
from prefect_responses.attempt import Endpoint
from prefect_responses.clock import SystemClock
from prefect_responses.enrichment.job import EnrichJob
from prefect_responses.enrichment.output_types import OutputType
from prefect_responses.enrichment.readings import read_rows
from prefect_responses.enrichment.sources import CsvSource
from prefect_responses.errors import RequestInvalid
from prefect_responses.job_errors import JobTakenOver, TableChanged
from prefect_responses.ledger import Ledger


def on_ledger(world, statement):
    with closing(sqlite3.connect(world.ledger_file)) as ledger, ledger:
        return ledger.execute(statement).fetchall()


class Interrupted(CsvSink):
    """A table of results; something happens while it is written, for the first time only."""

    def __init__(self, path, happens):
        super().__init__(path)
        self._happens = happens

    def write(self, result):
        happens, self._happens = self._happens, lambda: None
        happens()
        super().write(result)


# --- whose answers --------------------------------------------------------------------------------


def test_a_run_never_writes_what_a_later_pass_with_another_prompt_was_told(world, tmp_path):
    source, sink = table(tmp_path, rows_of(3)), tmp_path / "out.csv"
    world.control.add_fault(
        "fail", code="server_error", times=1, match={"body_contains": "Text number 1."}
    )
    ask(source, sink, version="A")
    asked = {key: row["response_id"] for key, row in read(sink).items()}
    ask(source, version="B")
    job = EnrichJob(
        name="facts",
        source=CsvSource(source),
        key="id",
        prompt=Prompt("Summarise.\n---\n{text}", version="A"),
        output_type=OutputType(Facts),
        model="extract",
    )
    requests = job.requests(Endpoint(world.emulator.url))
    digests = {row.key: requests.digest(job.prompt.render(row)) for row in job.rows()}

    async def read_as_the_first_pass():
        ledger = await Ledger.open(world.ledger_url, clock=SystemClock())
        try:
            first = await ledger.jobs.read_pass("facts", 1)
            return await read_rows(job, ledger, digests, first.run)
        finally:
            await ledger.aclose()

    results = asyncio.run(read_as_the_first_pass())
    assert {result.key: result.response_id for result in results} == asked
    assert [result.outcome for result in results] == ["ok", "failed", "ok"]


def test_results_are_not_written_over_those_of_the_pass_that_took_over(world, tmp_path):
    source, sink = table(tmp_path, rows_of(2)), tmp_path / "out.csv"
    sink.write_text("newer")
    closing_it = "UPDATE passes SET closed_as = 'superseded', closed_at = 1"

    with pytest.raises(JobTakenOver):
        ask(source, Interrupted(sink, lambda: on_ledger(world, closing_it)))

    assert sink.read_text() == "newer"


def test_a_pass_that_is_taken_over_while_the_results_are_made_seen(world, tmp_path):
    class TakenOver(CsvSink):
        def commit(self):
            super().commit()
            on_ledger(world, "UPDATE passes SET closed_as = 'superseded', closed_at = 1")

    with pytest.raises(JobTakenOver):
        ask(table(tmp_path, rows_of(2)), TakenOver(tmp_path / "out.csv"))


def test_who_lost_the_last_shard_writes_nothing_and_takes_it_again_if_it_is_free(world, tmp_path):
    source, sink = table(tmp_path, rows_of(2)), tmp_path / "out.csv"
    lost = "UPDATE shards SET fence = fence + 1, owner_id = NULL WHERE rows = 0"
    seen = []

    class Seen(Interrupted):
        def commit(self):
            seen.append("commit")
            super().commit()

        def abort(self):
            seen.append("abort")
            super().abort()

    report = ask(source, Seen(sink, lambda: on_ledger(world, lost)))

    assert seen == ["abort", "abort", "commit"]  # the first one is the check of the sink
    assert (report.outcomes, world.posts()) == ({"ok": 2}, 2)
    assert on_ledger(world, "SELECT closed_as FROM passes") == [("done",)]


# --- tables that change ---------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [rows_of(4), rows_of(3, r1="Another text.")])
def test_a_table_that_changes_meanwhile_is_not_written(world, tmp_path, rows):
    source, sink = table(tmp_path, rows_of(3)), tmp_path / "out.csv"

    class Changing(CsvSink):
        def open(self, columns):
            if world.posts():  # the rows were answered
                table(tmp_path, rows)
            super().open(columns)

    with pytest.raises(TableChanged):
        ask(source, Changing(sink))

    assert not sink.exists()
    assert ask(source, sink).outcomes == {"ok": len(rows)}
    assert world.posts() == 4


# --- what is said ---------------------------------------------------------------------------------


def test_why_rows_changed_is_said_against_the_pass_that_asked_them(world, tmp_path):
    source = table(tmp_path, rows_of(2))
    ask(source, version="A")
    ask(source, version="B", on_change="adopt")
    assert ask(source, version="B", dry_run=True).plan.changed_because == ("the prompt's version",)

    killed = Process(world, tmp_path, crash="after_taking_shard:kill", source=source, version="B")
    killed.wait()

    assert ask(source, version="B").plan.changed_because == ("the prompt's version",)


def test_rows_that_a_dead_process_answered_are_counted(world, tmp_path):
    how = {"source": table(tmp_path, rows_of(4)), "shard_rows": 2, "max_in_flight": 2}
    paused = Process(world, tmp_path, crash="after_opening_pass:stop", **how)
    wait_until(lambda: on_ledger(world, "SELECT number FROM passes"))
    dead = Process(world, tmp_path, crash="before_finishing_shard:kill", **how)
    assert dead.wait() == -signal.SIGKILL
    wait_until(paused.go_on)

    report = paused.report()

    assert (report.reused, report.adopted) == (0, 0)
    assert report.by_others >= 2
    assert report.submitted + report.by_others == 4


@pytest.mark.parametrize("name", ["a\0b", "half \ud83d"])
def test_a_job_name_that_no_ledger_keeps_is_refused(world, tmp_path, name):
    with pytest.raises(RequestInvalid, match="name"):
        ask(table(tmp_path, rows_of(1)), job=name)
    assert world.posts() == 0
