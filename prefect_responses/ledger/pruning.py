"""What may be deleted of a ledger: what has ended long ago and nobody will ask for again."""

from __future__ import annotations

from dataclasses import dataclass
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
    update,
)

from prefect_responses.ledger.tables import UNSETTLED, attempts, bodies, claims, owners
from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Delete, FromClause, Select, Update
    from sqlalchemy.ext.asyncio import AsyncConnection

#: What the scopes of row jobs begin with.
JOBS = "job:"

#: Attempts that one transaction deletes at most: other processes wait for it.
BATCH = 500


@dataclass(frozen=True, slots=True)
class PruneChoice:
    """Say what is to be deleted.

    All attempts of a call go together. What is unsettled or in doubt, owes a cancel or is watched
    for a late completion is never deleted, and the rows of a job only if its scope is named: they
    would be paid for again. So would a call that a flow run repeats which is older than *before*.

    Args:
        before: seconds since the epoch; what was settled earlier goes.
        bodies_only: keep the attempts, and delete their requests and responses.
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
        owners: processes that ended before, and hold nothing.
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
            (owners, _is_gone(choice.before)),
        )
    ]
    return Pruned(counted[0] or 0, sizes[0], sizes[1], counted[1] or 0, counted[2] or 0)


async def prune_batch(connection: AsyncConnection, choice: PruneChoice) -> Pruned:
    """Delete a batch of what a choice names; nothing is left when no attempt or body goes."""
    batch = _batch(choice)
    ids = [row[0] for row in await connection.execute(batch)]
    chosen = attempts.c.id.in_(ids)
    sizes = (await connection.execute(_sizes(chosen))).one()
    if choice.bodies_only:
        await connection.execute(_empty_bodies(ids))
        return Pruned(bodies=sizes[0], bytes=sizes[1])
    dropped = await connection.execute(delete(claims).where(_of_calls(chosen)))
    await connection.execute(delete(attempts).where(chosen))
    return Pruned(len(ids), sizes[0], sizes[1], dropped.rowcount)


async def prune_owners(connection: AsyncConnection, before: float) -> Pruned:
    """Delete the processes that ended before a time and hold nothing."""
    gone: Delete = delete(owners).where(_is_gone(before))
    return Pruned(owners=(await connection.execute(gone)).rowcount)


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


def _is_gone(before: float) -> ColumnElement[bool]:
    """Hold for owners without news since a time whose attempts have all ended."""
    holding = select(attempts.c.owner_id).where(text(UNSETTLED), attempts.c.owner_id.is_not(None))
    return and_(owners.c.heartbeat_at < before, owners.c.id.not_in(holding))
