"""What a job tells people when it ends, and the counts that its shards add up to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

from prefect_responses.engine.report_text import escape, escaped, markdown_table, plain
from prefect_responses.enrichment.plans import JobPlan
from prefect_responses.enrichment.rows import REPLAY_RULES, ReplayRule, RowOutcome
from prefect_responses.enrichment.samples import Preview, usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prefect_responses.enrichment.rows import RowResult

_SHOWN_NAMES = 10
_LONGEST_REASON = 400


class ShardCounts(BaseModel):
    """What became of the rows of one shard: counts and names, never bodies. Shards add up.

    Attributes:
        reused: rows that were answered before this run.
        adopted: rows that an earlier process had in flight.
        submitted: POSTs that this run made and the API accepted.
        by_others: rows that others answered while this run went on.
        in_doubt: keys of rows that may have been accepted.
        abandoned: keys of rows that were in doubt and given up.
        surplus: keys of rows that were accepted twice; the later response was cancelled.
        superseded: keys of rows that changed while their response was in flight; it was cancelled.
        over_budget: keys of rows that alone may take more than a whole budget; they were not sent.
        outcomes: how many rows ended how.
        input_tokens: tokens read.
        output_tokens: tokens written.
        cost: nano-USD of the rows whose cost is known.
    """

    model_config = ConfigDict(frozen=True)

    reused: NonNegativeInt = 0
    adopted: NonNegativeInt = 0
    submitted: NonNegativeInt = 0
    by_others: NonNegativeInt = 0
    in_doubt: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    over_budget: tuple[str, ...] = ()
    outcomes: dict[RowOutcome, NonNegativeInt] = {}
    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    cost: NonNegativeInt = 0

    @classmethod
    def of_results(cls, results: Iterable[RowResult]) -> ShardCounts:
        """Count *results*: outcomes, tokens, and the names of those in doubt or abandoned."""
        outcomes: Counter[RowOutcome] = Counter()
        named: dict[RowOutcome, list[str]] = {RowOutcome.IN_DOUBT: [], RowOutcome.ABANDONED: []}
        tokens_in = tokens_out = cost = 0
        for result in results:
            outcomes[result.outcome] += 1
            tokens_in += result.input_tokens or 0
            tokens_out += result.output_tokens or 0
            cost += result.cost or 0
            if result.outcome in named:
                named[result.outcome].append(result.key)
        return cls(
            in_doubt=tuple(named[RowOutcome.IN_DOUBT]),
            abandoned=tuple(named[RowOutcome.ABANDONED]),
            outcomes=dict(outcomes),
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cost=cost,
        )

    def __add__(self, other: ShardCounts) -> ShardCounts:
        return ShardCounts(
            **{name: getattr(self, name) + getattr(other, name) for name in _SUMS},
            outcomes=dict(Counter(self.outcomes) + Counter(other.outcomes)),
        )


#: The fields that add up as they are.
_SUMS = tuple(name for name in ShardCounts.model_fields if name != "outcomes")


class DeadRow(BaseModel):
    """One row without a usable answer, shown as an example.

    Attributes:
        key: the row's key.
        outcome: how it ended.
        error: one sentence.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    outcome: RowOutcome
    error: str = ""


