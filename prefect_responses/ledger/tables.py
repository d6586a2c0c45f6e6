"""The tables of the ledger: one row an attempt, and what stands beside it.

CHECK constraints and partial indexes are derived from the enums of `statuses`, so that a word that
the code does not know cannot be stored. All times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from prefect_responses.statuses import (
    ANSWERED,
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
    PassEnd,
    ResponseStatus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

#: What this code can read. A migration that older code cannot live with raises the ledger's
#: `min_reader`; an additive one leaves it.
READER = 1

#: The migrations, the first one first.
REVISIONS = ("0001", "0002", "0003")

#: The table in which Alembic keeps the revision. Not its default name: a PostgreSQL database may be
#: shared with other applications that Alembic migrates.
VERSION_TABLE = "ledger_revision"

metadata = MetaData(
    naming_convention={
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(constraint_name)s",
        "pk": "%(table_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    }
)


def _one_of(column: str, words: Iterable[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


def _known(column: str, words: type[StrEnum]) -> CheckConstraint:
    return CheckConstraint(_one_of(column, words), name=f"{column}_known")


def _is(column: str, word: StrEnum) -> str:
    return f"{column} = {str(word)!r}"


def _implies(condition: str, consequence: str, name: str) -> CheckConstraint:
    return CheckConstraint(f"NOT ({condition}) OR ({consequence})", name=name)


def _time(name: str, **options: Any) -> Column[float]:
    return Column(name, Double, **options)


#: One row, written when the ledger is made.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True),
    # Two files that are taken for one would pay twice: a scope remembers this.
    Column("uuid", Text, nullable=False),
    Column("min_reader", Integer, nullable=False),
    _time("created_at", nullable=False),
)

#: One row a process.
owners = Table(
    "owners",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    # What its code can read: while an old one lives, `min_reader` must not rise.
    Column("reader", Integer, nullable=False),
    Column("lease_seconds", Double, nullable=False),
    # By the clock of the database.
    _time("started_at", nullable=False),
    _time("heartbeat_at", nullable=False),
    _time("retired_at"),
)

#: One row an attempt: a durable call of create.
attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("organization", Text, nullable=False),
    Column("project", Text, nullable=False),
    # A reference (block name or environment), never the key.
    Column("credentials", Text, nullable=False),
    Column("state", Text, nullable=False),
    _time("planned_at", nullable=False),
    Column("outcome", Text),
    Column("response_id", Text),
    Column("remote_status", Text),
    Column("client_request_id", Text),
    Column("server_request_id", Text),
    # Who may be sending it; kept afterwards for the audit.
    Column("owner_id", Text),
    Column("fence", Integer, nullable=False),
    # JSON: the run counts of the enclosing flow runs.
    Column("run", Text, nullable=False),
    Column("flow_run_id", Text),
    Column("task_run_id", Text),
    Column("resubmissions", Integer, nullable=False),
    _time("not_before"),
    _time("deadline_at"),
    _time("expires_at"),
    _time("submitting_at"),
    _time("submitted_at"),
    _time("settled_at"),
    _time("delivered_at"),
    Column("rejected", Text),
    Column("polls", Integer, nullable=False),
    # JSON objects.
    Column("usage", Text),
    Column("error", Text),
    Column("model", Text),
    # Whether its events can be followed: 0, 1, or nobody tried.
    Column("streamed", Integer, CheckConstraint("streamed IN (0, 1)", name="streamed_known")),
    Column("cancel_reason", Text, _known("cancel_reason", CancelReason)),
    _time("cancel_wanted_at"),
    Column("cancel_answer", Text, _known("cancel_answer", CancelAnswer)),
    _time("cancel_answered_at"),
    _time("watch_until"),
    _time("orphaned_at"),
    _time("warned_at"),
    # Seconds from its acceptance to its end.
    Column("latency", Double),
    # In a row job: what came of the row, in the job's own words.
    Column("row_class", Text),
    # JSON: what is reserved on which accounts, and the price.
    Column("charge", Text),
    # In nano-USD.
    Column("cost", BigInteger),
    # In a row job: why it is sent with a request of its own.
    Column("replay", Text),
    UniqueConstraint("scope", "name", "ordinal", "number", name="call"),
    _known("state", AttemptState),
    _known("outcome", Outcome),
    _known("remote_status", ResponseStatus),
    CheckConstraint("ordinal >= 0 AND number >= 1", name="counted"),
    CheckConstraint(
        f"({_is('state', AttemptState.SETTLED)}) = (outcome IS NOT NULL)", name="settled"
    ),
    _implies(
        _is("state", AttemptState.SUBMITTING),
        "owner_id IS NOT NULL AND submitting_at IS NOT NULL",
        "submitting",
    ),
    _implies(_is("state", AttemptState.SUBMITTED), "response_id IS NOT NULL", "submitted"),
    _implies(_is("outcome", Outcome.COMPLETED), "response_id IS NOT NULL", "completed"),
)

_UNSETTLED = f"state <> {str(AttemptState.SETTLED)!r}"

#: Conditions on `attempts` in words that the partial indexes know.
UNSETTLED = f"attempts.{_UNSETTLED}"
SURPLUS = f"attempts.{_is('outcome', Outcome.SURPLUS)}"
ABANDONED = f"attempts.{_is('outcome', Outcome.ABANDONED)}"
MAYBE_SENT = (
    f"(attempts.{_is('state', AttemptState.SUBMITTING)}"
    f" OR attempts.{_is('state', AttemptState.IN_DOUBT)} OR {ABANDONED})"
)

#: Conditions of partial indexes, for statements on `attempts` alone.
SUBMITTED = _is("state", AttemptState.SUBMITTED)
OWED = (
    "cancel_wanted_at IS NOT NULL AND cancel_answer IS NULL AND response_id IS NOT NULL"
    f" AND ({SUBMITTED} OR {_is('outcome', Outcome.SURPLUS)})"
)
TO_END = f"{SUBMITTED} AND deadline_at IS NOT NULL"
WATCHED = f"{_is('outcome', Outcome.CANCELLED)} AND watch_until IS NOT NULL"
TIMED = f"latency IS NOT NULL AND {_one_of('outcome', sorted(ANSWERED))}"


def _partial_index(name: str, condition: str, *columns: Column[Any]) -> None:
    where = text(condition)
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


# Not unique: a proxy may repeat IDs, and one constraint error must not roll back a group of
# accepted IDs. The audit reports duplicates.
_partial_index("attempts_response", "response_id IS NOT NULL", attempts.c.response_id)
Index("attempts_in_order", attempts.c.planned_at, attempts.c.id)
Index("attempts_of_scope", attempts.c.scope, attempts.c.planned_at, attempts.c.id)
_partial_index("attempts_of_flow_run", "flow_run_id IS NOT NULL", attempts.c.flow_run_id)
_partial_index("attempts_unsettled", _UNSETTLED, attempts.c.planned_at, attempts.c.id)

_partial_index("attempts_owed", OWED, attempts.c.cancel_wanted_at, attempts.c.id)
_partial_index("attempts_due", SUBMITTED, attempts.c.expires_at, attempts.c.id)
_partial_index("attempts_to_end", TO_END, attempts.c.deadline_at, attempts.c.id)
_partial_index("attempts_watched", WATCHED, attempts.c.watch_until, attempts.c.id)
_partial_index(
    "attempts_timed", TIMED, attempts.c.base_url, attempts.c.model, attempts.c.settled_at
)

#: What was sent and what came back, apart from the attempt so that it can be pruned.
bodies = Table(
    "bodies",
    metadata,
    Column("attempt_id", Text, ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
    Column("request", LargeBinary),
    Column("response", LargeBinary),
)

#: How far the events of an attempt were followed, apart from it so that noting it is cheap.
streams = Table(
    "streams",
    metadata,
    Column("attempt_id", Text, ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
    # The sequence number of the last event that the snapshot contains.
    Column("cursor", BigInteger),
    # JSON: the fold of the events.
    Column("snapshot", LargeBinary),
    _time("recorded_at"),
)

#: Which call of which execution took which ordinal.
claims = Table(
    "claims",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("execution", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    # JSON: the enclosing runs and their counts, outermost first.
    Column("chain", Text, nullable=False),
    _time("claimed_at", nullable=False),
    _time("dropped_at"),
)

Index("claims_of_execution", claims.c.scope, claims.c.name, claims.c.execution)

#: One row a row job.
jobs = Table(
    "jobs",
    metadata,
    Column("name", Text, primary_key=True),
    _time("created_at", nullable=False),
    # JSON: what its last pass asked for.
    Column("definition", Text),
    _time("parked_at"),
    Column("parked_kind", Text),
    Column("parked_reason", Text),
)

#: One row for each time that a job goes over its table.
passes = Table(
    "passes",
    metadata,
    Column("job", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # JSON that the ledger does not read: definition, selection, plan and report.
    Column("definition", Text, nullable=False),
    Column("table_digest", Text, nullable=False),
    Column("selection", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("shard_rows", Integer, nullable=False),
    # Who opened it, until it leaves.
    Column("owner_id", Text),
    Column("plan", Text),
    Column("report", Text),
    _time("opened_at", nullable=False),
    _time("closed_at"),
    Column("closed_as", Text, _known("closed_as", PassEnd)),
)

#: One row for each slice of a pass that is driven at once; the last one has no rows: it is the
#: writing of the results.
shards = Table(
    "shards",
    metadata,
    Column("job", Text, primary_key=True),
    Column("pass_number", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("first", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("owner_id", Text),
    Column("fence", Integer, nullable=False),
    _time("taken_at"),
    _time("done_at"),
    # JSON.
    Column("counts", Text),
)

#: What is reserved and spent, in nano-USD and tokens, and how many attempts are in flight.
accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("in_flight", BigInteger, nullable=False),
    Column("reserved_usd", BigInteger, nullable=False),
    Column("reserved_tokens", BigInteger, nullable=False),
    Column("spent_usd", BigInteger, nullable=False),
    Column("spent_tokens", BigInteger, nullable=False),
)

#: How fast requests may be sent, shared by all who send under a name.
rate_limits = Table(
    "rate_limits",
    metadata,
    Column("name", Text, primary_key=True),
    _time("requests_at"),
    _time("tokens_at"),
    Column("requests_per_minute", Double),
    Column("tokens_per_minute", Double),
    Column("pace", Double),
    _time("paused_until"),
    _time("changed_at"),
)
