"""Opening a ledger: the right file, the right version, and clear words where it is not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event, text

from prefect_responses.clock import SystemClock
from prefect_responses.errors import (
    LedgerLocked,
    LedgerNewer,
    LedgerNotDurable,
    LedgerUnavailable,
)
from prefect_responses.ledger import Ledger, Plan, durability, opening, upgrade
from prefect_responses.ledger.tables import READER


async def opened(url, **options):
    return await Ledger.open(url, clock=SystemClock(), **options)


async def execute(ledger, statement):
    async with ledger._writes.begin() as connection:
        await connection.execute(text(statement))


async def test_a_ledger_keeps_its_uuid(url, ledger):
    again = await opened(url)

    assert again.uuid == ledger.uuid
    await again.aclose()
    assert await upgrade(url, SystemClock()) == ledger.uuid


async def test_a_newer_ledger_that_old_code_can_live_with_is_used(url, ledger):
    await execute(ledger, "UPDATE ledger_revision SET version_num = '9999'")

    again = await opened(url)

    assert again.uuid == ledger.uuid
    await again.aclose()


async def test_a_newer_ledger_that_it_cannot_live_with_is_refused(url, ledger):
    await execute(ledger, "UPDATE ledger SET min_reader = min_reader + 1")

    with pytest.raises(LedgerNewer, match=f"asks for reader {READER + 1}"):
        await opened(url)


async def test_a_url_of_nothing_that_a_ledger_can_be_on():
    for url, words in {
        "": "cannot be read",
        "mysql://localhost/db": "not on mysql",
        "sqlite://": "in memory",
        "sqlite:///:memory:": "in memory",
    }.items():
        with pytest.raises(LedgerUnavailable, match=words):
            await opened(url)


async def test_a_postgresql_server_that_is_not_there():
    with pytest.raises(LedgerUnavailable, match="cannot be reached"):
        await opened("postgresql://localhost:1/ledger")


async def test_a_database_without_tables_is_not_migrated_unasked(url, ledger):
    if url.startswith("sqlite"):
        pytest.skip("SQLite files are")
    await execute(ledger, "DROP TABLE ledger_revision")

    with pytest.raises(LedgerUnavailable, match="ledger upgrade"):
        await opened(url)


async def test_a_database_that_does_not_exist(url):
    if url.startswith("sqlite"):
        pytest.skip("SQLite files are made")

    with pytest.raises(LedgerUnavailable, match="does not serve"):
        await opened(url.replace("/ledger_", "/no_ledger_"))


# --- files ----------------------------------------------------------------------------------------


async def test_a_file_is_made(tmp_path):
    ledger = await opened(f"sqlite:///{tmp_path}/ledger.db")

    async with ledger._writes.connect() as connection:
        pragmas = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]
    await ledger.aclose()


OPEN = """
import asyncio, sys
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import Ledger

async def main():
    ledger = await Ledger.open(sys.argv[1], clock=SystemClock())
    print(ledger.uuid)
    await ledger.aclose()

input()
asyncio.run(main())
"""


def test_many_processes_may_open_a_new_file_at_once(tmp_path):
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/ledger.db"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(8)]

    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    uuids = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 8
    assert len(set(uuids)) == 1


async def test_making_it_twice_at_once_makes_it_once(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"

    uuids = await asyncio.gather(*(upgrade(url, SystemClock()) for _ in range(5)))

    assert len(set(uuids)) == 1


async def test_ledgers_of_their_own_are_made_at_once_by_tasks_and_threads(tmp_path):
    """As when two flows of one process open theirs; what migrates has globals."""
    urls = [f"sqlite:///{tmp_path}/{i}.db" for i in range(4)]
    tasks = (upgrade(url, SystemClock()) for url in urls[:2])
    threads = (asyncio.to_thread(asyncio.run, upgrade(url, SystemClock())) for url in urls[2:])

    assert len(set(await asyncio.gather(*tasks, *threads))) == 4


async def test_a_file_that_another_process_is_making_for_too_long(tmp_path):
    folder = tmp_path / "ledger.db.owners"
    async with opening._alone(folder, 1.0):
        with pytest.raises(LedgerLocked):
            await opened(f"sqlite:///{tmp_path}/ledger.db", patience=0.05)


async def test_an_old_ledger_is_migrated_and_stays_itself(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/ledger.db"
    uuid = await upgrade(url, SystemClock())
    # As if the next version had one migration more than there is.
    monkeypatch.setattr(opening, "REVISIONS", (*opening.REVISIONS, "9999"))

    ledger = await opened(url)

    assert ledger.uuid == uuid
    await ledger.aclose()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"garbage " * 1000, "not a SQLite database", id="garbage"),
        pytest.param(None, "something else than a ledger", id="another application's"),
    ],
)
async def test_a_file_that_is_no_ledger_is_left_alone(tmp_path, content, words):
    path = tmp_path / "ledger.db"
    if content is None:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (id INTEGER)")
        connection.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()

    with pytest.raises(LedgerUnavailable, match=words):
        await opened(f"sqlite:///{path}")

    if content is not None:
        assert path.read_bytes() == before


async def test_a_damaged_ledger(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    await upgrade(url, SystemClock())
    whole = (tmp_path / "ledger.db").read_bytes()
    (tmp_path / "ledger.db").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))

    with pytest.raises(LedgerUnavailable, match="damaged"):
        await opened(url)


async def test_no_folder_is_made_since_its_name_may_be_mistyped(tmp_path):
    with pytest.raises(LedgerUnavailable, match="correct the URL, or make the folder"):
        await opened(f"sqlite:///{tmp_path}/mistyped/ledger.db")

    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(LedgerUnavailable, match="is not there"):
        await opened(f"sqlite:///{tmp_path}/file/ledger.db")


ATTEMPT = """
import asyncio, os, sys
from prefect_responses.clock import SystemClock
from prefect_responses.errors import LedgerUnavailable
from prefect_responses.ledger import Ledger
import aiosqlite, sqlalchemy.dialects.sqlite.aiosqlite, alembic.command

