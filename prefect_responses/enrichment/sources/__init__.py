"""Where the rows come from: tables that can be read again and again, one row at a time.

A table is checked in one pass before anything is sent, and read again while the job runs.
"""

from __future__ import annotations

from prefect_responses.enrichment.sources.cell_text import cell_text
from prefect_responses.enrichment.sources.checks import (
    TableCheck,
    check_columns,
    check_table,
    key_columns,
    keyed_rows,
)
from prefect_responses.enrichment.sources.csv_file import CsvSource
from prefect_responses.enrichment.sources.frames import FrameSource
from prefect_responses.enrichment.sources.jsonl_file import JsonlSource
from prefect_responses.enrichment.sources.mappings import AsyncMappingSource, MappingSource
from prefect_responses.enrichment.sources.opening import aopen_source, open_source
from prefect_responses.enrichment.sources.parquet_file import ParquetSource
from prefect_responses.enrichment.sources.table import Record, Source

__all__ = [
    "AsyncMappingSource",
    "CsvSource",
    "FrameSource",
    "JsonlSource",
    "MappingSource",
    "ParquetSource",
    "Record",
    "Source",
    "TableCheck",
    "aopen_source",
    "cell_text",
    "check_columns",
    "check_table",
    "key_columns",
    "keyed_rows",
    "open_source",
]
