"""Row jobs under Prefect: what a user sees of `enrich`, run after run."""

from __future__ import annotations

import csv
import re

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from pydantic import BaseModel

from prefect_responses import CsvSink, Prompt, aenrich, enrich
from prefect_responses.errors import QuotaExhausted, ResponsesError


class Facts(BaseModel):
    summary: str


def table(folder, rows):
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "unused"))
        writer.writerows(rows)
    return path


def read(path):
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def rows_of(count, **changed):
    return [(f"r{i}", changed.get(f"r{i}", f"Text number {i}."), "x") for i in range(count)]


@flow
def job(source, sink, version="1", **more):
    given = {"job": "facts", "key": "id", "output_type": Facts, "model": "extract", **more}
    prompt = Prompt("Summarise.\n---\n{text}", version=version)
    return enrich(rows=source, sink=sink, prompt=prompt, **given)


def test_a_second_run_pays_for_nothing_and_writes_the_same_table(world, tmp_path):
    source, sink = table(tmp_path, rows_of(30)), tmp_path / "out.csv"

    first = job(source, sink)
    once = sink.read_bytes()
    second = job(source, sink)

    assert (first.submitted, first.reused) == (30, 0)
    assert (second.submitted, second.reused) == (0, 30)
    assert second.outcomes == {"ok": 30}
    assert sink.read_bytes() == once
    assert read(sink)["r3"]["summary"] == "Text number 3."
    assert world.posts() == 30


def test_a_changed_row_is_submitted_and_an_unused_column_changes_nothing(world, tmp_path):
    sink = tmp_path / "out.csv"
    job(table(tmp_path, rows_of(5)), sink)

    changed = [(key, text, "other") for key, text, _ in rows_of(5, r2="Another text.")]
    report = job(table(tmp_path, changed), sink)

    assert (report.submitted, report.reused) == (1, 4)
    assert read(sink)["r2"]["summary"] == "Another text."
    assert world.posts() == 6


def test_a_new_prompt_version_asks_for_every_row_again(world, tmp_path):
    source, sink = table(tmp_path, rows_of(4)), tmp_path / "out.csv"
    job(source, sink)

    report = job(source, sink, version="2")

    assert (report.submitted, report.reused) == (4, 0)
    assert world.posts() == 8


def test_a_job_that_is_stopped_writes_what_is_finished_and_goes_on_later(world, tmp_path):
    source, sink = table(tmp_path, rows_of(12)), tmp_path / "out.csv"
    world.control.add_fault(
        "status",
        status=429,
        code="insufficient_quota",
        times=None,
        after=5,
        match={"method": "POST"},
    )

    with pytest.raises(QuotaExhausted):
        job(source, sink, max_in_flight=1)

    stopped = read(sink)
    assert sorted(row["status"] for row in stopped.values()) == ["ok"] * 5 + ["parked"] * 7

    world.control.clear_faults()
    report = job(source, sink)

    assert (report.submitted, report.reused) == (7, 5)
    assert {row["status"] for row in read(sink).values()} == {"ok"}


def test_dead_rows_are_named_and_asked_again_by_the_next_run(world, tmp_path):
    source, sink = table(tmp_path, rows_of(3)), tmp_path / "out.csv"
    world.control.add_fault("fail", code="server_error", match={"body_contains": "Text number 1."})

    first = job(source, sink)
    assert first.outcomes == {"ok": 2, "failed": 1}
    assert [row.key for row in first.examples] == ["r1"]

    second = job(source, sink)
    assert second.outcomes == {"ok": 3}
    assert (second.submitted, second.reused) == (1, 2)


def test_a_table_of_several_shards_is_written_whole(world, tmp_path):
    source, sink = table(tmp_path, rows_of(50)), tmp_path / "out.csv"

    report = job(source, sink, max_in_flight=20, shard_rows=8)

    assert report.submitted == 50
    assert list(read(sink)) == [f"r{i}" for i in range(50)]
    assert world.posts() == 50


@pytest.mark.usefixtures("world")
async def test_the_async_face_runs_in_an_async_flow(tmp_path):
    source, sink = table(tmp_path, rows_of(6)), tmp_path / "out.csv"

    @flow
    async def async_job():
        return await aenrich(
            job="facts",
            rows=source,
            key="id",
            prompt="{text}",
            output_type=Facts,
            model="extract",
            sink=CsvSink(sink),
        )

    report = await async_job()

    assert report.submitted == 6
    assert report.output == str(sink)


@pytest.mark.usefixtures("world")
def test_the_report_is_shown_in_the_ui(tmp_path):
    job(table(tmp_path, rows_of(2)), tmp_path / "out.csv")

    with get_client(sync_client=True) as client:
        found = client.read_artifacts()

    assert any(a.key == "enrich-facts" and "2 rows" in str(a.data) for a in found)


def test_a_job_that_takes_a_while_shows_how_far_it_is(world, tmp_path):
    world.control.set_latency("constant:1.8")
    name = f"slow-{tmp_path.name}"
    job(table(tmp_path, rows_of(3)), tmp_path / "out.csv", job=name)

    key = f"enrich-{re.sub('[^a-z0-9]+', '-', name)}"
    with get_client(sync_client=True) as client:
        found = {artifact.key: artifact for artifact in client.read_artifacts()}

    assert found[f"{key}-progress"].type == "progress"
    assert float(found[f"{key}-progress"].data) == 100.0
    assert "| rows ended | 3 of 3 |" in str(found[f"{key}-now"].data)


def test_a_row_in_doubt_under_fail_is_named_and_stops_nothing(world, tmp_path):
    source, sink = table(tmp_path, rows_of(4)), tmp_path / "out.csv"
    world.control.add_fault("accept_then_drop", match={"body_contains": "Text number 2."})

    report = job(source, sink, in_doubt="fail")

    assert report.in_doubt == ("r2",)
    assert read(sink)["r2"]["status"] == "in_doubt"
    assert report.outcomes == {"ok": 3, "in_doubt": 1}
    assert world.posts() == 4


def test_a_broken_ledger_stops_the_job_with_its_own_error(world, tmp_path):
    source = table(tmp_path, rows_of(2))
    world.ledger_file.write_bytes(b"not a database" * 100)

    with pytest.raises(ResponsesError, match="ledger"):
        job(source, tmp_path / "out.csv")

    assert world.posts() == 0
