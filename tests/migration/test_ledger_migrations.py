"""Migrations come to the same tables that the code uses, on every database."""

from __future__ import annotations

import os
import re
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

import prefect_responses.ledger
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import upgrade
from prefect_responses.ledger.tables import REVISIONS, VERSION_TABLE, metadata

MIGRATIONS = Path(prefect_responses.ledger.__file__).parent / "migrations"
POSTGRES = os.environ.get("PREFECT_RESPONSES_TEST_POSTGRES_URL", "")


@pytest.fixture
async def databases(request, tmp_path):
    """Two engines: one database that was migrated, one that was made from the tables."""
    migrated, made = f"sqlite:///{tmp_path}/migrated.db", f"sqlite:///{tmp_path}/made.db"
    if request.param == "postgresql":
        server = make_url(POSTGRES)
        migrated, made = [
            server.set(database=f"ledger_{uuid4().hex}").render_as_string(hide_password=False)
            for _ in range(2)
        ]
        await on_server(*(f"CREATE DATABASE {make_url(url).database}" for url in (migrated, made)))
    await upgrade(migrated, SystemClock())
    engines = [create_async_engine(driven(url)) for url in (migrated, made)]
    async with engines[1].begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield engines
    for engine in engines:
        await engine.dispose()
    if request.param == "postgresql":
        await on_server(*(f"DROP DATABASE {make_url(url).database}" for url in (migrated, made)))


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
    "databases",
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
    assert len(migrated["attempts"]["checks"]) == 8


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