class EnrichReport(ShardCounts):
    """What one run of a job did, ready for a terminal, an artifact and JSON.

    Attributes:
        job: the name of the job.
        rows: rows of the table.
        seconds: how long this run took.
        output: where the results were written, if they were.
        examples: a few rows without a usable answer.
        plan: what was to be done when this run began.
        pass_number: which pass of the job this run took part in; 0 if nothing was to be sent.
        preview: what a run over the whole table would take, if this one was over a sample.
        stopped: why the pass was left before its end, if it was.
    """

    job: str
    rows: NonNegativeInt
    seconds: NonNegativeFloat
    output: str | None = None
    examples: tuple[DeadRow, ...] = ()
    plan: JobPlan | None = None
    pass_number: NonNegativeInt = 0
    preview: Preview | None = None
    stopped: str | None = None

    @classmethod
    def of_counts(cls, counts: ShardCounts, **facts: Any) -> EnrichReport:
        """Make a report of the sum of all shards' *counts*; see `EnrichReport` for *facts*."""
        counted = {name: getattr(counts, name) for name in ShardCounts.model_fields}
        return cls(**counted, **facts)

    def as_lines(self) -> list[str]:
        """Return short plain lines for a terminal; text from outside has no control characters."""
        lines = [
            f"{plain(self.job)}: {self.rows:,} rows in {self.seconds:,.1f} s",
            *(f"  {outcome}: {count:,}{_hint(outcome)}" for outcome, count in self._ended()),
            self._did(),
            *(f"{title}: {number}" for title, number in self._planned()),
            f"tokens of all rows: {self.input_tokens:,} in, {self.output_tokens:,} out",
            *([f"cost of all rows: {usd(self.cost)}"] if self.cost else []),
            *(f"{title}: {_names(names)}" for title, names in self._named()),
            *(f"  {plain(row.key)}: {row.outcome}: {plain(row.error)}" for row in self.examples),
            *(self.preview.as_lines() if self.preview else []),
            *([f"stopped: {plain(self.stopped, _LONGEST_REASON)}"] if self.stopped else []),
        ]
        return [*lines, f"written to {plain(self.output)}"] if self.output else lines

    def as_markdown(self) -> str:
        """Return Markdown for an artifact; text from outside is escaped, so it stays text."""
        blocks = [
            f"# {escaped(self.job)}",
            self._summary(),
            markdown_table(
                ("outcome", "rows"), [(outcome, f"{count:,}") for outcome, count in self._ended()]
            ),
            *(f"{title.capitalize()}: {escape(number)}." for title, number in self._planned()),
            *(f"{title}: {escape(_names(names))}" for title, names in self._named()),
        ]
        if self.examples:
            rows = [(escaped(row.key), row.outcome, escaped(row.error)) for row in self.examples]
            blocks.append(markdown_table(("key", "outcome", "error"), rows))
        if self.preview:
            blocks.append(self.preview.as_markdown())
        if self.stopped:
            blocks.append(f"Stopped: {escaped(self.stopped, _LONGEST_REASON)}")
        if self.output:
            blocks.append(f"Written to {escaped(self.output)}.")
        return "\n\n".join(blocks) + "\n"

    def _summary(self) -> str:
        cost = f" Cost of all rows: {usd(self.cost)}." if self.cost else ""
        return (
            f"{self.rows:,} rows in {self.seconds:,.1f} s: {self._did()}. "
            f"Tokens of all rows: {self.input_tokens:,} in, {self.output_tokens:,} out.{cost}"
        )

    def _did(self) -> str:
        others = f", by others {self.by_others:,}" if self.by_others else ""
        did = f"reused {self.reused:,}, adopted {self.adopted:,}, submitted {self.submitted:,}"
        return did + others

    def _planned(self) -> list[tuple[str, str]]:
        """Return what the plan said of rows that were no plain work, in words."""
        return self.plan.notable() if self.plan is not None else []

    def _ended(self) -> list[tuple[RowOutcome, int]]:
        """Return the outcomes that occurred, in the order in which they are declared."""
        return [
            (outcome, self.outcomes[outcome])
            for outcome in RowOutcome
            if self.outcomes.get(outcome)
        ]

    def _named(self) -> list[tuple[str, tuple[str, ...]]]:
        named = [
            ("In doubt", self.in_doubt),
            ("Abandoned", self.abandoned),
            ("Surplus", self.surplus),
            ("Superseded", self.superseded),
            ("Larger than a whole budget", self.over_budget),
        ]
        return [(title, names) for title, names in named if names]


#: What makes a row be asked again, where something does.
_HINTS = {
    ReplayRule.ON_REQUEST: " (kept until `prefect-responses job replay`)",
    ReplayRule.NEXT_RUN: " (the next run asks again)",
    ReplayRule.WHEN_RESOLVED: " (see `prefect-responses audit`)",
}


def _hint(outcome: RowOutcome) -> str:
    return _HINTS.get(REPLAY_RULES[outcome], "")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(plain(name) for name in names[:_SHOWN_NAMES])
    left = len(names) - _SHOWN_NAMES
    return f"{shown} and {left:,} more" if left > 0 else shown
