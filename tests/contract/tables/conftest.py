"""Databases of users: SQLite files, and tables of one test on the session's PostgreSQL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from prefect_responses.enrichment.sql.databases import Database

if TYPE_CHECKING:
    from pathlib import Path


class Store:
    """One database, and what a test asks of it by itself.

    Args:
        url: the database.

    Attributes:
        rows: the name of a table that only this test uses.
        results: another.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.rows, self.results = (f"{name}_{uuid4().hex[:12]}" for name in ("rows", "results"))

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def with_table(self, table: str) -> str:
        """Return the URL that names *table*."""
        return f"{self.url}{'&' if '?' in self.url else '?'}table={table}"

    def do(self, *statements: str) -> list[dict[str, Any]]:
        """Run statements in one transaction; return the rows of the last."""

        def run(connection) -> list[dict[str, Any]]:
            found = []
            for statement in statements:
                result = connection.execute(text(statement))
                found = [dict(row) for row in result.mappings()] if result.returns_rows else []
            connection.commit()
            return found

        with Database(self.url).connected() as session:
            return session.run(run)

    def all(self) -> list[dict[str, Any]]:
        """Return the rows of `results` by their first column."""
        return self.do(f"SELECT * FROM {self.results} ORDER BY 1")


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "postgresql":
        return Store(os.environ["PREFECT_RESPONSES_TEST_POSTGRES_URL"])
    (tmp_path / "t.db").touch()
    return Store(f"{request.param}:///{tmp_path}/t.db")
