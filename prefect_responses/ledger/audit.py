"""What the ledger can prove: POSTs, response IDs and keys, and what is out of line."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.ledger import statements
from prefect_responses.ledger.rows import attempt_of, outcome_counts, state_counts
from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from prefect_responses.attempt import Attempt


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An attempt that was given up in doubt, and how many attempts followed it."""

    attempt: Attempt
    followers: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A response ID that several attempts carry."""

    base_url: str
    response_id: str
    attempt_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerAudit:
    """What was found in one scope, or in all; one consistent reading.

    Args:
        states: how many attempts are in each state.
        outcomes: how many settled attempts ended in each way.
        posts_accepted: POSTs of ours that were answered with a response ID.
        posts_possible: POSTs of which nobody knows whether they were made or accepted.
        response_ids: distinct response IDs.
        keys: distinct calls: scope, name and ordinal.
        in_doubt: attempts in doubt.
        abandoned: attempts given up in doubt.
        surplus: attempts accepted beside another one.
        duplicates: response IDs that several attempts carry.
        unsettled: attempts without an outcome, those in doubt among them.
    """

    states: Mapping[AttemptState, int]
    outcomes: Mapping[Outcome, int]
    posts_accepted: int
    posts_possible: int
    response_ids: int
    keys: int
    in_doubt: tuple[Attempt, ...]
    abandoned: tuple[Abandoned, ...]
    surplus: tuple[Attempt, ...]
    duplicates: tuple[Duplicate, ...]
    unsettled: tuple[Attempt, ...]


async def take_audit(connection: AsyncConnection, scope: str | None) -> LedgerAudit:
    """Audit one scope, or all of them, in the transaction of *connection*."""
    counts = (await connection.execute(statements.count_by_state(scope))).all()
    numbers = (await connection.execute(statements.count_posts_and_keys(scope))).one()
    unsettled = await _attempts(connection, statements.unsettled_attempts(scope))
    return LedgerAudit(
        states=state_counts(counts),
        outcomes=outcome_counts(counts),
        posts_accepted=numbers.posts_accepted,
        posts_possible=numbers.posts_possible,
        response_ids=numbers.response_ids,
        keys=numbers.keys,
        in_doubt=tuple(one for one in unsettled if one.state is AttemptState.IN_DOUBT),
        abandoned=await _abandoned(connection, scope),
        surplus=await _attempts(connection, statements.surplus_attempts(scope)),
        duplicates=await _duplicates(connection, scope),
        unsettled=unsettled,
    )


async def _attempts(connection: AsyncConnection, statement: Select[Any]) -> tuple[Attempt, ...]:
    return tuple(attempt_of(row) for row in await connection.execute(statement))


async def _abandoned(connection: AsyncConnection, scope: str | None) -> tuple[Abandoned, ...]:
    rows = await connection.execute(statements.abandoned_attempts(scope))
    return tuple(Abandoned(attempt_of(row[:-1]), row[-1]) for row in rows)


async def _duplicates(connection: AsyncConnection, scope: str | None) -> tuple[Duplicate, ...]:
    carriers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for base_url, response_id, id_ in await connection.execute(statements.duplicated_ids(scope)):
        carriers[base_url, response_id].append(id_)
    return tuple(Duplicate(*carried, tuple(ids)) for carried, ids in carriers.items())
