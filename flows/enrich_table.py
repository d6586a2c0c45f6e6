"""Enrich every row of a table, with everything that it is about given in the form of a deployment.

What the form begins with is an example: a table of Python modules, of which a summary, a category,
keywords and a warning are asked.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import BaseModel, Field, Json, PositiveFloat, PositiveInt

from prefect_responses import Budget, EnrichReport, enrich
from prefect_responses.decisions.budgets import BudgetPeriod
from prefect_responses.decisions.row_selection import Select

PROMPT = "Describe the Python module {module} from its documentation.\n---\n{docstring}"


class ModuleFacts(BaseModel):
    """What is asked of each module."""

    summary: str = Field(description="What the module does, in one or two sentences.")
    category: Literal[
        "text processing",
        "data types",
        "numbers and mathematics",
        "files and storage",
        "networking and internet",
        "concurrency and processes",
        "operating system",
        "language and imports",
        "testing and debugging",
        "user interfaces and media",
        "other",
    ] = Field(description="What the module is for.")
    keywords: list[str] = Field(description="The words that matter most, at most five.")
    mentions_deprecation: bool = Field(description="The documentation mentions a deprecation.")


#: Without `$ref`, in which Prefect looks for a block, in a default value too.
SCHEMA = ModuleFacts.model_json_schema()

Schema = dict[str, Any] | Json[dict[str, Any]]
Text = Annotated[str, Field(min_length=1)]


@flow(name="enrich-table", persist_result=True, result_serializer="json")
def enrich_table(  # noqa: PLR0913 - each is one field of the form
    *,
    table: Text,
    output: Text,
    model: Text,
    job: Text = "python-modules",
    key: Text = "module",
    prompt: Text = PROMPT,
    answer_schema: Schema = SCHEMA,
    options: dict[str, Any] | None = None,
    select: Select = Select.DUE,
    sample: PositiveInt | None = None,
    dry_run: bool = False,
    prices: str | None = None,
    max_usd: PositiveFloat | None = None,
    max_tokens: PositiveInt | None = None,
    budget_per: BudgetPeriod = BudgetPeriod.JOB,
    max_in_flight: PositiveInt = 200,
) -> EnrichReport:
    """Ask a model about every row of a table, and pay for each row once.

    Run it again under the same job to go on after a crash, or for new and changed rows.

    Args:
        table: The rows: a file (.csv, .jsonl, .parquet) that the worker can read, or a database
            URL with ?table=NAME.
        output: Where the results go: a file, or a database URL with ?table=NAME.
        model: The model that answers.
        job: The name by which a later run finds what this one paid for.
        key: The column that tells rows apart.
        prompt: What is asked of each row, with {column} where the row's value goes.
        answer_schema: The JSON schema of an answer; its properties are columns of the results. One
            with $ref in it has to be given as text (str): Prefect takes a $ref for a block.
        options: Further fields of each request, such as {"max_output_tokens": 400}.
        select: due asks new, changed and unfinished rows; failed only rows without a usable
            answer; force asks every row again.
        sample: Ask only so many rows, drawn at random, and tell what the others would take.
        dry_run: Tell what would be done, and send nothing.
        prices: The path of a price list (TOML), so that costs are known.
        max_usd: Stop before more than this is spent, in USD; it needs prices.
        max_tokens: Stop before more than this is read and written, in tokens.
        budget_per: What max_usd and max_tokens are for: this run, a day (UTC) or the job so far.
        max_in_flight: Responses under way at once.
    """
    has_budget = max_usd is not None or max_tokens is not None
    return enrich(
        job=job,
        rows=table,
        key=key,
        prompt=prompt,
        output_type=answer_schema,
        model=model,
        sink=output,
        options=options,
        select=select,
        sample=sample,
        dry_run=dry_run,
        prices=prices,
        budget=Budget(max_usd, max_tokens, budget_per) if has_budget else None,
        max_in_flight=max_in_flight,
    )
