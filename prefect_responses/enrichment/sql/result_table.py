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
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from prefect_responses.enrichment.sinks.columns import USD_DECIMALS
from prefect_responses.enrichment.sinks.kinds import ColumnKind
from prefect_responses.enrichment.sources.table import listed
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Connection
    from sqlalchemy.sql import Executable
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
_KEY_TYPE = Text().with_variant(String(_KEY_LENGTH), "mysql", "mariadb", "mssql", "oracle")

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
    """

    def __init__(self, name: str, columns: ResultColumns) -> None:
        schema, _, self._name = name.rpartition(".")
        self._key = columns.key
        typed = zip(columns.header, columns.kinds, strict=True)
        self._table = Table(
            self._name,
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
        return bool(inspect(connection).has_table(self._name, self._table.schema))

    def _check(self, connection: Connection) -> None:
        found = inspect(connection)
        place: dict[str, Any] = {"table_name": self._name, "schema": self._table.schema}
        there = {column["name"] for column in found.get_columns(**place)}
        if lacking := [name for name in self._table.columns.keys() if name not in there]:  # noqa: SIM118
            raise TableInvalid(
                f"The table {self._name} is there and has no column {listed(lacking)}: add it, or "
                "name a table that is not there yet."
            )
        unique: list[Any] = [found.get_pk_constraint(**place)["constrained_columns"]]
        unique += [index["column_names"] for index in found.get_indexes(**place) if index["unique"]]
        unique += [one["column_names"] for one in found.get_unique_constraints(**place)]
        if not any(set(names) == set(self._key) for names in unique):
            raise TableInvalid(
                f"The table {self._name} is there without a primary key or unique constraint on "
                f"{listed(self._key)}: rows are updated by it, so add one."
            )

    def upsert(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert *rows*, or update those whose key is there, in one transaction."""
        given = [dict(zip(self._places, row, strict=True)) for row in rows]
        try:
            for statement in self._statements(connection.dialect.name):
                connection.execute(statement, given)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

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
