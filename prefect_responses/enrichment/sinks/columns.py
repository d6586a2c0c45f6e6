"""The columns of a table of results, and the values of a row in them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from prefect_responses.enrichment.rows import RowResult, key_values
from prefect_responses.enrichment.sinks.kinds import ColumnKind, Unfit, column_kinds, typed_value
from prefect_responses.errors import TableInvalid

if TYPE_CHECKING:
    from prefect_responses.enrichment.output_types import OutputType

_RECORD = {
    "status": ColumnKind.TEXT,
    "response_id": ColumnKind.TEXT,
    "input_tokens": ColumnKind.INTEGER,
    "output_tokens": ColumnKind.INTEGER,
    "cost_usd": ColumnKind.USD,
    "error": ColumnKind.TEXT,
}

#: What every table of results says of a row beside its answer.
RECORD_COLUMNS = tuple(_RECORD)

#: Decimals of a cost: it is counted in billionths of a USD.
USD_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """The columns of a table of results: the key, then the answer, then `RECORD_COLUMNS`.

    Args:
        key: the key columns, as in the source.
        answer: the columns of the output type.
        answer_kinds: what each of these holds in a typed table; JSON text if none is said.

    Raises:
        TableInvalid: two columns would share a name.
    """

    key: tuple[str, ...]
    answer: tuple[str, ...]
    answer_kinds: tuple[ColumnKind, ...] = ()

    def __post_init__(self) -> None:
        if twice := {name for name in self.header if self.header.count(name) > 1}:
            raise TableInvalid(
                f"The results would have more than one column {', '.join(sorted(twice))}: rename "
                "the field of the output type, or give it an alias."
            )

    @classmethod
    def of(cls, key: tuple[str, ...], output_type: OutputType) -> Self:
        """Return the columns for answers of *output_type*, each of the kind that its schema says.

        Raises:
            TableInvalid: two columns would share a name.
        """
        return cls(key, output_type.columns, column_kinds(output_type.format["schema"]))

    @property
    def header(self) -> tuple[str, ...]:
        """Return all names, in order."""
        return (*self.key, *self.answer, *RECORD_COLUMNS)

    @property
    def kinds(self) -> tuple[ColumnKind, ...]:
        """Return what each column holds in a typed table, in the order of `header`."""
        answer = self.answer_kinds or (ColumnKind.JSON,) * len(self.answer)
        return (*(ColumnKind.TEXT for _ in self.key), *answer, *_RECORD.values())

    def values(self, result: RowResult) -> tuple[Any, ...]:
        """Return the values of *result* as JSON types, in the order of `header`.

        The cost is a `Decimal` of USD.
        """
        answer = result.parsed or {}
        return (
            *key_values(result.key, len(self.key)),
            *(answer.get(name) for name in self.answer),
            str(result.outcome),
            result.response_id,
            result.input_tokens,
            result.output_tokens,
            None if result.cost is None else _usd(result.cost),
            result.error,
        )

    def typed_values(self, result: RowResult) -> list[Any]:
        """Return the values of *result*, each of its column's kind or None.

        A value that its column cannot hold, such as a whole number of a hundred digits, is left
        out, and the error of the row says so.
        """
        typed, unfit = list[Any](), list[str]()
        for name, kind, value in zip(self.header, self.kinds, self.values(result), strict=True):
            try:
                typed.append(typed_value(kind, value))
            except Unfit:
                typed.append(None)
                unfit.append(f"The value of {name} does not fit its column.")
        if unfit:
            typed[-1] = " ".join(filter(None, (typed[-1], *unfit)))
        return typed


def _usd(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-USD_DECIMALS).normalize()
