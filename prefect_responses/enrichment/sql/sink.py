"""A table of a database for the results."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from prefect_responses.enrichment.sql.databases import Database, without_table
from prefect_responses.enrichment.sql.result_table import ResultTable
from prefect_responses.enrichment.sql.trials import try_out

if TYPE_CHECKING:
    from prefect_responses.enrichment.rows import RowResult
    from prefect_responses.enrichment.sinks.columns import ResultColumns
    from prefect_responses.enrichment.sql.databases import Session

#: Rows of one transaction.
_BATCH = 500
_TRIED = (
    "This was a row for trial: the table has to take whatever a job may write, or name one that is "
    "not there yet."
)


class SqlSink:
    """A table of a database: each row is inserted, or updated where its key is there already.

    The table is made if it is not there, with the key as its primary key. Columns have the types
    of the output type's schema: integers, floats, booleans, text, and JSON text for what is nested
    or of several types. A value that does not fit is null, and `error` says so. `cost_usd` is an
    exact number where the database has such. If the table is there, its columns have to hold all
    that these hold, as they hold it: rows are written for trial and rolled back at each opening.

    Rows are written in batches, each one transaction: after a kill some rows are new, and each is
    whole. A second run with the same answers changes nothing. Rows whose key has vanished from the
    source stay.

    Args:
        database: an SQLAlchemy URL, an engine, or what gives one by `get_engine()`, such as
            Prefect's `SqlAlchemyConnector`.
        table: its name, as `schema.name` if it is in a schema.

    Raises:
        TableInvalid: the database cannot be told from what was given.
    """

    def __init__(self, database: Any, table: str) -> None:
        self._database = Database(database)
        self._table = table
        self._open: _Open | None = None

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Return the sink of the table that *url* names as `?table=NAME`.

        Raises:
            TableInvalid: the URL cannot be read, or names no table.
        """
        return cls(*without_table(url))

    def __repr__(self) -> str:
        return f"SqlSink({self.place!r})"

    @property
    def place(self) -> str:
        """Return where the results lie, without credentials."""
        return f"{self._database.place}?table={self._table}"

    def open(self, columns: ResultColumns) -> None:
        """Connect, make the table if it is not there, and try whether it holds a job's rows.

        Raises:
            TableInvalid: the table lacks columns, its key is not unique, or it does not take or
                hold what a job writes.
            TableUnavailable: the database cannot be reached, or refuses to make the table.
            RuntimeError: the sink is open already.
        """
        if self._open is not None:
            raise RuntimeError(f"{self!r} is open already.")
        with ExitStack() as stack:
            session = stack.enter_context(self._database.connected())
            table = ResultTable(self._table, columns)
            session.run(table.make)
            with self._database.translated(refuses=True, hint=_TRIED):
                session.run(lambda connection: try_out(connection, table, columns))
            self._open = _Open(session, table, columns, stack.pop_all())

    def write(self, result: RowResult) -> None:
        """Add one row; a full batch is committed.

        Raises:
            ResultRefused: a constraint of the table refuses a row of the batch.
            TableUnavailable: the database did not take the batch.
            RuntimeError: the sink is not open.
        """
        opened = self._opened()
        opened.rows.append(opened.columns.typed_values(result))
        if len(opened.rows) >= _BATCH:
            self._write_batch(opened)

    def commit(self) -> None:
        """Commit the last batch and disconnect.

        Raises:
            ResultRefused: a constraint of the table refuses a row of the batch.
            TableUnavailable: the database did not take the batch.
            RuntimeError: the sink is not open.
        """
        opened = self._opened()
        try:
            self._write_batch(opened)
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the rows that are not committed and disconnect; nothing happens if not open."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.stack.close()

    def _write_batch(self, opened: _Open) -> None:
        rows, opened.rows = opened.rows, []
        if rows:
            with self._database.translated():
                opened.session.run(lambda connection: opened.table.upsert(connection, rows))

    def _opened(self) -> _Open:
        if self._open is None:
            raise RuntimeError(f"{self!r} is not open.")
        return self._open


class _Open:
    def __init__(
        self, session: Session, table: ResultTable, columns: ResultColumns, stack: ExitStack
    ) -> None:
        self.session = session
        self.table = table
        self.columns = columns
        self.stack = stack
        self.rows: list[list[Any]] = []
