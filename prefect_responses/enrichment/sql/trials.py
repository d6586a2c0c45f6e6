"""Rows that are written to a table of results for trial, and rolled back.

The types, collations and constraints of databases are too many to be judged by their names. So
before anything is paid for, rows of every kind that a job writes have to come back as they were.
"""

from __future__ import annotations

import reprlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from prefect_responses.enrichment.rows import RowOutcome, RowResult, row_key
from prefect_responses.enrichment.sinks.kinds import ColumnKind
from prefect_responses.enrichment.sources.table import listed
from prefect_responses.enrichment.sql.databases import breaks_a_rule
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from prefect_responses.enrichment.sinks.columns import ResultColumns
    from prefect_responses.enrichment.sql.result_table import ResultTable

    Rows = Sequence[Sequence[Any]]

#: Keys that are made of one text and that a number, a case, an accent or a space may make equal.
_ALIKE = ("{}", "0{}", "{}.0", "{}a", "{}A", "{}a ", "{}ä", "{}a\u0308")
#: Characters that a key may have everywhere.
_KEY_LENGTH = 255
#: Text that a column with a limit, or of few characters, does not hold.
_LONG = "😀".ljust(10_000, "x")

_SMALL: Mapping[ColumnKind, Any] = {
    ColumnKind.INTEGER: -(2**63),
    ColumnKind.NUMBER: 0.1,
    ColumnKind.BOOLEAN: False,
    ColumnKind.TEXT: "007",
    ColumnKind.JSON: 7,
}
_LARGE: Mapping[ColumnKind, Any] = {
    ColumnKind.INTEGER: 2**63 - 1,
    ColumnKind.NUMBER: 1e300,
    ColumnKind.BOOLEAN: True,
    ColumnKind.TEXT: _LONG,
    ColumnKind.JSON: [_LONG],
}
#: More tokens than a request has, and a cost with all its decimals.
_TOKENS, _COST = 2**31 - 1, 1_234_567_891


def try_out(connection: Connection, table: ResultTable, columns: ResultColumns) -> None:
    """Write rows such as a job writes to *table*, read them, and roll back.

    Their keys are random, so no row that is there is touched. Rows that a rule of the user's own
    refuses (a CHECK, a foreign key, a trigger) say nothing: answers may obey it.

    Raises:
        TableInvalid: rows came back changed, or were not rolled back.
        SQLAlchemyError: the database refused rows.
    """
    for results in _trials(columns):
        rows = [columns.typed_values(result) for result in results]
        try:
            found = _written(connection, table, rows)
        finally:
            _roll_back(connection, table, rows)
        if found is not None:
            _compare(table, columns, rows, found)


def _trials(columns: ResultColumns) -> Iterator[list[RowResult]]:
    """Yield rows that have to fit together: keys that are alike, then answers of each size."""
    keys = list(_keys(len(columns.key)))
    dead = max(RowOutcome, key=len)
    yield [RowResult(key, dead, error=_LONG) for key in keys]
    for values in (_SMALL, _LARGE):
        yield [_answered(columns, keys[0], values)]
    # Two rows may have the same answer.
    yield [_answered(columns, key, _SMALL) for key in keys[:2]]


def _keys(columns: int) -> Iterator[str]:
    stem = str(uuid4().int)[:12]
    texts = [*(text.format(stem) for text in _ALIKE), stem.ljust(_KEY_LENGTH, "k")]
    yield row_key([stem] * columns)
    for place in range(columns):
        for text in texts[1:]:
            yield row_key([text if place == other else stem for other in range(columns)])


def _answered(columns: ResultColumns, key: str, values: Mapping[ColumnKind, Any]) -> RowResult:
    kinds = columns.kinds[len(columns.key) :]
    answer = {name: values[kind] for name, kind in zip(columns.answer, kinds, strict=False)}
    id_ = f"resp_{uuid4().hex}{uuid4().hex}"
    return RowResult(key, RowOutcome.OK, answer, id_, _TOKENS, _TOKENS, "None.", _COST)


def _written(connection: Connection, table: ResultTable, rows: Rows) -> Rows | None:
    """Write *rows* and return them as they are there; None if a rule of the user's refused them."""
    try:
        table.put(connection, rows)
        return table.find(connection, rows)
    except SQLAlchemyError as error:
        if breaks_a_rule(error):
            return None
        raise


def _roll_back(connection: Connection, table: ResultTable, rows: Rows) -> None:
    connection.rollback()
    left = table.find(connection, rows)
    if left:
        table.remove(connection, rows)
    connection.commit()
    if left:
        raise TableInvalid(
            f"The table {table.name} keeps what was rolled back: give an engine without "
            "AUTOCOMMIT, and a table that takes part in transactions."
        )


def _compare(table: ResultTable, columns: ResultColumns, rows: Rows, found: Rows) -> None:
    width = len(columns.key)
    there = {tuple(row[:width]): row for row in found}
    for row in rows:
        if (got := there.get(tuple(row[:width]))) is None:
            raise TableInvalid(
                f"The table {table.name} does not tell keys apart as texts (7, 007 and 7.0, or a "
                f"and A): make {listed(columns.key)} a text column that is compared exactly."
            )
        for name, given, back in zip(columns.header, row, got, strict=True):
            if not _is_same(given, back):
                raise TableInvalid(
                    f"The table {table.name} does not hold every answer: its column {name!r} "
                    f"makes {reprlib.repr(back)} of {reprlib.repr(given)}. Give it a wider type."
                )


def _is_same(given: Any, back: Any) -> bool:
    if isinstance(given, float | Decimal) and isinstance(back, float | Decimal):
        return float(given) == float(back)
    return bool(given == back)
