"""Tables of results, written and read in every format, as a measured process does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measuring import Cost, main, measured
from pydantic import BaseModel

from prefect_responses.decisions.row_outcomes import RowOutcome
from prefect_responses.enrichment.output_types import OutputType
from prefect_responses.enrichment.rows import RowResult
from prefect_responses.enrichment.sinks import ResultColumns, open_sink, written
from prefect_responses.enrichment.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator


class Said(BaseModel):
    """What an answer says."""

    text: str
    number: int


def write(*, address: str, rows: int) -> Cost:
    """Write *rows* results to a sink."""
    cost, columns = Cost(), ResultColumns.of(("key",), OutputType(Said))
    with measured(cost), written(open_sink(address), columns) as out:
        for result in _results(rows):
            out.write(result)
    cost.facts["answered"] = rows
    return cost


def _results(rows: int) -> Iterator[RowResult]:
    for number in range(rows):
        said = {"text": f"{number} {'text ' * 60}", "number": number}
        yield RowResult(f"k{number}", RowOutcome.OK, said, f"resp_{number}", 100, 20)


def read(*, address: str, rows: int) -> Cost:
    """Go through the *rows* rows of a source, and keep nothing of them."""
    cost = Cost()
    with measured(cost):
        cost.facts["answered"] = sum(1 for _ in open_source(address, "key"))
    if cost.facts["answered"] != rows:
        raise ValueError(f"{cost.facts['answered']} of {rows} rows were read.")
    return cost


if __name__ == "__main__":
    main({"write": write, "read": read})
