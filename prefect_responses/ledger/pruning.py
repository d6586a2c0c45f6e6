"""What may be deleted of a ledger: what has ended long ago and nobody will ask for again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    tuple_,
    union_all,
    update,
)

from prefect_responses.ledger.dialects import dialect_of
from prefect_responses.ledger.tables import (
    UNSETTLED,
    attempts,
    bodies,
    claims,
    owners,
    passes,
    shards,
)
from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import CompoundSelect, Delete, FromClause, Select, Update
    from sqlalchemy.ext.asyncio import AsyncConnection

#: What the scopes of row jobs begin with.
JOBS = "job:"

#: Seconds for which everything stays, whatever is asked: the answer to a POST that was given up may
#: come late, and its ID must find its attempt.
YOUNG = 86_400.0

#: Leases after which an owner without news will not come back: one that is only late may still be
#: about to see that it has lost its lease.
SILENT_LEASES = 10.0

#: Attempts that one transaction deletes at most: other processes wait for it.
BATCH = 500


@dataclass(frozen=True, slots=True)
class PruneChoice:
    """Say what is to be deleted.

    All attempts of a call go together. What is unsettled or in doubt, owes a cancel or is watched
    for a late completion is never deleted, nor is anything that was settled within the last `YOUNG`
    seconds of the database's clock. The rows of a job are only if its scope is named: they would be
    paid for again. So would a call that a flow run repeats which is older than *before*.

    Args:
        before: seconds since the epoch; what was settled earlier goes.
        bodies_only: keep the attempts, and delete their requests and responses; no later run of
            a job can write those answers.
        scopes: only these, or None for all but those of jobs.
    """

    before: float
    bodies_only: bool = False
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """Say how many rows of each kind were deleted, or would be.

    Args:
        attempts: attempts, with what was noted of their events.
        bodies: attempts whose requests and responses went.
        bytes: size of those.
        claims: claims of the calls of those attempts.
        owners: processes that ended before, or were killed, and hold nothing.
    """

    attempts: int = 0
    bodies: int = 0
    bytes: int = 0
    claims: int = 0
    owners: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        """Add up what was deleted one after the other."""
        return Pruned(
            self.attempts + other.attempts,
            self.bodies + other.bodies,
            self.bytes + other.bytes,
            self.claims + other.claims,
            self.owners + other.owners,
        )


async def count_prunable(connection: AsyncConnection, choice: PruneChoice) -> Pruned:
    """Count what a choice would delete, in the transaction of *connection*."""
    now = await _time(connection)
    choice = _without_young(choice, now)
    chosen = _prunable(choice)
    sizes = (await connection.execute(_sizes(chosen))).one()
    if choice.bodies_only:
        return Pruned(bodies=sizes[0], bytes=sizes[1])
    counted = [
        (
            await connection.execute(select(func.count()).select_from(table).where(condition))
        ).scalar()
        for table, condition in (
            (attempts, chosen),
            (claims, _of_calls(chosen)),
            (owners, _is_gone(choice.before, now)),
        )
    ]
    return Pruned(counted[0] or 0, sizes[0], sizes[1], counted[1] or 0, counted[2] or 0)


async def prune_batch(connection: AsyncConnection, choice: PruneChoice) -> Pruned:
    """Delete a batch of what a choice names; nothing is left when no attempt or body goes."""
    batch = _batch(_without_young(choice, await _time(connection)))
    ids = [row[0] for row in await connection.execute(batch)]
    chosen = attempts.c.id.in_(ids)
    sizes = (await connection.execute(_sizes(chosen))).one()
    if choice.bodies_only:
        await connection.execute(_empty_bodies(ids))
        return Pruned(bodies=sizes[0], bytes=sizes[1])
    dropped = await connection.execute(delete(claims).where(_of_calls(chosen)))
    await connection.execute(delete(attempts).where(chosen))
    return Pruned(len(ids), sizes[0], sizes[1], dropped.rowcount)


async def prune_owners(connection: AsyncConnection, choice: PruneChoice) -> Pruned:
    """Delete the processes that are gone for good and hold nothing."""
    now = await _time(connection)
    gone: Delete = delete(owners).where(_is_gone(_without_young(choice, now).before, now))
    return Pruned(owners=(await connection.execute(gone)).rowcount)


async def _time(connection: AsyncConnection) -> float:
    """Read the clock of the database, by which owners and what is young are judged."""
    clock = select(dialect_of(connection.engine.url).now())
    return float((await connection.execute(clock)).scalar_one())


def _without_young(choice: PruneChoice, now: float) -> PruneChoice:
    return replace(choice, before=min(choice.before, now - YOUNG))


def _batch(choice: PruneChoice) -> Select[Any]:
    chosen = select(attempts.c.id).where(_prunable(choice))
    if choice.bodies_only:
        chosen = chosen.join(bodies, bodies.c.attempt_id == attempts.c.id).where(_HAS_BODY)
    return chosen.order_by(attempts.c.id).limit(BATCH).with_for_update(of=attempts)


_HAS_BODY = or_(bodies.c.request.is_not(None), bodies.c.response.is_not(None))


def _sizes(chosen: ColumnElement[bool]) -> Select[Any]:
    """Count the bodies of attempts that have any, and their bytes."""
    request, response = (
        func.coalesce(func.length(body), 0) for body in (bodies.c.request, bodies.c.response)
    )
    sizes = select(func.count(), func.coalesce(func.sum(request + response), 0))
    return (
        sizes.select_from(bodies)
        .join(attempts, attempts.c.id == bodies.c.attempt_id)
        .where(chosen, _HAS_BODY)
    )


def _empty_bodies(ids: Collection[str]) -> Update:
    # The row stays: an answer that comes later still has its place.
    return update(bodies).where(bodies.c.attempt_id.in_(ids)).values(request=None, response=None)


def _prunable(choice: PruneChoice) -> ColumnElement[bool]:
    sibling = attempts.alias("sibling")
    same = (sibling.c[name] == attempts.c[name] for name in ("scope", "name", "ordinal"))
    needed = exists().where(*same, not_(_has_ended(sibling, choice.before)))
    return and_(_in_scopes(choice), _has_ended(attempts, choice.before), not_(needed))


def _in_scopes(choice: PruneChoice) -> ColumnElement[bool]:
    if choice.scopes is not None:
        return attempts.c.scope.in_(choice.scopes)
    return func.substr(attempts.c.scope, 1, len(JOBS)) != JOBS


def _has_ended(table: FromClause, before: float) -> ColumnElement[bool]:
    """Hold for what was settled before a time and has nothing left to be done or seen."""
    column = table.c
    owed = and_(
        column.outcome == Outcome.SURPLUS.value,
        column.cancel_wanted_at.is_not(None),
        column.cancel_answer.is_(None),
    )
    is_settled = and_(column.state == AttemptState.SETTLED.value, column.settled_at < before)
    return and_(is_settled, not_(owed), func.coalesce(column.watch_until, 0.0) < before)


def _of_calls(chosen: ColumnElement[bool]) -> ColumnElement[bool]:
    call = (attempts.c.scope, attempts.c.name, attempts.c.ordinal)
    calls = select(*call).where(chosen)
    return tuple_(claims.c.scope, claims.c.name, claims.c.ordinal).in_(calls)


def _is_gone(before: float, now: float) -> ColumnElement[bool]:
    """Hold for owners without news since a time that hold nothing and cannot come back.

    A living one without its row would send while others take it for dead, and send beside it.
    """
    silent = owners.c.heartbeat_at < now - SILENT_LEASES * owners.c.lease_seconds
    is_over = or_(owners.c.retired_at.is_not(None), silent)
    return and_(owners.c.heartbeat_at < before, is_over, owners.c.id.not_in(_holding()))


def _holding() -> CompoundSelect[Any]:
    """Read who may be sending, and who opened an open pass or holds a shard of it."""
    in_pass = and_(shards.c.job == passes.c.job, shards.c.pass_number == passes.c.number)
    is_open = passes.c.closed_as.is_(None)
    held = select(shards.c.owner_id).join(passes, in_pass)
    return union_all(
        select(attempts.c.owner_id).where(text(UNSETTLED), attempts.c.owner_id.is_not(None)),
        select(passes.c.owner_id).where(is_open, passes.c.owner_id.is_not(None)),
        held.where(is_open, shards.c.done_at.is_(None), shards.c.owner_id.is_not(None)),
    )
