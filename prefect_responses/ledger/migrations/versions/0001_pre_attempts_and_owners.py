# ruff: noqa: INP001 - found by Alembic through its number, never imported by name
"""The first tables: attempts and their bodies, claims, owners, and the ledger's own row.

*pre*: run before the code that needs it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _make_ledger()
    _make_owners()
    _make_attempts()
    _index_attempts()
    _make_bodies()
    _make_claims()


def _make_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("min_reader", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="ledger_key"),
        sa.CheckConstraint("id = 1", name="ledger_single"),
    )


def _make_owners() -> None:
    op.create_table(
        "owners",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("reader", sa.Integer, nullable=False),
        sa.Column("lease_seconds", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("heartbeat_at", sa.Double, nullable=False),
        sa.Column("retired_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="owners_key"),
    )


def _make_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("base_url", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("credentials", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("planned_at", sa.Double, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("response_id", sa.Text),
        sa.Column("remote_status", sa.Text),
        sa.Column("client_request_id", sa.Text),
        sa.Column("server_request_id", sa.Text),
        sa.Column("owner_id", sa.Text),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("flow_run_id", sa.Text),
        sa.Column("task_run_id", sa.Text),
        sa.Column("resubmissions", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Double),
        sa.Column("deadline_at", sa.Double),
        sa.Column("expires_at", sa.Double),
        sa.Column("submitting_at", sa.Double),
        sa.Column("submitted_at", sa.Double),
        sa.Column("settled_at", sa.Double),
        sa.Column("delivered_at", sa.Double),
        sa.Column("rejected", sa.Text),
        sa.Column("polls", sa.Integer, nullable=False),
        sa.Column("usage", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="attempts_key"),
        sa.UniqueConstraint("scope", "name", "ordinal", "number", name="attempts_call"),
        *_attempts_make_sense(),
    )


def _attempts_make_sense() -> list[sa.CheckConstraint]:
    checks = {
        "attempts_state_known": (
            "state IN ('planned', 'submitting', 'submitted', 'in_doubt', 'settled')"
        ),
        "attempts_outcome_known": (
            "outcome IN ('completed', 'failed', 'incomplete', 'cancelled', 'expired', 'refused', "
            "'abandoned', 'surplus')"
        ),
        "attempts_remote_status_known": (
            "remote_status IN ('queued', 'in_progress', 'completed', 'failed', 'incomplete', "
            "'cancelled', 'unknown')"
        ),
        "attempts_counted": "ordinal >= 0 AND number >= 1",
        "attempts_settled": "(state = 'settled') = (outcome IS NOT NULL)",
        "attempts_submitting": (
            "NOT (state = 'submitting') OR (owner_id IS NOT NULL AND submitting_at IS NOT NULL)"
        ),
        "attempts_submitted": "NOT (state = 'submitted') OR (response_id IS NOT NULL)",
        "attempts_completed": "NOT (outcome = 'completed') OR (response_id IS NOT NULL)",
    }
    return [sa.CheckConstraint(text, name=name) for name, text in checks.items()]


def _index_attempts() -> None:
    _create_partial_index("attempts_response", ["response_id"], "response_id IS NOT NULL")
    op.create_index("attempts_in_order", "attempts", ["planned_at", "id"])
    op.create_index("attempts_of_scope", "attempts", ["scope", "planned_at", "id"])
    _create_partial_index("attempts_of_flow_run", ["flow_run_id"], "flow_run_id IS NOT NULL")
    _create_partial_index("attempts_unsettled", ["planned_at", "id"], "state <> 'settled'")


def _create_partial_index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "attempts", columns, sqlite_where=condition, postgresql_where=condition)


def _make_bodies() -> None:
    op.create_table(
        "bodies",
        sa.Column("attempt_id", sa.Text, nullable=False),
        sa.Column("request", sa.LargeBinary),
        sa.Column("response", sa.LargeBinary),
        sa.PrimaryKeyConstraint("attempt_id", name="bodies_key"),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="bodies_attempt_id_attempts", ondelete="CASCADE"
        ),
    )


def _make_claims() -> None:
    op.create_table(
        "claims",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("execution", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("claimed_at", sa.Double, nullable=False),
        sa.Column("dropped_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="claims_key"),
    )
    op.create_index("claims_of_execution", "claims", ["scope", "name", "execution"])
