"""A row job: what is asked of every row of a table, and how a row becomes a durable call."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.job_definitions import JobDefinition
from prefect_responses.decisions.policies import InDoubtMode, OnChange
from prefect_responses.enrichment.row_requests import RowRequests
from prefect_responses.enrichment.sinks import ResultColumns
from prefect_responses.enrichment.sources import check_columns, key_columns, keyed_rows
from prefect_responses.errors import RequestInvalid
from prefect_responses.identity import job_scope
from prefect_responses.wire.requests import outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prefect_responses.attempt import Endpoint
    from prefect_responses.enrichment.output_types import OutputType
    from prefect_responses.enrichment.prompts import Prompt
    from prefect_responses.enrichment.rows import Row
    from prefect_responses.enrichment.sources import Source


#: NUL, and halves of characters (lone surrogates), which UTF-8 cannot say.
_UNKEPT = re.compile("[\\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class EnrichJob:
    """Say what to ask of each row of a table.

    Args:
        name: the job's name; a later run under the same name reuses what is finished.
        source: the table.
        key: the column, or columns, that tell rows apart.
        prompt: what is asked of a row.
        output_type: what an answer has to look like.
        model: the model that answers.
        options: further request fields, named as the API names them.
        in_doubt: what to do when a POST may or may not have been accepted.
        on_change: what to do with a row whose request changed since it was asked.
    """

    name: str
    source: Source
    key: str | tuple[str, ...]
    prompt: Prompt
    output_type: OutputType
    model: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    in_doubt: InDoubtMode = InDoubtMode.AUTO
    on_change: OnChange = OnChange.RESUBMIT

    @property
    def scope(self) -> str:
        """Return the scope of its rows in the ledger, the same in every run."""
        return job_scope(self.name)

    def check(self, columns: Iterable[str] = ()) -> None:
        """Check everything that shows before the rows are read.

        Args:
            columns: columns that are needed beside those of the key and the prompt.

        Raises:
            TableInvalid: a column is missing, or a name is taken twice.
            RequestInvalid: the job has no name, or a request could not be sent as it is.
        """
        if not self.name:
            raise RequestInvalid("The job has no name; a later run finds its rows by it.")
        if _UNKEPT.search(self.name):
            raise RequestInvalid(
                "The job's name holds a NUL or half a character: no ledger keeps it."
            )
        needed = (*key_columns(self.key), *self.prompt.columns, *columns)
        check_columns(self.source.columns, needed)
        self.result_columns()
        if self.options.get("stream"):
            raise RequestInvalid("The rows of a job are polled: leave `stream` out.")
        if "input" in self.options:
            raise RequestInvalid("The prompt makes the `input` of each row: leave it out.")
        outgoing(self.example(), key="")

    def example(self) -> dict[str, Any]:
        """Return a request as those of the rows are."""
        return {**self._fixed(), "input": "A row."}

    def result_columns(self) -> ResultColumns:
        """Return the columns of the result table."""
        return ResultColumns.of(key_columns(self.key), self.output_type)

    def rows(self) -> Iterator[Row]:
        """Go through the table's rows."""
        return keyed_rows(self.source, self.key)

    def requests(self, endpoint: Endpoint) -> RowRequests:
        """Return what forms the requests of its rows.

        A change in the prompt's version, the model, the schema or the rendered text is another
        request: its row is submitted again. A column that the prompt does not use changes nothing.
        """
        return RowRequests(self._fixed(), endpoint, self.prompt.version)

    def definition(self, endpoint: Endpoint) -> JobDefinition:
        """Return what is asked, to be compared with what another run asked."""
        return JobDefinition.of(
            template=self.prompt.template,
            version=self.prompt.version,
            instructions=self.prompt.instructions,
            model=self.model,
            schema=self.output_type.format,
            options=self.options,
            endpoint=endpoint,
        )

    def _fixed(self) -> dict[str, Any]:
        options = dict(self.options)
        text_options = {**options.pop("text", {}), "format": self.output_type.format}
        request = {"model": self.model, "text": text_options, **options}
        if self.prompt.instructions is not None:
            request["instructions"] = self.prompt.instructions
        return request
