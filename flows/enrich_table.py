"""Enrich every row of a table of Python modules: a summary, a category, keywords, a warning."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from prefect import flow
from pydantic import BaseModel, Field

from prefect_responses import EnrichReport, Prompt, enrich

PROMPT = Prompt(
    "Describe the Python module {module} from its documentation.\n---\n{docstring}", version="1"
)


class Category(StrEnum):
    """What a module is for."""

    TEXT = "text processing"
    DATA = "data types"
    NUMBERS = "numbers and mathematics"
    FILES = "files and storage"
    NETWORK = "networking and internet"
    CONCURRENCY = "concurrency and processes"
    SYSTEM = "operating system"
    LANGUAGE = "language and imports"
    TESTING = "testing and debugging"
    MEDIA = "user interfaces and media"
    OTHER = "other"


class ModuleFacts(BaseModel):
    """What is asked of each module."""

    summary: str = Field(description="What the module does, in one or two sentences.")
    category: Category = Field(description="What the module is for.")
    keywords: list[str] = Field(description="The words that matter most, at most five.")
    mentions_deprecation: bool = Field(description="The documentation mentions a deprecation.")


@flow(name="enrich-table", persist_result=True, result_serializer="json")
def enrich_table(
    table: Path,
    output: Path,
    model: str,
    job: str = "python-modules",
    max_in_flight: int = 200,
) -> EnrichReport:
    """Enrich the modules in *table* and write the results to *output*.

    Args:
        table: a CSV file with the columns `module` and `docstring`.
        output: the CSV file to write.
        model: the model that answers.
        job: the name by which a later run finds what this one paid for.
        max_in_flight: responses under way at once.
    """
    return enrich(
        job=job,
        rows=table,
        key="module",
        prompt=PROMPT,
        output_type=ModuleFacts,
        model=model,
        sink=output,
        max_in_flight=max_in_flight,
    )
