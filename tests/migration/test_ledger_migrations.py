"""Migrations come to the same tables that the code uses, on every database."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    MetaData,
    create_engine,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

import prefect_responses.ledger
from prefect_responses.attempt import Attempt
from prefect_responses.clock import SystemClock
from prefect_responses.errors import LedgerUnavailable
from prefect_responses.ledger import (
    BeginFollowing,
    Ledger,
    RecordProgress,
    Settle,
    WantCancel,
    statements,
    upgrade,
)
from prefect_responses.ledger.tables import REVISIONS, VERSION_TABLE, metadata
from prefect_responses.statuses import CancelReason, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncEngine

MIGRATIONS = Path(prefect_responses.ledger.__file__).parent / "migrations"
POSTGRES = os.environ.get("PREFECT_RESPONSES_TEST_POSTGRES_URL", "")


@pytest.fixture
async def urls(request, tmp_path):
    """Two databases without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db"
        return
    names = [f"ledger_{uuid4().hex}" for _ in range(2)]
    await on_server(*(f"CREATE DATABASE {name}" for name in names))
    server = make_url(POSTGRES)
    yield tuple(server.set(database=n).render_as_string(hide_password=False) for n in names)
    await on_server(*(f"DROP DATABASE {name} WITH (FORCE)" for name in names))


@pytest.fixture
async def databases(urls):
    """Two engines: one database that was migrated, one that was made from the tables."""
    await upgrade(urls[0], SystemClock())
    engines = [create_async_engine(driven(url)) for url in urls]
    async with engines[1].begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield engines
    for engine in engines:
        await engine.dispose()


@pytest.fixture
async def before(urls):
    """A ledger that was made at 0001."""
    engine, known = create_async_engine(driven(urls[0])), MetaData()
    async with engine.begin() as connection:
        await connection.run_sync(migrate, "0001")
        await connection.run_sync(known.reflect)
        await connection.execute(statements.found_ledger("uuid-1", created_at=1.0))
    yield Old(urls[0], engine, known.tables)
    await engine.dispose()


@dataclass
class Old:
    """A ledger as code that knows 0001 alone sees it."""

    url: str
    engine: AsyncEngine
    tables: Mapping[str, Table]

    async def add(self, *rows):
        async with self.engine.begin() as connection:
            await connection.execute(insert(self.tables["attempts"]), list(rows))

    async def change(self, attempt_id, **values):
        table = self.tables["attempts"]
        async with self.engine.begin() as connection:
            await connection.execute(update(table).where(table.c.id == attempt_id).values(values))

    async def read(self):
        table = self.tables["attempts"]
        async with self.engine.connect() as connection:
            rows = await connection.execute(select(table).order_by(table.c.id))
            return [dict(row) for row in rows.mappings()]


def migrate(connection, revision):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def row_of_0001(id_, **facts):
    """All columns of 0001, given one by one."""
    usual = {
        "id": id_,
        "scope": "s",
        "name": f"name-{id_}",
        "ordinal": 0,
        "number": 1,
        "digest": "sha256:1",
        "base_url": "https://api.example.com/v1",
        "organization": "org",
        "project": "proj",
        "credentials": "environment",
        "state": "planned",
        "planned_at": 1.0,
        "outcome": None,
        "response_id": None,
        "remote_status": None,
        "client_request_id": None,
        "server_request_id": None,
        "owner_id": "owner",
        "fence": 0,
        "run": "[1,2]",
        "flow_run_id": "flow-run",
        "task_run_id": None,
        "resubmissions": 0,
        "not_before": None,
        "deadline_at": None,
        "expires_at": None,
        "submitting_at": 2.0,
        "submitted_at": None,
        "settled_at": None,
        "delivered_at": None,
        "rejected": None,
        "polls": 0,
        "usage": None,
        "error": '{"error":"Why"}',
    }
    return usual | facts


ROWS = (
    row_of_0001("a"),
    row_of_0001("b", state="submitting"),
    row_of_0001("c", state="submitted", response_id="resp_c", expires_at=9.0),
    row_of_0001("d", state="in_doubt"),
    row_of_0001("e", state="settled", outcome="completed", response_id="resp_e", usage="{}"),
    row_of_0001("f", state="settled", outcome="surplus", response_id="resp_f"),
)


def driven(url):
    parsed = make_url(url)
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    return parsed.set(drivername=drivers[parsed.get_backend_name()])


async def on_server(*statements):
    engine = create_async_engine(driven(POSTGRES), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


everywhere = pytest.mark.parametrize(
    "urls",
    [
        "sqlite",
        "postgresql",
    ],
    indirect=True,
)


@everywhere
async def test_the_migrations_make_exactly_the_tables(databases):
    async with databases[0].connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"version_table": VERSION_TABLE}), metadata
            )
        )

    assert differences == []


@everywhere
async def test_and_exactly_their_constraints(databases):
    """What the comparison of metadata does not see: checks and the conditions of indexes."""
    migrated, made = [await described(engine) for engine in databases]

    assert migrated == made
    assert len(migrated["attempts"]["checks"]) == 11


async def described(engine):
    async with engine.connect() as connection:
        return await connection.run_sync(constraints)


