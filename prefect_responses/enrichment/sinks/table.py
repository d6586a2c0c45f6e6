"""What a sink is to a row job: a table of results that comes to hold one row for each key."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.enrichment.rows import RowResult
    from prefect_responses.enrichment.sinks.columns import ResultColumns


class Sink(Protocol):
    """A table of results with one row for each key.

    A job writes each of its rows once, at every run. A file is replaced as a whole: until `commit`
    nobody sees what was written, and after a kill it is the old one or the new one. A table of a
    database has its rows inserted or updated by key: after a kill some of its rows are new, and
    each is whole. Either way a second run that has the same answers leaves the same table.
    """

    def open(self, columns: ResultColumns) -> None:
        """Begin to write.

        Raises:
            TableInvalid: the place cannot be written.
        """

    def write(self, result: RowResult) -> None:
        """Add one row. No other row has its key: the check of a table refuses keys given twice."""

    def commit(self) -> None:
        """Make all rows seen by others, and durable."""

    def abort(self) -> None:
        """Drop what others do not see yet; nothing happens if nothing is open."""


def check_sink(sink: Sink, columns: ResultColumns) -> None:
    """Open *sink* and let go of it again: what cannot be written is refused before it is paid for.

    Raises:
        TableInvalid: the place cannot be written, or a table that is there does not fit.
    """
    sink.open(columns)
    sink.abort()


@contextmanager
def written(sink: Sink, columns: ResultColumns) -> Iterator[Sink]:
    """Open *sink*, commit it when the block ends well and abort it when it raises."""
    sink.open(columns)
    try:
        yield sink
    except BaseException:
        sink.abort()
        raise
    sink.commit()
