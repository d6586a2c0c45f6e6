"""A sample of a table, run before the whole: which rows, and what they say of those that are left.

The rows of a sample are rows of the job like any other: the run over the whole finds them answered.
"""

from __future__ import annotations

from datetime import date
from hashlib import blake2b
from heapq import nsmallest
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from prefect_responses.charges import NANO, said_tokens
from prefect_responses.decisions.estimates import (
    LEAST_SAMPLE,
    Estimate,
    Interval,
    SampleRow,
    estimate,
)
from prefect_responses.engine.report_text import escape, markdown_table, plain
from prefect_responses.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prefect_responses.attempt import Attempt
    from prefect_responses.charges import Price
    from prefect_responses.decisions.estimates import Pace


# --- which rows -----------------------------------------------------------------------------------


def sample_of(keys: Iterable[str], size: int, seed: int = 0) -> frozenset[str]:
    """Return *size* keys drawn at random; all of them where there are no more.

    The same table and seed give the same keys, in whatever order it is read, and a larger sample
    holds the smaller one, so that what was paid for a sample is never paid again for another.

    Args:
        keys: the keys of the rows, read once.
        size: how many rows to draw, two at least.
        seed: another seed draws another sample.

    Raises:
        RequestInvalid: *size* is too small to tell anything from.
    """
    if size < LEAST_SAMPLE:
        raise RequestInvalid(f"A sample takes {LEAST_SAMPLE} rows at least, not {size}.")
    salt = str(seed).encode()

    def rank(key: str) -> bytes:
        return blake2b(key.encode("utf-8", "surrogatepass"), key=salt, digest_size=16).digest()

    return frozenset(nsmallest(size, keys, key=rank))


def sample_row(attempt: Attempt, price: Price | None) -> SampleRow:
    """Return what the row of a settled *attempt* took; what the API did not say counts as nothing.

    Args:
        attempt: the attempt that speaks for the row.
        price: what the model costs, or None where no price is known.
    """
    usage = attempt.usage or {}
    return SampleRow(
        input_tokens=said_tokens(usage.get("input_tokens")) or 0,
        output_tokens=said_tokens(usage.get("output_tokens")) or 0,
        cost=None if price is None else price.cost(usage),
        seconds=_seconds(attempt),
    )


def _seconds(attempt: Attempt) -> float:
    if attempt.latency is not None:
        return attempt.latency
    if attempt.submitted_at is None or attempt.settled_at is None:
        return 0.0
    return max(0.0, attempt.settled_at - attempt.submitted_at)


# --- what they say of the others ------------------------------------------------------------------


class Span(BaseModel):
    """What is expected, and between what it will be in about 19 of 20 cases.

    Attributes:
        low: the lower end.
        expected: the estimate.
        high: the upper end.
    """

    model_config = ConfigDict(frozen=True)

    low: float
    expected: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> Self:
        """Return *interval*."""
        return cls(low=interval.low, expected=interval.expected, high=interval.high)


class Preview(BaseModel):
    """What the rows that are left will take, by what a sample of the table took.

    Attributes:
        job: the name of the job.
        model: the model that is asked.
        sampled: rows of the sample that have ended; they are kept, and never paid again.
        rows_left: rows that a run over the whole would pay for.
        sample_cost: nano-USD that the sample took, or None where no price is known.
        input_tokens: tokens that the rows left read; None where too few rows of the sample ended.
        output_tokens: tokens that they write, reasoning included.
        cost: nano-USD that they cost, or None where no price is known.
        seconds: how long they take.
        prices_as_of: the day that the prices are of, if there are prices.
    """

    model_config = ConfigDict(frozen=True)

    job: str
    model: str
    sampled: NonNegativeInt
    rows_left: NonNegativeInt
    sample_cost: NonNegativeInt | None = None
    input_tokens: Span | None = None
    output_tokens: Span | None = None
    cost: Span | None = None
    seconds: Span | None = None
    prices_as_of: date | None = None

    @classmethod
    def of_sample(  # noqa: PLR0913 - the facts of a preview, all named
        cls,
        sample: Sequence[SampleRow],
        *,
        job: str,
        model: str,
        rows_left: int,
        pace: Pace,
        prices_as_of: date | None = None,
    ) -> Self:
        """Make a preview of what the rows of a sample took.

        Args:
            sample: those that have ended; see `sample_row`.
            job: see `Preview`, as the further arguments.
            model: see `Preview`.
            rows_left: see `Preview`.
            pace: what bounds how fast the rows go.
            prices_as_of: see `Preview`.
        """
        costs = [row.cost for row in sample if row.cost is not None]
        return cls(
            job=job,
            model=model,
            sampled=len(sample),
            rows_left=rows_left,
            sample_cost=sum(costs) if costs and len(costs) == len(sample) else None,
            prices_as_of=prices_as_of,
            **(_spans(estimate(sample, rows_left, pace)) if len(sample) >= LEAST_SAMPLE else {}),
        )

    def as_lines(self) -> list[str]:
        """Return short plain lines for a terminal; text from outside has no control characters."""
        return [
            self._headline(),
            *(
                f"  {what + ':':<16}about {about}, between {low} and {high}"
                for what, about, low, high in self._rows()
            ),
            *self._notes(),
        ]

    def as_markdown(self) -> str:
        """Return the same as Markdown; text from outside is escaped."""
        table = markdown_table(("of the rows left", "about", "from", "to"), self._rows())
        return "\n\n".join([escape(self._headline()), table, *map(escape, self._notes())])

    def _headline(self) -> str:
        paid = "" if self.sample_cost is None else f" for {usd(self.sample_cost)}"
        return (
            f"Preview of {plain(self.job)}: {self.sampled:,} rows were asked{paid} and are kept; "
            f"{self.rows_left:,} rows are left to pay for."
        )

    def _rows(self) -> list[tuple[str, str, str, str]]:
        measured: tuple[tuple[str, Span | None, Callable[[float], str]], ...] = (
            ("tokens read", self.input_tokens, tokens),
            ("tokens written", self.output_tokens, tokens),
            ("cost", self.cost, usd),
            ("time", self.seconds, duration),
        )
        return [
            (what, written(span.expected), written(span.low), written(span.high))
            for what, span, written in measured
            if span is not None
        ]

    def _notes(self) -> list[str]:
        if self.seconds is None:
            return ["Too few rows of the sample have ended to tell anything of the others."]
        notes = ["Each is between its ends in about 19 of 20 cases; rare large rows can be missed."]
        if self.cost is None:
            return [*notes, f"The cost is not known: no price of {plain(self.model)} was given."]
        dated = "" if self.prices_as_of is None else f" as of {self.prices_as_of.isoformat()}"
        return [*notes, f"The cost is by your prices{dated}."]


def _spans(found: Estimate) -> dict[str, Span | None]:
    return {
        "input_tokens": Span.of(found.input_tokens),
        "output_tokens": Span.of(found.output_tokens),
        "cost": None if found.cost is None else Span.of(found.cost),
        "seconds": Span.of(found.seconds),
    }


# --- as people read it ----------------------------------------------------------------------------

_CENT = 0.01


def usd(nano: float) -> str:
    """Return nano-USD as people write money: `12.34 USD`, `0.0042 USD` below a cent."""
    amount = nano / NANO
    return f"{amount:.4f} USD" if 0 < amount < _CENT else f"{amount:,.2f} USD"


def tokens(count: float) -> str:
    """Return a number of tokens as people write it."""
    return f"{count:,.0f}"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"
