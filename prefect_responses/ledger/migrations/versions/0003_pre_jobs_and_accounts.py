# ruff: noqa: INP001 - found by Alembic through its number, never imported by name
"""Row jobs in passes and shards, accounts of money and tokens, and shared rate limits.

*pre*: run before the code that needs it. It only adds: code that knows 0002 alone works beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns and the tables."""
    _add_columns()
    _index_deadlines()
    _make_jobs()
    _make_passes()
    _make_shards()
    _make_accounts()
    _make_rate_limits()


def _add_columns() -> None:
    for name, kind in (
        ("row_class", sa.Text),
        ("charge", sa.Text),
        ("cost", sa.BigInteger),
        ("replay", sa.Text),
    ):
        op.add_column("attempts", sa.Column(name, kind))


def _index_deadlines() -> None:
    condition = sa.text("state = 'submitted' AND deadline_at IS NOT NULL")
    op.create_index(
        "attempts_to_end",
        "attempts",
        ["deadline_at", "id"],
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _make_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("definition", sa.Text),
        sa.Column("parked_at", sa.Double),
        sa.Column("parked_kind", sa.Text),
        sa.Column("parked_reason", sa.Text),
        sa.PrimaryKeyConstraint("name", name="jobs_key"),
    )


def _make_passes() -> None:
    op.create_table(
        "passes",
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("table_digest", sa.Text, nullable=False),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("shard_rows", sa.Integer, nullable=False),
        sa.Column("owner_id", sa.Text),
        sa.Column("plan", sa.Text),
        sa.Column("report", sa.Text),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double),
        sa.Column("closed_as", sa.Text),
        sa.PrimaryKeyConstraint("job", "number", name="passes_key"),
        sa.CheckConstraint("closed_as IN ('done', 'superseded')", name="passes_closed_as_known"),
    )


def _make_shards() -> None:
    op.create_table(
        "shards",
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("pass_number", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("owner_id", sa.Text),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("taken_at", sa.Double),
        sa.Column("done_at", sa.Double),
        sa.Column("counts", sa.Text),
        sa.PrimaryKeyConstraint("job", "pass_number", "number", name="shards_key"),
    )


def _make_accounts() -> None:
    counters = ("in_flight", "reserved_usd", "reserved_tokens", "spent_usd", "spent_tokens")
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counters),
        sa.PrimaryKeyConstraint("name", name="accounts_key"),
    )


def _make_rate_limits() -> None:
    values = ("requests_at", "tokens_at", "requests_per_minute", "tokens_per_minute", "pace")
    op.create_table(
        "rate_limits",
        sa.Column("name", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double) for name in (*values, "paused_until", "changed_at")),
        sa.PrimaryKeyConstraint("name", name="rate_limits_key"),
    )
