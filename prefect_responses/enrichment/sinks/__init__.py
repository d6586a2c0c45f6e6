"""Where the results go: a table with one row for each key, each row whole or not there at all."""

from __future__ import annotations

from prefect_responses.enrichment.places import place_of
from prefect_responses.enrichment.sinks.columns import RECORD_COLUMNS, ResultColumns
from prefect_responses.enrichment.sinks.csv_file import CsvSink
from prefect_responses.enrichment.sinks.jsonl_file import JsonlSink
from prefect_responses.enrichment.sinks.kinds import ColumnKind
from prefect_responses.enrichment.sinks.opening import open_sink
from prefect_responses.enrichment.sinks.parquet_file import ParquetSink
from prefect_responses.enrichment.sinks.table import Sink, check_sink, written
from prefect_responses.enrichment.sinks.whole_files import WholeFileSink

__all__ = [
    "RECORD_COLUMNS",
    "ColumnKind",
    "CsvSink",
    "JsonlSink",
    "ParquetSink",
    "ResultColumns",
    "Sink",
    "WholeFileSink",
    "check_sink",
    "open_sink",
    "place_of",
    "written",
]