os.chdir("/")
if os.geteuid() == 0:
    os.setuid(65534)
try:
    asyncio.run(Ledger.open(sys.argv[1], clock=SystemClock()))
except LedgerUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_is_read_only(exists):
    # In the open, for whoever the tests run as: pytest's own folders are private.
    folder = Path(os.path.realpath(subprocess.check_output(["mktemp", "-d"], text=True).strip()))
    try:
        if exists:
            asyncio.run(upgrade(f"sqlite:///{folder}/ledger.db", SystemClock()))
            (folder / "ledger.db").chmod(0o444)
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
        command = [sys.executable, "-c", ATTEMPT, f"sqlite:///{folder}/ledger.db"]

        said = subprocess.check_output(command, text=True)

        assert "ledger" in said
        assert "opened" in said or "read-only" in said or "Permission denied" in said
    finally:
        folder.chmod(0o700)
        subprocess.check_call(["rm", "-r", str(folder)])


async def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:1 / / rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(durability, "_MOUNTS", mounts)

    with pytest.raises(LedgerNotDurable, match="is on nfs4, where"):
        await opened(f"sqlite:///{tmp_path}/ledger.db")

    assert not (tmp_path / "ledger.db").exists()


# --- while it is open -----------------------------------------------------------------------------


async def test_a_lock_that_another_process_holds_too_long(tmp_path, draft):
    ledger = await opened(f"sqlite:///{tmp_path}/ledger.db", patience=0.05)
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    callers = [ledger._writer.ask(Plan(draft(f"n{i}"), at=1.0)) for i in range(2)]
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert [type(answer) for answer in answers] == [LedgerLocked, LedgerLocked]
    holder.execute("ROLLBACK")
    holder.close()
    assert (await ledger.do(Plan(draft(), at=2.0))).moved
    await ledger.aclose()


async def test_a_lock_that_is_given_back_in_time_is_waited_for(tmp_path, draft):
    ledger = await opened(f"sqlite:///{tmp_path}/ledger.db")
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    caller = asyncio.create_task(ledger.do(Plan(draft(), at=1.0)))
    await asyncio.sleep(0.02)

    assert not caller.done()
    holder.execute("ROLLBACK")
    holder.close()

    assert (await caller).moved
    await ledger.aclose()


async def test_a_full_disk_is_named(tmp_path, draft):
    ledger = await opened(f"sqlite:///{tmp_path}/ledger.db")
    await ledger._writes.dispose()
    event.listen(
        ledger._writes.sync_engine,
        "connect",
        lambda connection, _: connection.cursor().execute("PRAGMA max_page_count=1"),
    )

    with pytest.raises(LedgerUnavailable, match="disk of the ledger is full"):
        await ledger.do(Plan(draft(request=b"x" * 100_000), at=1.0))

    assert not [attempt async for attempt in ledger.attempts()]
    await ledger.aclose()


async def test_opening_that_fails_half_way_leaves_no_owner(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    await upgrade(url, SystemClock())
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(LedgerLocked):
        await opened(url, patience=0.05)

    assert list((tmp_path / "ledger.db.owners").glob("*-*.lock")) == []
    holder.close()
