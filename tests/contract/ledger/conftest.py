"""One suite for every kind of ledger.

SQLite files, and databases on the PostgreSQL of PREFECT_RESPONSES_TEST_POSTGRES_URL, which the
session starts if it names none.
"""

from __future__ import annotations

import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from prefect_responses.attempt import Attempt, Draft, Endpoint
from prefect_responses.clock import SystemClock
from prefect_responses.ledger import (
    Claim,
    Ledger,
    MarkInDoubt,
    Plan,
    RecordAccepted,
    ResolveDoubt,
    Settle,
    upgrade,
)
from prefect_responses.statuses import AttemptState, Outcome, ResponseStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import URL

TEMPLATES: dict[str, Any] = {}


@pytest.fixture(
    params=[
        "sqlite",
        "postgresql",
    ]
)
async def url(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The URL of a new ledger, copied from a migrated one: quicker than migrating for each test."""
    if request.param == "sqlite":
        if "sqlite" not in TEMPLATES:
            TEMPLATES["sqlite"] = await new_file(tmp_path_factory.mktemp("template"))
        shutil.copy(TEMPLATES["sqlite"], tmp_path / "ledger.db")
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    if "postgresql" not in TEMPLATES:
        TEMPLATES["postgresql"] = await new_database()
    async with database_like(TEMPLATES["postgresql"]) as database:
        yield database


async def new_file(folder: Path) -> Path:
    await upgrade(f"sqlite:///{folder}/ledger.db", clock=SystemClock())
    return folder / "ledger.db"


async def new_database() -> str:
    name = f"template_{uuid4().hex}"
    await on_server(f"CREATE DATABASE {name}")
    await upgrade(url_of(name), clock=SystemClock())
    return name


@asynccontextmanager
async def database_like(template: str) -> AsyncIterator[str]:
    name = f"ledger_{uuid4().hex}"
    await on_server(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield url_of(name)
    await on_server(f"DROP DATABASE {name} WITH (FORCE)")


def url_of(database: str) -> str:
    return postgres().set(database=database).render_as_string(hide_password=False)


def postgres() -> URL:
    # The session starts it after this file is imported, if this folder is named.
    return make_url(os.environ["PREFECT_RESPONSES_TEST_POSTGRES_URL"])


async def on_server(statement: str) -> None:
    server = postgres().set(drivername="postgresql+asyncpg")
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    """A ledger that this process has open."""
    ledger = await Ledger.open(url, clock=SystemClock())
    yield ledger
    await ledger.aclose()


@pytest.fixture
async def other(url: str, ledger: Ledger) -> AsyncIterator[Ledger]:
    """The same ledger as another owner has it open."""
    other = await Ledger.open(url, clock=SystemClock())
    assert other.uuid == ledger.uuid
    yield other
    await other.aclose()


@pytest.fixture
def draft() -> Any:
    """Make drafts that differ where a test says so."""

    def make(name: str = "n", **facts: Any) -> Draft:
        usual = {
            "scope": "s",
            "digest": "sha256:1",
            "endpoint": Endpoint("https://api.example.com/v1", "org", "proj"),
            "credentials": "environment",
            "request": b'{"input":"hello"}',
        }
        return Draft(name=name, **(usual | facts))

    return make


class Stage:
    """Brings attempts to where a test begins."""

    def __init__(self, ledger: Ledger, draft: Any) -> None:
        self.ledger = ledger
        self.draft = draft
        self._counted = 0

    async def planned(self, name: str = "n", **facts: Any) -> Attempt:
        verdict = await self.ledger.do(Plan(self.draft(name, **facts), at=1.0))
        assert verdict.moved
        return verdict.attempt

    async def claimed(self, attempt: Attempt | str = "n") -> Attempt:
        if isinstance(attempt, str):
            attempt = await self.planned(attempt)
        verdict = await self.ledger.do(Claim(attempt.id, f"request-{attempt.id}", at=2.0))
        assert verdict.moved
        return verdict.attempt

    async def accepted(
        self, attempt: Attempt | str = "n", response_id: str | None = None
    ) -> Attempt:
        if isinstance(attempt, str) or attempt.state is AttemptState.PLANNED:
            attempt = await self.claimed(attempt)
        verdict = await self.ledger.do(self.acceptance(attempt, response_id))
        assert verdict.moved
        return verdict.attempt

    def acceptance(self, attempt: Attempt, response_id: str | None = None) -> RecordAccepted:
        if response_id is None:
            self._counted += 1
            response_id = f"resp_{self._counted}"
        return RecordAccepted(
            attempt.id, response_id, ResponseStatus.QUEUED, "req_1", expires_at=600.0, at=3.0
        )

    async def doubted(self, attempt: Attempt | str = "n") -> Attempt:
        if isinstance(attempt, str) or attempt.state is AttemptState.PLANNED:
            attempt = await self.claimed(attempt)
        assert attempt.owner_id is not None
        doubt = MarkInDoubt(attempt.id, attempt.owner_id, attempt.fence, {"why": "lost"}, at=3.0)
        verdict = await self.ledger.do(doubt)
        assert verdict.moved
        return verdict.attempt

    async def abandoned(self, attempt: Attempt | str = "n") -> Attempt:
        attempt = await self.doubted(attempt)
        return (await self.ledger.do(ResolveDoubt(attempt.id, None, at=4.0))).attempt

    async def settled(
        self, outcome: Outcome = Outcome.COMPLETED, attempt: Attempt | str = "n", **facts: Any
    ) -> Attempt:
        if outcome is Outcome.ABANDONED:
            return await self.abandoned(attempt)
        if outcome is Outcome.REFUSED:
            attempt = await self.claimed(attempt)
        elif isinstance(attempt, str) or attempt.state is not AttemptState.SUBMITTED:
            attempt = await self.accepted(attempt)
        verdict = await self.ledger.do(Settle(attempt.id, outcome, at=5.0, **facts))
        assert verdict.moved
        return verdict.attempt


@pytest.fixture
def stage(ledger: Ledger, draft: Any) -> Stage:
    return Stage(ledger, draft)
