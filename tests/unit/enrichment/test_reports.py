from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.enrichment.reports import DeadRow, EnrichReport, ShardCounts
from prefect_responses.enrichment.rows import RowOutcome, RowResult

COUNTS = ShardCounts(
    reused=1000,
    adopted=5,
    submitted=20,
    in_doubt=("k1",),
    outcomes={RowOutcome.SCHEMA: 3, RowOutcome.OK: 1021, RowOutcome.IN_DOUBT: 1},
    input_tokens=12345,
    output_tokens=678,
)


def report(**more) -> EnrichReport:
    facts = {"job": "people", "rows": 1025, "seconds": 12.34, "output": "out.csv", **more}
    return EnrichReport.of_counts(COUNTS, **facts)


def test_a_terminal_gets_short_lines() -> None:
    lines = report(examples=[DeadRow(key="7", outcome=RowOutcome.SCHEMA, error="n: no")]).as_lines()
    assert lines == [
        "people: 1,025 rows in 12.3 s",
        "  ok: 1,021",
        "  schema: 3 (kept until `prefect-responses job replay`)",
        "  in_doubt: 1 (see `prefect-responses audit`)",
        "reused 1,000, adopted 5, submitted 20",
        "tokens of all rows: 12,345 in, 678 out",
        "In doubt: k1",
        "  7: schema: n: no",
        "written to out.csv",
    ]


def test_an_artifact_gets_markdown() -> None:
    assert report(job="p_1").as_markdown() == (
        "# p\\_1\n\n"
        "1,025 rows in 12.3 s: reused 1,000, adopted 5, submitted 20. "
        "Tokens of all rows: 12,345 in, 678 out.\n\n"
        "| outcome | rows |\n| --- | --- |\n"
        "| ok | 1,021 |\n| schema | 3 |\n| in_doubt | 1 |\n\n"
        "In doubt: k1\n\n"
        "Written to out\\.csv.\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](https://example.org)",
        "a | b",
        "![](https://example.org/a.png)",
        "`code` *b* _i_ ~s~",
    ],
)
def test_text_from_outside_is_text_in_markdown(text: str) -> None:
    row = DeadRow(key=text, outcome=RowOutcome.REFUSAL, error=text)
    markdown = report(job=text, output=text, examples=[row]).as_markdown()

    assert text not in markdown
    assert text in markdown.replace("\\", "")


@given(st.text(), st.text())
def test_text_from_outside_never_breaks_a_line_or_moves_a_cursor(key: str, error: str) -> None:
    row = DeadRow(key=key, outcome=RowOutcome.REFUSAL, error=error)
    shown = report(job=key, output=error or None, examples=[row])

    assert all(line.isprintable() and len(line) < 300 for line in shown.as_lines())
    table = [line for line in shown.as_markdown().splitlines() if line.startswith("|")]
    assert len(table) == 2 + 3 + 3


def test_long_lists_of_names_are_cut() -> None:
    many = tuple(f"k{n}" for n in range(1010))
    lines = EnrichReport(job="j", rows=1, seconds=0, surplus=many).as_lines()
    assert "Surplus: k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 and 1,000 more" in lines


def test_a_report_survives_json() -> None:
    row = DeadRow(key="7", outcome=RowOutcome.SCHEMA)
    one = report(examples=[row])
    assert EnrichReport.model_validate_json(one.model_dump_json()) == one


RESULTS = st.builds(
    RowResult,
    key=st.text(max_size=3),
    outcome=st.sampled_from(RowOutcome),
    input_tokens=st.none() | st.integers(0, 9),
    output_tokens=st.none() | st.integers(0, 9),
)


@given(st.lists(RESULTS), st.lists(RESULTS))
def test_shards_add_up_to_the_whole(one: list[RowResult], other: list[RowResult]) -> None:
    whole = ShardCounts.of_results([*one, *other])

    assert ShardCounts.of_results(one) + ShardCounts.of_results(other) == whole
    assert sum(whole.outcomes.values()) == len(one) + len(other)
    assert len(whole.in_doubt) == whole.outcomes.get(RowOutcome.IN_DOUBT, 0)


def test_nothing_is_the_zero_of_addition() -> None:
    assert COUNTS + ShardCounts() == ShardCounts() + COUNTS == COUNTS
    assert (COUNTS + COUNTS).submitted == 40
    assert (COUNTS + COUNTS).in_doubt == ("k1", "k1")
