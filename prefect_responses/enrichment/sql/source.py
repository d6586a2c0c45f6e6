"""A query as a table."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import text

from prefect_responses.enrichment.sources.cell_text import cell_text
from prefect_responses.enrichment.sources.checks import check_columns, key_columns
from prefect_responses.enrichment.sources.spool import Spool, SpoolOnce
from prefect_responses.enrichment.sources.table import different
from prefect_responses.enrichment.sql.databases import Database, without_table
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, CursorResult

    from prefect_responses.enrichment.sources.table import Record
    from prefect_responses.enrichment.sql.databases import Session

#: Rows that are fetched at a time.
_AT_A_TIME = 1000


class SqlSource:
    r"""The rows of a query, in the order of the job's key.

    The query runs once in each process, at the first need: its rows go through a server-side
    cursor into a temporary file without a name, and are read from there again and again. So all
    readings see the same rows, no transaction stays open while answers are awaited, and memory
    does not grow with the table. Another process sorts by the same key and finds the same order.

    Values become text as `cell_text` says. Credentials are in no error and no representation.

    Args:
        database: an SQLAlchemy URL, an engine, or what gives one by `get_engine()`, such as
            Prefect's `SqlAlchemyConnector`.
        query: one SELECT; a colon before a name marks a parameter, and `\:` is a colon.
        key: the column, or columns, that tell rows apart: those of the job.
        parameters: values of the query's parameters.

    Raises:
        TableInvalid: the database cannot be told from what was given.
    """

    def __init__(
        self,
        database: Any,
        query: str,
        *,
        key: str | Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._database = Database(database)
        self._query = query.strip().rstrip(";")
        self._key = key_columns(key)
        self._parameters = dict(parameters or {})
        self._spool = SpoolOnce()
        self._names: tuple[str, ...] | None = None
        self._naming = threading.Lock()

    @classmethod
    def of_url(cls, url: str, *, key: str | Sequence[str]) -> Self:
        """Return the source of all columns of the table that *url* names as `?table=NAME`.

        Raises:
            TableInvalid: the URL cannot be read, or names no table.
        """
        parsed, table = without_table(url)
        quote = parsed.get_dialect()().identifier_preparer.quote
        name = ".".join(quote(part) for part in table.split("."))
        query = f"SELECT * FROM {name}"  # noqa: S608 - the name is quoted
        return cls(parsed, query.replace(":", r"\:"), key=key)

    def __repr__(self) -> str:
        return f"SqlSource({self.place!r})"

    @property
    def place(self) -> str:
        """Return the database's URL, without credentials."""
        return self._database.place

    @property
    def columns(self) -> tuple[str, ...]:
        """Ask the database for the names of the query's columns, once.

        Raises:
            TableInvalid: two columns share a name.
            ColumnMissing: the key is not among them.
            TableUnavailable: the database cannot be reached, or refuses the query.
        """
        with self._naming:
            if self._names is None:
                self._database.check_file()
                with self._database.connected() as session:
                    self._names = self._columns(session)
            return self._names

    def __iter__(self) -> Iterator[Record]:
        yield from self._spool.filled(self._fill)

    def _columns(self, session: Session) -> tuple[str, ...]:
        # Of the bare query: databases rename or refuse a name that comes twice in a subquery.
        names = session.run(lambda connection: _names(self._stream(connection, self._query)))
        columns = different(names, "The query")
        check_columns(columns, self._key)
        return columns

    def _fill(self) -> Spool:
        spool = Spool(self.columns)
        with self._database.connected() as session:
            result = session.run(
                lambda connection: self._stream(connection, self._ordered(connection))
            )
            number = 0
            while rows := session.run(lambda _: result.fetchmany(_AT_A_TIME)):
                for row in rows:
                    number += 1
                    spool.add(_texts(number, row))
        spool.finish()
        return spool

    def _ordered(self, connection: Connection) -> str:
        quote = connection.dialect.identifier_preparer.quote
        order = ", ".join(quote(name) for name in self._key).replace(":", r"\:")
        # The line break ends a comment that the query may end with.
        return f"SELECT * FROM ({self._query}\n) AS job_rows ORDER BY {order}"  # noqa: S608 - same

    def _stream(self, connection: Connection, query: str) -> CursorResult[Any]:
        streaming = connection.execution_options(stream_results=True, max_row_buffer=_AT_A_TIME)
        return streaming.execute(text(query), self._parameters)


def _names(result: CursorResult[Any]) -> list[str]:
    if not result.returns_rows:
        raise TableInvalid("The query gives no rows: write a SELECT.")
    names = list(result.keys())
    result.close()
    return names


def _texts(number: int, row: Sequence[Any]) -> list[str]:
    try:
        return [cell_text(value) for value in row]
    except TableInvalid as error:
        raise TableInvalid(f"Row {number} of the query: {error}") from error
