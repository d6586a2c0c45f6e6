"""A data frame as a table, whoever made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_responses.enrichment.extras import needed
from prefect_responses.enrichment.sources.cell_text import cell_text
from prefect_responses.enrichment.sources.table import Record, different, listed
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How frames that are not ours to import are told from other things.
_FRAME_SIGNS = ("__dataframe__", "__arrow_c_stream__", "__narwhals_dataframe__", "collect_schema")


def is_frame(value: object) -> bool:
    """Say whether *value* looks like a data frame, without importing anything."""
    return any(hasattr(value, sign) for sign in _FRAME_SIGNS)


class FrameSource:
    """A frame of pandas or Polars, or a pyarrow table; it needs the extra `dataframes`.

    Rows are taken in the frame's order; an index of pandas' is no column. Values become text as
    `cell_text` says, so a whole number in a float column is `1.0`. The frame may not change while
    a job reads it.

    Args:
        frame: the frame; a lazy one is collected by its owner first.

    Raises:
        TableInvalid: narwhals is not installed, or it does not know such a frame.
    """

    def __init__(self, frame: Any) -> None:
        narwhals = needed("narwhals", extra="dataframes", what="A data frame")
        self._kind = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__name__}"
        # Narwhals refuses a column that is named twice in words of its own.
        self._names = _names(frame) if hasattr(frame, "shape") else ()
        try:
            self._frame = narwhals.from_native(frame, eager_only=True)
        except (TypeError, ValueError, narwhals.exceptions.NarwhalsError) as error:
            raise TableInvalid(
                f"A {self._kind} cannot be read as a frame; a lazy one has to be collected first."
            ) from error

    def __repr__(self) -> str:
        return f"FrameSource({self._kind})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self._names

    def __iter__(self) -> Iterator[Record]:
        for number, values in enumerate(self._frame.iter_rows(), start=1):
            try:
                texts = [cell_text(value) for value in values]
            except TableInvalid as error:
                raise TableInvalid(f"Row {number}: {error}") from error
            yield Record(number, dict(zip(self._names, texts, strict=True)))


def _names(frame: Any) -> tuple[str, ...]:
    names = tuple(getattr(frame, "column_names", None) or frame.columns)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise TableInvalid(f"The frame has a column {listed(odd)}, which is no text: rename it.")
    return different(names, "The frame")
