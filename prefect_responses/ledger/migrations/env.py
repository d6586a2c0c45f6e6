# ruff: noqa: INP001 - Alembic runs this file, nobody imports it
"""Run migrations on the connection that the ledger hands over, within its transaction."""

from __future__ import annotations

from alembic import context

from prefect_responses.ledger.tables import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
)
context.run_migrations()
