"""The limits a minute that processes share: one row for each account, endpoint and model.

A process changes it once or twice a second at most, in a short transaction of its own, so it is not
among the verbs that the writer groups. What it decides is pure; here it is only kept, and by one
clock: that of the database, for machines do not agree about the time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Double, bindparam, cast, select, update

from prefect_responses.decisions.rate_limits import Bucket
from prefect_responses.ledger.dialects import translated
from prefect_responses.ledger.job_statements import add_unless_there
from prefect_responses.ledger.outages import outlasting
from prefect_responses.ledger.tables import rate_limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from prefect_responses.attempt import Endpoint
    from prefect_responses.ledger.dialects import Dialect

T = TypeVar("T")

_FIELDS = (
    "requests_at",
    "tokens_at",
    "requests_per_minute",
    "tokens_per_minute",
    "pace",
    "paused_until",
    "changed_at",
)
#: What a column without a value stands for is the field's default.
_EMPTY = Bucket()


def limit_name(endpoint: Endpoint, model: str | None) -> str:
    """Return the name under which all who send to *model* there share their limits."""
    return json.dumps([endpoint.base_url, endpoint.organization, endpoint.project, model or ""])


class SharedLimits:
    """The shared limits of a ledger.

    Args:
        reads: connections that only read.
        writes: connections whose transactions take the write lock.
        dialect: what kind of database it is.
    """

    def __init__(self, reads: AsyncEngine, writes: AsyncEngine, dialect: Dialect) -> None:
        self._reads = reads
        self._writes = writes
        clock = cast(dialect.now(), Double)
        self._clock = select(clock)
        self._select = select(*(rate_limits.c[field] for field in _FIELDS), clock).where(
            rate_limits.c.name == bindparam("name_")
        )
        self._add = add_unless_there(dialect, rate_limits)

    async def change(
        self,
        name: str,
        decide: Callable[[Bucket, float], tuple[Bucket, T]],
        now: float | None = None,
    ) -> T:
        """Let *decide* change what is shared under *name*, while nobody else does.

        A crash leaves it as it was before or after.

        Args:
            name: see `limit_name`.
            decide: is given what is shared and the time, and returns what is shared from now on
                beside what its caller wants to know. It must not wait for anything.
            now: the time, for those who all go by another clock than the database's.

        Raises:
            LedgerLocked: somebody else holds the lock.
            LedgerUnavailable: the ledger cannot be reached.
        """

        async def transaction() -> T:
            async with self._writes.begin() as connection:
                before, at = await self._locked(connection, name)
                after, told = decide(before, at if now is None else now)
                if after != before:
                    changes = {field: getattr(after, field) for field in _FIELDS}
                    await connection.execute(_CHANGE, {"name_": name, **changes})
                return told

        with translated():
            # Done twice it takes a turn that nobody uses: slower by one request, never faster.
            return await outlasting(transaction)

    async def read(self, name: str) -> tuple[Bucket, float]:
        """Return what is shared under *name*, and the time; nothing is locked."""

        async def look() -> tuple[Bucket, float]:
            async with self._reads.connect() as connection:
                row = (await connection.execute(self._select, {"name_": name})).one_or_none()
                if row is not None:
                    return _bucket_of(row), row[-1]
                return _EMPTY, (await connection.execute(self._clock)).scalar_one()

        with translated():
            return await outlasting(look)

    async def _locked(self, connection: AsyncConnection, name: str) -> tuple[Bucket, float]:
        statement = self._select.with_for_update()
        row = (await connection.execute(statement, {"name_": name})).one_or_none()
        if row is None:
            await connection.execute(self._add, {"name": name})
            row = (await connection.execute(statement, {"name_": name})).one()
        return _bucket_of(row), row[-1]


_CHANGE = update(rate_limits).where(rate_limits.c.name == bindparam("name_"))


def _bucket_of(row: Any) -> Bucket:
    said = {field: value for field, value in zip(_FIELDS, row, strict=False) if value is not None}
    return Bucket(**said)
