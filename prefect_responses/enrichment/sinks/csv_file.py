"""Results as a CSV file."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from prefect_responses.enrichment.sinks.kinds import json_text
from prefect_responses.enrichment.sinks.whole_files import WholeFileSink

if TYPE_CHECKING:
    import os

    from prefect_responses.enrichment.rows import RowResult
    from prefect_responses.enrichment.sinks.columns import ResultColumns

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class CsvSink(WholeFileSink):
    """A CSV file (RFC 4180, UTF-8), replaced atomically.

    Lists and objects of an answer are written as JSON text, true and false likewise, null as an
    empty field. Text is written as it is: a spreadsheet program may run a field that begins with
    `=`, `+`, `-` or `@` as a formula. Pass `escape_formulas=True` for files that people open in
    one; it puts an apostrophe before such text, keys included.

    While it is written, a hidden file `.NAME.*.partial` lies in the same folder. A killed process
    leaves it there; it may be deleted.

    Args:
        path: the file; a symbolic link is followed.
        delimiter: the character between fields.
        escape_formulas: see above.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, delimiter: str = ",", escape_formulas: bool = False
    ) -> None:
        super().__init__(path)
        self._delimiter = delimiter
        self._escape_formulas = escape_formulas

    def _writer(self, file: BinaryIO, columns: ResultColumns) -> _CsvRows:
        return _CsvRows(file, columns, self._delimiter, escape_formulas=self._escape_formulas)


class _CsvRows:
    def __init__(
        self, file: BinaryIO, columns: ResultColumns, delimiter: str, *, escape_formulas: bool
    ) -> None:
        self._columns = columns
        self._escape_formulas = escape_formulas
        self._text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        self._rows = csv.writer(self._text, delimiter=delimiter)
        self._rows.writerow(columns.header)

    def add(self, result: RowResult) -> None:
        self._rows.writerow([self._field(value) for value in self._columns.values(result)])

    def finish(self) -> None:
        self._text.detach()

    def drop(self) -> None:
        pass

    def _field(self, value: Any) -> str:
        match value:
            case None:
                return ""
            case str():
                is_formula = self._escape_formulas and value.startswith(_FORMULA_STARTS)
                return f"'{value}" if is_formula else value
            case Decimal():
                return format(value, "f")
            case _:
                return json_text(value)
