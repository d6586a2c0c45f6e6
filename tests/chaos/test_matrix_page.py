"""The page that tells of the crash matrix: every cell is there, and as promised."""

from __future__ import annotations

import pytest
from matrix_cells import Cell, Found, Mode, Way, cells_of, promise_of
from matrix_page import broken_in, read_between, table_of

from prefect_responses.engine.crash_points import CrashPoint

KILLED = Cell(CrashPoint.AFTER_ID, Mode.STREAM, Way.BOTH_KILLED)


def as_promised(cell):
    promise = promise_of(cell)
    adopted, cancels = max(promise.adopted), max(promise.cancels)
    return Found(promise.posts, cancels, adopted, promise.outcomes, promise.told)


def test_the_page_shows_every_cell_as_promised():
    assert list(broken_in(read_between("kill matrix"))) == []
    assert "all as promised" in read_between("kill matrix")
    assert "| POSTs | 1 |" in read_between("long stream")


def test_a_cell_that_is_not_as_promised_is_found():
    found = {cell: as_promised(cell) for way in Way for cell in cells_of(way)}
    assert list(broken_in(table_of(found))) == []

    found[KILLED] = Found(2, 0, adopted=False, outcomes=("completed",), told=("completed",))
    assert list(broken_in(table_of(found))) == [f"after_id, stream, {Way.BOTH_KILLED}"]
    del found[KILLED]
    assert list(broken_in(table_of(found))) == [f"after_id, stream, {Way.BOTH_KILLED}"]


@pytest.mark.parametrize(
    ("count", "broken"),
    [
        ({"posts": 2}, "POSTs"),
        ({"cancels": 1}, "cancels"),
        ({"adopted": False}, "adoption"),
        ({"outcomes": ("abandoned", "completed")}, "outcomes"),
        ({"told": ("completed", "completed")}, "told"),
    ],
)
def test_each_count_is_held_to_its_promise(count, broken):
    facts = {"posts": 1, "cancels": 0, "adopted": True, "outcomes": ("completed",)}
    found = Found(**{**facts, "told": ("completed",), **count})

    assert promise_of(KILLED).breaches(found) == [broken]