def constraints(connection):
    inspector = inspect(connection)
    return {
        table.name: {
            "checks": {
                check["name"]: re.sub(r"\s+", " ", check["sqltext"])
                for check in inspector.get_check_constraints(table.name)
            },
            "indexes": {
                index["name"]: (
                    index["column_names"],
                    {k: str(v) for k, v in index.get("dialect_options", {}).items()},
                )
                for index in inspector.get_indexes(table.name)
            },
            "unique": [
                (unique["name"], unique["column_names"])
                for unique in inspector.get_unique_constraints(table.name)
            ],
        }
        for table in metadata.sorted_tables
    }


def test_the_code_knows_all_revisions_in_their_order():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)

    revisions = [script.revision for script in scripts.walk_revisions()]

    assert tuple(reversed(revisions)) == REVISIONS


def test_migrations_are_named_by_number_by_when_and_by_what():
    names = [path.name for path in sorted((MIGRATIONS / "versions").glob("*.py"))]

    assert all(re.fullmatch(r"\d{4}_(pre|post)_[a-z_]+\.py", name) for name in names)
    assert [name[:4] for name in names] == list(REVISIONS)


async def test_a_ledger_that_is_there_is_left_as_it_is(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    uuid = await upgrade(url, SystemClock())
    engine = create_engine(url)
    with engine.connect() as connection:
        before = connection.execute(text("SELECT * FROM sqlite_master")).all()

    assert await upgrade(url, SystemClock()) == uuid

    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM sqlite_master")).all() == before
    engine.dispose()


#: What later migrations added to an attempt.
NEW = {field.name: None for field in fields(Attempt)[-14:]}


@everywhere
async def test_a_ledger_at_0001_is_upgraded_and_keeps_its_rows(before):
    await before.add(*ROWS)
    if "postgresql" in before.url:
        with pytest.raises(LedgerUnavailable, match="ledger upgrade"):
            await Ledger.open(before.url, clock=SystemClock())

    assert await upgrade(before.url, SystemClock()) == "uuid-1"

    assert await before.read() == list(ROWS)
    ledger = await Ledger.open(before.url, clock=SystemClock())
    attempts = {attempt.id: attempt async for attempt in ledger.attempts()}
    assert sorted(attempts) == [row["id"] for row in ROWS]
    for attempt in attempts.values():
        assert {name: getattr(attempt, name) for name in NEW} == NEW
        assert (attempt.run, attempt.error) == ((1, 2), {"error": "Why"})
    assert [attempt.id async for attempt in ledger.due()] == ["c"]
    assert await ledger.owed_cancels() == []
    await ledger.aclose()


@pytest.mark.parametrize("urls", ["sqlite"], indirect=True)
async def test_a_file_is_upgraded_when_it_is_opened(before):
    await before.add(*ROWS)

    ledger = await Ledger.open(before.url, clock=SystemClock())

    assert ledger.uuid == "uuid-1"
    assert (await ledger.attempt("c")).response_id == "resp_c"
    await ledger.aclose()


@everywhere
async def test_code_that_knows_0001_alone_goes_on_working_beside(before):
    await before.add(*ROWS)
    await upgrade(before.url, SystemClock())
    ledger = await Ledger.open(before.url, clock=SystemClock())
    await ledger.do_all(
        [
            WantCancel("b", CancelReason.ASKED, at=5.0),
            BeginFollowing("c", at=5.0),
            RecordProgress("c", 1, b"text", at=5.0),
        ]
    )

    await before.change("d", state="submitting")
    await ledger.do(WantCancel("d", CancelReason.ASKED, at=5.0))
    await before.change("d", state="planned", owner_id=None, submitting_at=None)
    await before.add(row_of_0001("g"))
    await before.change("b", state="submitted", response_id="resp_b", submitted_at=6.0)
    await before.change("c", state="settled", outcome="completed", settled_at=6.0)
    old = {row["id"]: row for row in await before.read()}

    assert set(old["g"]) == set(row_of_0001("g"))
    assert (old["b"]["state"], old["c"]["outcome"]) == ("submitted", "completed")
    planned, owing = [await ledger.attempt(id_) for id_ in ("g", "b")]
    assert {name: getattr(planned, name) for name in NEW} == NEW
    assert await ledger.owed_cancels() == [owing]
    # What old code gave back though its cancel was wanted is given up when it is wanted again.
    given_up = (await ledger.do(WantCancel("d", CancelReason.DEADLINE, at=7.0))).attempt
    assert (given_up.outcome, given_up.cancel_reason) == (Outcome.ABANDONED, CancelReason.ASKED)
    # An answer that old code stored leaves the progress behind, and nobody is hurt.
    settled = await ledger.do(Settle("c", Outcome.COMPLETED, at=7.0))
    assert not settled.moved
    assert (await ledger.progress("c")).cursor == 1
    await ledger.aclose()


@everywhere
async def test_an_attempt_takes_its_progress_with_it(before):
    await before.add(*ROWS)
    await upgrade(before.url, SystemClock())
    ledger = await Ledger.open(before.url, clock=SystemClock())
    await ledger.do(BeginFollowing("c", at=5.0))

    async with ledger._writes.begin() as connection:
        await connection.execute(text("DELETE FROM attempts"))

    assert await ledger.progress("c") is None
    await ledger.aclose()
