"""Three workers share one job over a PostgreSQL; one dies, and the others do its shards."""

from __future__ import annotations

import asyncio
import csv
import os
import re
import signal
from collections import Counter
from dataclasses import replace

import pytest
from databases import cut_all, new_database, read
from worker_lab import PATIENCE, end, kill

from prefect_responses.clock import SystemClock
from prefect_responses.ledger import upgrade

pytestmark = pytest.mark.timeout(300)

ROWS, SHARD_ROWS, MAX_IN_FLIGHT = 300, 15, 30
WORKERS = ("first", "second", "third")
#: Seconds: long enough for a busy machine, short enough to wait for.
LEASE = {
    "PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS": "6",
    "PREFECT_INTEGRATIONS_RESPONSES_SUBMIT_TIMEOUT_SECONDS": "2.5",
}
DONE = "SELECT count(*) FROM shards WHERE done_at IS NOT NULL"
#: Who did, or does, which shard, by process; the last shard is the writing of the results.
HELD = (
    "SELECT number, pid, fence, done_at IS NOT NULL FROM shards JOIN owners ON owner_id = id "
    "WHERE shards.rows > 0"
)


@pytest.fixture
def shared(lab):
    """Give the lab with a ledger on PostgreSQL; each response takes some seconds."""
    lab.control.set_latency("uniform:2,4")
    with new_database(os.environ["PREFECT_RESPONSES_TEST_POSTGRES_URL"]) as url:
        asyncio.run(upgrade(url, SystemClock()))
        yield replace(lab, database=url)
        lab.stop_all()


def test_a_worker_dies_and_the_others_do_its_shards(shared):
    table, output = write_table(shared.folder), shared.folder / "results.csv"
    runs = {name: order(shared, name, table, output) for name in WORKERS}
    workers = {name: start_worker(shared, name) for name in WORKERS}
    pids = {name: shared.pid_of(run) for name, run in runs.items()}

    # All are at work when their database drops all its connections; then the first dies in the
    # middle of a shard.
    shared.wait_for(lambda: {pid for _, pid, _, _ in held(shared)} >= set(pids.values()))
    assert cut_all(shared.ledger_url) > 0
    shared.wait_for(lambda: read(shared.ledger_url, DONE) >= [(3,)] and left_by(shared, pids))
    end(workers["first"], signal.SIGKILL)
    kill(pids["first"])
    left = left_by(shared, pids)
    for name in ("second", "third"):
        shared.wait_for_state(runs[name], "Completed", "Failed", "Crashed")

    assert [shared.state(runs[name]) for name in WORKERS] == ["Running", "Completed", "Completed"]
    after = {number: (pid, fence) for number, pid, fence, is_done in held(shared) if is_done}
    assert sorted(after) == [*range(ROWS // SHARD_ROWS)]
    assert left
    for number, fence in left.items():
        pid, later = after[number]
        assert pid in {pids["second"], pids["third"]}
        assert later > fence
    assert {pid for pid, _ in after.values()} >= {pids["second"], pids["third"]}
    assert_paid_once(shared)
    assert_whole(output)

    # The run of the dead worker comes back when there is nothing left to do.
    posts = shared.posted().total()
    assert shared.execute(runs["first"], **LEASE).wait(PATIENCE) == 0
    assert shared.state(runs["first"]) == "Completed"
    assert shared.posted().total() == posts
    assert_whole(output)


def write_table(folder):
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text"))
        writer.writerows((f"r{number}", f"Text number {number}.") for number in range(ROWS))
    return path


def order(lab, worker, table, output):
    """Order a run from the queue of one worker."""
    parameters = {"shard_rows": SHARD_ROWS, "max_in_flight": MAX_IN_FLIGHT}
    return lab.order(
        "one_table", queue=worker, env=LEASE, table=str(table), output=str(output), **parameters
    )


def start_worker(lab, name):
    """Start a worker that shares nothing but the network: it has a home of its own."""
    home = lab.folder / name
    home.mkdir()
    return lab.start_worker(name, HOME=str(home), PREFECT_HOME=str(home / "prefect"))


def held(lab):
    return read(lab.ledger_url, HELD)


def left_by(lab, pids):
    """Return the shards that the first worker's flow has in hand, and their fences."""
    return {
        number: fence
        for number, pid, fence, is_done in held(lab)
        if pid == pids["first"] and not is_done
    }


def assert_paid_once(lab):
    """Each row has one accepted POST; what has two was in doubt, and the ledger names it."""
    entries = lab.control.journal(method="POST")
    asked = [entry["body"] for entry in entries if entry["accepted"]]
    accepted = Counter(re.search(r"Text number (\d+)\.", str(body)).group(1) for body in asked)
    doubts = read(lab.ledger_url, "SELECT name FROM attempts WHERE outcome = 'abandoned'")
    doubted = {re.search(r"r(\d+)", name).group(1) for (name,) in doubts}

    assert accepted.keys() == {str(number) for number in range(ROWS)}
    assert {row for row, times in accepted.items() if times > 1} <= doubted
    assert max(accepted.values()) <= 2
    assert lab.cancels() == 0


def assert_whole(output):
    with output.open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {f"r{number}" for number in range(ROWS)}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["r7"]["summary"] == "Text number 7."
