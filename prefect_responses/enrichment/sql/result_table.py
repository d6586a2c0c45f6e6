"""The statements of a table of results: make it, look whether it fits, write rows by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    insert,
    inspect,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import NullType

from prefect_responses.enrichment.sinks.columns import USD_DECIMALS
from prefect_responses.enrichment.sinks.kinds import ColumnKind
from prefect_responses.enrichment.sources.table import listed
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Inspector
    from sqlalchemy.sql import ColumnElement, Executable
    from sqlalchemy.types import TypeEngine

    from prefect_responses.enrichment.sinks.columns import ResultColumns

_USD_DIGITS = 18
#: Characters of a key column where a primary key needs a limit.
_KEY_LENGTH = 255

_TYPES: Mapping[ColumnKind, TypeEngine[Any]] = {
    ColumnKind.INTEGER: BigInteger(),
    ColumnKind.NUMBER: Double(),
    ColumnKind.BOOLEAN: Boolean(),
    ColumnKind.TEXT: Text(),
    ColumnKind.JSON: Text(),
    ColumnKind.USD: Numeric(_USD_DIGITS, USD_DECIMALS, asdecimal=False),
}
_KEY_TYPE = (
    Text()
    .with_variant(String(_KEY_LENGTH), "mssql", "oracle")
    # Their own collations take a for A.
    .with_variant(String(_KEY_LENGTH, collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(String(_KEY_LENGTH, collation="utf8mb4_nopad_bin"), "mariadb")
)

#: Databases whose INSERT can update the row that is there.
_UPSERTS: Mapping[str, Callable[[Table], Any]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}


class ResultTable:
    """A table that has the columns of a job's results.

    Args:
        name: its name, as `schema.name` if it is in a schema.
        columns: the columns.

    Attributes:
        name: its name without the schema.
    """

    def __init__(self, name: str, columns: ResultColumns) -> None:
        schema, _, self.name = name.rpartition(".")
        self._key = columns.key
        typed = zip(columns.header, columns.kinds, strict=True)
        self._table = Table(
            self.name,
            MetaData(schema=schema or None),
            *(self._column(column, kind) for column, kind in typed),
        )
        # Rows are given by place: a column may have any name, a parameter may not.
        self._places = [f"v{place}" for place, _ in enumerate(columns.header)]

    def _column(self, name: str, kind: ColumnKind) -> Column[Any]:
        is_key = name in self._key
        return Column(name, _KEY_TYPE if is_key else _TYPES[kind], primary_key=is_key, key=name)

    def make(self, connection: Connection) -> None:
        """Make the table if it is not there, and commit.

        Raises:
            TableInvalid: it is there and lacks columns, or its key is not unique.
        """
        if not self._is_there(connection):
            try:
                self._table.create(connection)
                connection.commit()
            except SQLAlchemyError:
                # Another process may have made it in between.
                connection.rollback()
                if not self._is_there(connection):
                    raise
        self._check(connection)
        connection.rollback()

    def _is_there(self, connection: Connection) -> bool:
        return bool(inspect(connection).has_table(self.name, self._table.schema))

    def _check(self, connection: Connection) -> None:
        found = inspect(connection)
        place: dict[str, Any] = {"table_name": self.name, "schema": self._table.schema}
        there = {column["name"]: column["type"] for column in found.get_columns(**place)}
        if lacking := [name for name in self._table.columns.keys() if name not in there]:  # noqa: SIM118
            raise TableInvalid(
                f"The table {self.name} is there and has no column {listed(lacking)}: add it, or "
                "name a table that is not there yet."
            )
        # A column of SQLite may have no type, and then keeps what it is given.
        if other := [name for name in self._key if not isinstance(there[name], String | NullType)]:
            raise TableInvalid(
                f"The table {self.name} is there and its column {listed(other)} is no text: keys "
                "are texts (7 and 007 are two), so make it TEXT."
            )
        if not any(set(names) == set(self._key) for names in _unique(found, place)):
            raise TableInvalid(
                f"The table {self.name} is there without a primary key or unique constraint on "
                f"{listed(self._key)}: rows are updated by it, so add one."
            )

    def upsert(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert *rows*, or update those whose key is there, in one transaction."""
        try:
            self.put(connection, rows)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def put(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert or update *rows* in a transaction that the caller ends."""
        given = [dict(zip(self._places, row, strict=True)) for row in rows]
        for statement in self._statements(connection.dialect.name):
            connection.execute(statement, given)

    def find(
        self, connection: Connection, rows: Sequence[Sequence[Any]]
    ) -> Sequence[Sequence[Any]]:
        """Return what is there under the keys of *rows*, as the driver reads it."""
        raw = [type_coerce(column, NullType()) for column in self._table.columns]
        return connection.execute(select(*raw).where(self._is_one_of(rows))).all()

    def remove(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Delete what is there under the keys of *rows*."""
        connection.execute(delete(self._table).where(self._is_one_of(rows)))

    def _is_one_of(self, rows: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
        key = list(self._table.primary_key)
        return or_(
            *(and_(*(one == value for one, value in zip(key, row, strict=False))) for row in rows)
        )

    def _statements(self, dialect: str) -> Sequence[Executable]:
        columns = list(self._table.columns)
        values = {
            column: bindparam(place, type_=column.type)
            for column, place in zip(columns, self._places, strict=True)
        }
        if dialect not in _UPSERTS:
            same_key = and_(*(column == values[column] for column in self._table.primary_key))
            return (delete(self._table).where(same_key), insert(self._table).values(values))
        insertion = _UPSERTS[dialect](self._table).values(values)
        others = [column for column in columns if not column.primary_key]
        new = insertion.excluded
        # A row that is as it should be is not touched: no new version of it, no trigger.
        differs = or_(*(column.is_distinct_from(new[column.name]) for column in others))
        return (
            insertion.on_conflict_do_update(
                index_elements=list(self._key),
                set_={column.name: new[column.name] for column in others},
                where=differs,
            ),
        )


def _unique(found: Inspector, place: Mapping[str, Any]) -> Iterator[Sequence[str | None]]:
    """Yield the columns of each constraint and index that keeps all rows of a table apart."""
    yield found.get_pk_constraint(**place)["constrained_columns"]
    yield from (one["column_names"] for one in found.get_unique_constraints(**place))
    # Last, and only at need: SQLAlchemy warns of indexes on expressions.
    for index in found.get_indexes(**place):
        options = index.get("dialect_options", {})
        if index["unique"] and not any(name.endswith("_where") for name in options):
            yield index["column_names"]
