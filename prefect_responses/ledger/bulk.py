"""Write many rows with one statement, past what SQLAlchemy does for each of them.

It makes a dictionary of parameters for every row and puts each value through its types, which costs
more than the database takes. The values of the ledger's columns are stored as they are.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Delete, Dialect, Insert, Update
    from sqlalchemy.ext.asyncio import AsyncConnection


async def write_rows(
    connection: AsyncConnection,
    statement: Insert | Update | Delete,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Execute *statement* once for each of *rows*, which all give the same names.

    Args:
        connection: with a transaction that is open.
        statement: one of those that are made once a process: it is compiled once, too.
        rows: what its parameters are, by name; of an insert, its columns.
    """
    text, names = _compiled(statement, connection.dialect, tuple(sorted(rows[0])))
    values = itemgetter(*names, names[0])  # one more, for of a single name it makes no tuple
    await connection.exec_driver_sql(text, [values(row)[:-1] for row in rows])


@lru_cache(maxsize=512)
def _compiled(
    statement: Insert | Update | Delete, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """Return a statement's text for the driver, and its parameters in their order."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return str(compiled), tuple(compiled.positiontup or ())
