"""Every statement about jobs, passes, shards and their accounts, one function each."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, insert, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from prefect_responses.ledger.dialects import SQLITE
from prefect_responses.ledger.tables import (
    UNSETTLED,
    accounts,
    attempts,
    jobs,
    passes,
    shards,
)
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Insert, Select, Table, Update
    from sqlalchemy.sql.dml import ReturningUpdate

    from prefect_responses.ledger.dialects import Dialect
    from prefect_responses.ledger.passes import Pass, Shard
    from prefect_responses.statuses import PassEnd


def add_unless_there(dialect: Dialect, into: Table) -> Insert:
    """Add rows, and leave those alone whose key is there already."""
    adding = sqlite_insert if dialect is SQLITE else postgresql_insert
    return adding(into).on_conflict_do_nothing()


# --- jobs -----------------------------------------------------------------------------------------


def lock_job(name: str) -> Select[Any]:
    """Keep others from opening passes of a job until the transaction ends."""
    return select(jobs.c.name).where(jobs.c.name == name).with_for_update()


def job_named(name: str) -> Select[Any]:
    """Read one job."""
    return select(jobs).where(jobs.c.name == name)


def all_jobs() -> Select[Any]:
    """Read all jobs by name."""
    return select(jobs).order_by(jobs.c.name)


def change_job(name: str, changes: Mapping[str, Any]) -> Update:
    """Change a job."""
    return update(jobs).where(jobs.c.name == name).values(changes)


# --- passes ---------------------------------------------------------------------------------------


def passes_of(job: str, number: int | None = None) -> Select[Any]:
    """Read the pass of a job that was opened last, or the one of a number."""
    found = select(passes).where(passes.c.job == job).order_by(passes.c.number.desc()).limit(1)
    return found if number is None else found.where(passes.c.number == number)


def add_pass() -> Insert:
    """Add a pass."""
    return insert(passes)


def add_shards() -> Insert:
    """Add shards."""
    return insert(shards)


def close(pass_: Pass, end: PassEnd, at: float, report: str | None) -> Update:
    """Close a pass that is open."""
    changes = {"closed_at": at, "closed_as": end.value, "report": report}
    return _open(pass_).values(changes)


def leave(pass_: Pass, owner_id: str) -> Update:
    """Take the name of its opener from a pass."""
    return _open(pass_).where(passes.c.owner_id == owner_id).values(owner_id=None)


def _open(pass_: Pass) -> Update:
    same = (passes.c.job == pass_.job, passes.c.number == pass_.number)
    return update(passes).where(*same, passes.c.closed_as.is_(None))


# --- shards ---------------------------------------------------------------------------------------


def shards_of(pass_: Pass, *, undone: bool = False) -> Select[Any]:
    """Read the shards of a pass in order; with *undone*, those that are not finished."""
    found = select(shards).where(_within(pass_)).order_by(shards.c.number)
    return found.where(shards.c.done_at.is_(None)) if undone else found


def holders_of(pass_: Pass) -> Select[Any]:
    """Read who holds shards of a pass."""
    held = (shards.c.owner_id.is_not(None), shards.c.done_at.is_(None))
    return select(shards.c.owner_id).where(_within(pass_), *held).distinct()


def take(shard: Shard, owner_id: str, at: ColumnElement[float]) -> ReturningUpdate[Any]:
    """Take a shard as it was seen, unless it was taken or finished since."""
    taken = {"owner_id": owner_id, "fence": shard.fence + 1, "taken_at": at}
    return _unfinished(shard).values(taken).returning(*shards.c)


def release(shard: Shard) -> Update:
    """Give a shard back that is held as it was taken."""
    return _held(shard).values(owner_id=None)


def finish(shard: Shard, counts: str, at: float) -> Update:
    """Finish a shard that is held as it was taken."""
    return _held(shard).values(done_at=at, counts=counts)


def finished(shard: Shard) -> Select[Any]:
    """Read a shard, if it was finished by who held it as it was taken."""
    by_holder = (shards.c.fence == shard.fence, shards.c.owner_id == shard.owner_id)
    return select(shards.c.number).where(_is(shard), *by_holder, shards.c.done_at.is_not(None))


def finish_last(pass_: Pass, at: float) -> Update:
    """Finish the writing of the results."""
    last = (shards.c.rows == 0, shards.c.done_at.is_(None))
    return update(shards).where(_within(pass_), *last).values(done_at=at)


def _within(pass_: Pass) -> ColumnElement[bool]:
    return and_(shards.c.job == pass_.job, shards.c.pass_number == pass_.number)


def _unfinished(shard: Shard) -> Update:
    unfinished = (shards.c.fence == shard.fence, shards.c.done_at.is_(None))
    return update(shards).where(_is(shard), *unfinished)


def _is(shard: Shard) -> ColumnElement[bool]:
    key = (shards.c.job, shards.c.pass_number, shards.c.number)
    return tuple_(*key) == tuple_(shard.job, shard.pass_number, shard.number)


def _held(shard: Shard) -> Update:
    return _unfinished(shard).where(shards.c.owner_id == shard.owner_id)


# --- accounts -------------------------------------------------------------------------------------


def account_named(name: str) -> Select[Any]:
    """Read one account."""
    return select(accounts).where(accounts.c.name == name)


def accounts_ending(scope: str) -> Select[Any]:
    """Read the account of a scope and those whose names end with it, by name."""
    name, end = accounts.c.name, f":{scope}"
    ends = func.substr(name, func.length(name) - len(end) + 1) == end
    return select(accounts).where(or_(name == scope, ends)).order_by(name)


@lru_cache(maxsize=1)
def accounts_named() -> Select[Any]:
    """Read accounts by *names*, and lock them where writers run side by side."""
    named = select(accounts).where(accounts.c.name.in_(bindparam("names", expanding=True)))
    return named.order_by(accounts.c.name).with_for_update()


def sent_charges() -> Select[Any]:
    """Read the charges of the attempts that are in flight."""
    is_sent = attempts.c.state != AttemptState.PLANNED.value
    charged = select(attempts.c.charge).where(attempts.c.charge.is_not(None), is_sent)
    return charged.where(text(UNSETTLED))


@lru_cache(maxsize=2)
def keep_accounts(columns: frozenset[str]) -> Update:
    """Store what stands on accounts that the transaction has locked."""
    changes: dict[str, Any] = {column: bindparam(column) for column in sorted(columns)}
    return update(accounts).where(accounts.c.name == bindparam("account")).values(changes)
