# ruff: noqa: INP001 - found by Alembic through its number, never imported by name
"""Cancels that are owed, events that are followed, and how long responses took.

*pre*: run before the code that needs it. It only adds: code that knows 0001 alone works beside it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, their indexes, and the table of streams."""
    _add_columns()
    _index_attempts()
    _make_streams()


def _add_columns() -> None:
    _add(sa.Column("model", sa.Text))
    _add_one_of("streamed", "INTEGER", "0, 1")
    _add_one_of("cancel_reason", "TEXT", _REASONS)
    _add(sa.Column("cancel_wanted_at", sa.Double))
    _add_one_of("cancel_answer", "TEXT", "'taken', 'refused', 'gone'")
    for name in ("cancel_answered_at", "watch_until", "orphaned_at", "warned_at", "latency"):
        _add(sa.Column(name, sa.Double))


_REASONS = "'deadline', 'flow_run_cancelled', 'surplus', 'superseded', 'orphaned', 'asked'"


def _add(column: sa.Column[Any]) -> None:
    op.add_column("attempts", column)


def _add_one_of(name: str, kind: str, words: str) -> None:
    # In SQL: SQLite takes a constraint along with a new column only, and Alembic apart from it.
    check = f"CONSTRAINT attempts_{name}_known CHECK ({name} IN ({words}))"
    op.execute(f"ALTER TABLE attempts ADD COLUMN {name} {kind} {check}")


def _index_attempts() -> None:
    _create_partial_index(
        "attempts_owed",
        ["cancel_wanted_at", "id"],
        "cancel_wanted_at IS NOT NULL AND cancel_answer IS NULL AND response_id IS NOT NULL "
        "AND (state = 'submitted' OR outcome = 'surplus')",
    )
    _create_partial_index("attempts_due", ["expires_at", "id"], "state = 'submitted'")
    _create_partial_index(
        "attempts_watched",
        ["watch_until", "id"],
        "outcome = 'cancelled' AND watch_until IS NOT NULL",
    )
    _create_partial_index(
        "attempts_timed",
        ["base_url", "model", "settled_at"],
        "latency IS NOT NULL AND outcome IN ('completed', 'incomplete')",
    )


def _create_partial_index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "attempts", columns, sqlite_where=condition, postgresql_where=condition)


def _make_streams() -> None:
    op.create_table(
        "streams",
        sa.Column("attempt_id", sa.Text, nullable=False),
        sa.Column("cursor", sa.BigInteger),
        sa.Column("snapshot", sa.LargeBinary),
        sa.Column("recorded_at", sa.Double),
        sa.PrimaryKeyConstraint("attempt_id", name="streams_key"),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="streams_attempt_id_attempts", ondelete="CASCADE"
        ),
    )
