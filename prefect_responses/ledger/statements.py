"""Every statement that the ledger runs, one function each. All of them run on every dialect."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    and_,
    bindparam,
    case,
    column,
    delete,
    func,
    insert,
    or_,
    select,
    table,
    text,
    tuple_,
    update,
)

from prefect_responses.ledger.tables import (
    ABANDONED,
    MAYBE_SENT,
    READER,
    SURPLUS,
    UNSETTLED,
    VERSION_TABLE,
    attempts,
    bodies,
    claims,
    ledger,
    owners,
    streams,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import (
        BindParameter,
        Column,
        ColumnElement,
        Delete,
        FromClause,
        Insert,
        Select,
        TextClause,
        Update,
    )

    from prefect_responses.ledger.dialects import Dialect

# --- what a group of verbs reads ------------------------------------------------------------------


@lru_cache(maxsize=1)
def siblings_of() -> Select[Any]:
    """Read all attempts of the ordinals that these attempts (*ids*) belong to."""
    named = attempts.alias("named")
    return (
        select(attempts)
        .join_from(named, attempts, _same_ordinal(named))
        .where(named.c.id.in_(_many("ids")))
    )


@lru_cache(maxsize=1)
def attempts_named() -> Select[Any]:
    """Read all attempts of these scopes and names (*calls*; *scopes* and *names* apart)."""
    columns = {"scopes": attempts.c.scope, "names": attempts.c.name}
    return select(attempts).where(_among("calls", columns))


@lru_cache(maxsize=1)
def carriers_of() -> Select[Any]:
    """Read the attempts that carry these *responses* (*base_urls* and *response_ids* apart)."""
    columns = {"base_urls": attempts.c.base_url, "response_ids": attempts.c.response_id}
    return select(attempts).where(_among("responses", columns))


@lru_cache(maxsize=1)
def claims_under() -> Select[Any]:
    """Read the claims of these *ids*, and those of these executions of calls (*calls*)."""
    names = ("scopes", "names", "executions")
    columns = dict(zip(names, (claims.c.scope, claims.c.name, claims.c.execution), strict=True))
    return select(claims).where(or_(_among("calls", columns), claims.c.id.in_(_many("ids"))))


@lru_cache(maxsize=1)
def attempts_claimed() -> Select[Any]:
    """Read all attempts of the ordinals that these claims (*ids*) took."""
    return (
        select(attempts)
        .join_from(claims, attempts, _same_ordinal(claims))
        .where(claims.c.id.in_(_many("ids")))
    )


def _same_ordinal(named: FromClause) -> ColumnElement[bool]:
    return and_(*(attempts.c[column] == named.c[column] for column in ("scope", "name", "ordinal")))


def _among(rows: str, columns: Mapping[str, Column[Any]]) -> ColumnElement[bool]:
    # SQLite finds an index for lists of each column's values, but not for a list of rows.
    apart = (column.in_(_many(name)) for name, column in columns.items())
    return and_(*apart, tuple_(*columns.values()).in_(_many(rows)))


def _many(name: str) -> BindParameter[Any]:
    return bindparam(name, expanding=True)


@lru_cache(maxsize=8)
def locking(statement: Select[Any]) -> Select[Any]:
    """Lock the attempts that *statement* would read, in an order that cannot deadlock."""
    ids = statement.with_only_columns(attempts.c.id, maintain_column_froms=True)
    return ids.order_by(attempts.c.id).with_for_update(of=attempts)


# --- what a group of verbs writes -----------------------------------------------------------------


@lru_cache(maxsize=1)
def add_attempts() -> Insert:
    """Add attempts."""
    return insert(attempts)


@lru_cache(maxsize=1)
def add_bodies() -> Insert:
    """Add the bodies of new attempts."""
    return insert(bodies)


@lru_cache(maxsize=1)
def add_claims() -> Insert:
    """Add claims."""
    return insert(claims)


@lru_cache(maxsize=256)
def change_attempts(columns: frozenset[str]) -> Update:
    """Change these columns of attempts that the transaction has locked."""
    changes: dict[str, Any] = {column: bindparam(column) for column in sorted(columns)}
    return update(attempts).where(attempts.c.id == bindparam("attempt")).values(changes)


@lru_cache(maxsize=1)
def keep_responses() -> Update:
    """Store the bodies of terminal responses."""
    by_attempt = bodies.c.attempt_id == bindparam("attempt")
    return update(bodies).where(by_attempt).values(response=bindparam("body"))


@lru_cache(maxsize=1)
def add_streams() -> Insert:
    """Make room for the progress of attempts."""
    return insert(streams)


@lru_cache(maxsize=1)
def keep_progress() -> Update:
    """Store progress, unless the stored one is as far."""
    cursor = bindparam("to", type_=BigInteger)
    behind = or_(streams.c.cursor.is_(None), streams.c.cursor < cursor)
    changes = {"cursor": cursor, "snapshot": bindparam("fold"), "recorded_at": bindparam("at")}
    by_attempt = streams.c.attempt_id == bindparam("attempt")
    return update(streams).where(by_attempt, behind).values(changes)


@lru_cache(maxsize=1)
def drop_streams() -> Delete:
    """Drop the progress of attempts."""
    return delete(streams).where(streams.c.attempt_id == bindparam("attempt"))


@lru_cache(maxsize=1)
def drop_claims() -> Update:
    """Mark claims as dropped."""
    return (
        update(claims).where(claims.c.id == bindparam("claim")).values(dropped_at=bindparam("at"))
    )


# --- the ledger itself ----------------------------------------------------------------------------


def ledger_row() -> Select[Any]:
    """Read which ledger this is, and who can read it."""
    return select(ledger.c.uuid, ledger.c.min_reader)


def found_ledger(uuid: str, created_at: float) -> Insert:
    """Write down which ledger this is, once."""
    return insert(ledger).values(id=1, uuid=uuid, min_reader=READER, created_at=created_at)


def revision() -> Select[Any]:
    """Read which migration the tables are at."""
    return select(column("version_num")).select_from(table(VERSION_TABLE))


# --- owners ---------------------------------------------------------------------------------------


def register_owner(dialect: Dialect, **facts: Any) -> Insert:
    """Add an owner whose lease begins now."""
    now = dialect.now()
    return insert(owners).values(**facts, started_at=now, heartbeat_at=now)


def renew_owner(dialect: Dialect, owner_id: str) -> Update:
    """Renew a lease, unless it has ended: it may have been seen ended."""
    fresh = owners.c.heartbeat_at > dialect.now() - owners.c.lease_seconds
    return _serving(owner_id).where(fresh).values(heartbeat_at=dialect.now())


def retire_owner(dialect: Dialect, owner_id: str) -> Update:
    """End an owner for good."""
    return _serving(owner_id).values(retired_at=dialect.now())


def _serving(owner_id: str) -> Update:
    return update(owners).where(owners.c.id == owner_id, owners.c.retired_at.is_(None))


def owner_is_fresh(dialect: Dialect, owner_id: str) -> Select[Any]:
    """Read whether an owner that has not retired has renewed its lease in time."""
    fresh = owners.c.heartbeat_at > dialect.now() - owners.c.lease_seconds
    return select(fresh).where(owners.c.id == owner_id, owners.c.retired_at.is_(None))


# --- the audit ------------------------------------------------------------------------------------


def _within(statement: Select[Any], scope: str | None) -> Select[Any]:
    return statement if scope is None else statement.where(attempts.c.scope == scope)


def _listed(scope: str | None, condition: str) -> Select[Any]:
    listed = select(attempts).where(text(condition))
    return _within(listed, scope).order_by(attempts.c.planned_at, attempts.c.id)


def count_by_state(scope: str | None) -> Select[Any]:
    """Count attempts by state and outcome."""
    words = (attempts.c.state, attempts.c.outcome)
    return _within(select(*words, func.count()).group_by(*words), scope)


def count_posts_and_keys(scope: str | None) -> Select[Any]:
    """Count the POSTs that were or may have been accepted, and what they should add up to."""
    ids = _within(select(attempts.c.base_url, attempts.c.response_id), scope)
    ids = ids.where(attempts.c.response_id.is_not(None)).distinct()
    keys = _within(select(attempts.c.scope, attempts.c.name, attempts.c.ordinal), scope).distinct()
    counts = (
        _count(attempts.c.response_id.is_not(None)).label("posts_accepted"),
        _count(attempts.c.response_id.is_(None), text(MAYBE_SENT)).label("posts_possible"),
        select(func.count()).select_from(ids.subquery()).scalar_subquery().label("response_ids"),
        select(func.count()).select_from(keys.subquery()).scalar_subquery().label("keys"),
    )
    return _within(select(*counts), scope)


def _count(*conditions: ColumnElement[bool] | TextClause) -> ColumnElement[int]:
    sent = and_(attempts.c.submitting_at.is_not(None), *conditions)
    return func.coalesce(func.sum(case((sent, 1), else_=0)), 0)


def unsettled_attempts(scope: str | None) -> Select[Any]:
    """Read the attempts without an outcome."""
    return _listed(scope, UNSETTLED)


def surplus_attempts(scope: str | None) -> Select[Any]:
    """Read the attempts that were accepted beside another one."""
    return _listed(scope, SURPLUS)


def abandoned_attempts(scope: str | None) -> Select[Any]:
    """Read the attempts that were given up in doubt, and how many followed each."""
    later = attempts.alias("later")
    followers = (
        select(func.count())
        .select_from(later)
        .where(_same_ordinal(later), later.c.number > attempts.c.number)
        .correlate(attempts)
        .scalar_subquery()
    )
    return _listed(scope, ABANDONED).add_columns(followers)


def duplicated_ids(scope: str | None) -> Select[Any]:
    """Read the response IDs that several attempts carry, and which ones."""
    carried = (attempts.c.base_url, attempts.c.response_id)
    several = _within(select(*carried), scope).where(attempts.c.response_id.is_not(None))
    several = several.group_by(*carried).having(func.count() > 1)
    carriers = _within(select(*carried, attempts.c.id), scope).where(tuple_(*carried).in_(several))
    return carriers.order_by(*carried, attempts.c.planned_at, attempts.c.id)
