"""How far a job is, in numbers and words."""

from __future__ import annotations

import pytest

from prefect_responses.engine.in_flight import InFlight
from prefect_responses.enrichment.reports import ShardCounts
from prefect_responses.enrichment.rows import RowOutcome, RowResult
from prefect_responses.host.live_progress import as_markdown
from prefect_responses.host.progress import ProgressNow, RowProgress

NOW = ProgressNow(
    total=1000,
    outcomes={RowOutcome.OK: 190, RowOutcome.SCHEMA: 10},
    in_flight=7,
    cost=2_500_000_000,
    seconds=20.0,
    own=200,
)


def test_what_a_line_says():
    assert NOW.words() == "190 ok, 10 dead, 7 in flight, 10.0 rows/s, 1 min 20 s left, 2.50 USD"
    assert NOW.percent == 20.0


def test_what_the_table_says():
    lines = as_markdown(NOW).splitlines()

    assert "| rows ended | 200 of 1,000 |" in lines
    assert "| schema | 10 |" in lines
    assert "| time left | 1 min 20 s |" in lines


@pytest.mark.parametrize(("total", "seconds"), [(0, 0.0), (10, 0.1)])
def test_nothing_is_guessed_at_the_beginning(total, seconds):
    now = ProgressNow(total, {}, 0, 0, seconds, 0)

    assert (now.rate, now.seconds_left) == (0.0, None)
    assert now.percent == (0.0 if total else 100.0)
    assert "left" not in now.words()


def test_rows_of_other_runs_count():
    progress = RowProgress("reviews", 10, InFlight(5))
    progress.row_ended(RowResult("a", RowOutcome.OK, cost=3))
    progress.row_ended(RowResult("b", RowOutcome.FAILED))
    progress.others_ended(ShardCounts(outcomes={RowOutcome.OK: 4}, cost=10))

    now = progress.now()

    assert (now.ended, now.own, now.dead, now.cost) == (6, 2, 1, 13)
