"""What requests will take: a bound for those who hold a budget, an interval for those who preview.

Nothing here knows a tokenizer: a token is at least one byte of UTF-8, which bounds what is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Tokens that servers add around a request: roles, templates, the words about the format.
OVERHEAD = 256
#: Tokens that an answer is taken to have where nothing bounds it and nothing was learned.
DEFAULT_OUTPUT = 4096
#: Tokens of a byte of text, as long as nothing was learned: four bytes to a token.
TOKENS_A_BYTE = 0.25

#: Parts of an input whose text is all that is read of them.
_TEXTS = frozenset({"input_text", "output_text", "refusal"})
#: Fields that let a server read what is not in the request.
_READS_MORE = ("conversation", "previous_response_id", "prompt")
#: Tools that bring nothing with them but their own description.
_PLAIN_TOOLS = frozenset({"function", "custom"})


# --- one request ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestTokens:
    """What one request may take.

    Args:
        input: tokens that it reads.
        output: tokens that it writes, reasoning included.
        bounded: whether it cannot take more.
    """

    input: int
    output: int
    bounded: bool


@dataclass(frozen=True, slots=True)
class Learned:
    """What the answered requests of a job took on average.

    Args:
        tokens_a_byte: tokens read for each byte of a request.
        output: tokens written.
    """

    tokens_a_byte: float
    output: float


def most_tokens(request: Mapping[str, Any], size: int, learned: int | None) -> RequestTokens:
    """Return what *request* is to reserve on a budget.

    Args:
        request: as the caller gave it.
        size: bytes of its canonical JSON.
        learned: tokens that nearly all answers of this job stayed within, or None.
    """
    cap = output_cap(request)
    likely = DEFAULT_OUTPUT if learned is None else learned
    return RequestTokens(
        input=size + OVERHEAD,
        output=likely if cap is None else cap,
        bounded=cap is not None and has_bounded_input(request),
    )


def likely_tokens(size: int, learned: Learned | None, cap: int | None) -> int:
    """Return the tokens that a request will take as a rule, read and written together.

    Args:
        size: bytes of its canonical JSON.
        learned: what such requests took, or None.
        cap: its `max_output_tokens`, or None.
    """
    known = learned or Learned(TOKENS_A_BYTE, DEFAULT_OUTPUT)
    written = known.output if cap is None else min(cap, known.output)
    return math.ceil(size * known.tokens_a_byte + written)


def output_cap(request: Mapping[str, Any]) -> int | None:
    """Return the `max_output_tokens` of *request*, or None."""
    cap = request.get("max_output_tokens")
    return cap if isinstance(cap, int) and not isinstance(cap, bool) and cap > 0 else None


def has_bounded_input(request: Mapping[str, Any]) -> bool:
    """Tell whether *request* reads no more than its own text: then its bytes bound its tokens."""
    tools = request.get("tools") or ()
    return (
        all(request.get(name) is None for name in _READS_MORE)
        and all(isinstance(tool, dict) and tool.get("type") in _PLAIN_TOOLS for tool in tools)
        and _is_text(request.get("input"))
    )


def _is_text(given: Any) -> bool:
    items = given if isinstance(given, list) else [{"content": given or ""}]
    return all(isinstance(item, dict) and _has_text(item.get("content")) for item in items)


def _has_text(content: Any) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") in _TEXTS for part in content
    )


# --- many rows, by a sample of them ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """What is expected, and between what it will be in about 19 of 20 cases.

    Args:
        low: the lower end.
        expected: the estimate.
        high: the upper end.
    """

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class SampleRow:
    """What one row of a sample took.

    Args:
        input_tokens: tokens read.
        output_tokens: tokens written.
        cost: nano-USD, or None where no price is known.
        seconds: from its acceptance to its end.
    """

    input_tokens: int
    output_tokens: int
    cost: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Pace:
    """What bounds how fast the rows can go.

    Args:
        max_in_flight: responses in flight at most, over all processes.
        requests_per_minute: what the account may send, or None.
        tokens_per_minute: what the account may read and write, or None.
    """

    max_in_flight: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the rows that are left will take.

    Args:
        rows: how many are left.
        input_tokens: tokens that they read.
        output_tokens: tokens that they write.
        cost: nano-USD, or None where no price is known.
        seconds: how long they take.
    """

    rows: int
    input_tokens: Interval
    output_tokens: Interval
    cost: Interval | None
    seconds: Interval


#: Rows that an interval needs at least.
LEAST_SAMPLE = 2


def estimate(sample: Sequence[SampleRow], rows_left: int, pace: Pace) -> Estimate:
    """Return what *rows_left* more rows take, of which *sample* was drawn at random.

    Args:
        sample: what the rows of the sample took, `LEAST_SAMPLE` of them at least.
        rows_left: rows that are still to be paid for.
        pace: what bounds how fast they go.
    """
    costs = [row.cost for row in sample if row.cost is not None]
    tokens = [row.input_tokens + row.output_tokens for row in sample]
    return Estimate(
        rows=rows_left,
        input_tokens=total_of([row.input_tokens for row in sample], rows_left),
        output_tokens=total_of([row.output_tokens for row in sample], rows_left),
        cost=total_of(costs, rows_left) if len(costs) == len(sample) else None,
        seconds=_seconds(
            [row.seconds for row in sample], total_of(tokens, rows_left), rows_left, pace
        ),
    )


def total_of(sample: Sequence[float], left: int) -> Interval:
    """Return the sum over *left* more values like those of *sample*, a random one.

    It is a 95 % interval of prediction by Student's t, with Hall's correction for skewed values:
    what answers cost is seldom spread evenly about its mean. Where rare values are many times as
    large as the others it holds less often: a sample may have missed them.

    Args:
        sample: `LEAST_SAMPLE` values at least, none below zero.
        left: how many values are to be added up.
    """
    count = len(sample)
    mean = math.fsum(sample) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in sample) / (count - 1))
    if not left or not spread:
        return Interval(mean * left, mean * left, mean * left)
    skew = _skewness(sample, mean, spread)
    error = spread * math.sqrt(1 / count + 1 / left)
    quantile = _student_t(count - 1)
    low = mean - error * _hall(quantile, skew, count)
    high = mean - error * _hall(-quantile, skew, count)
    return Interval(left * max(0.0, low), left * mean, left * high)


def _skewness(sample: Sequence[float], mean: float, spread: float) -> float:
    count = len(sample)
    if count <= LEAST_SAMPLE:
        return 0.0
    cubes = math.fsum(((value - mean) / spread) ** 3 for value in sample)
    return cubes * count / ((count - 1) * (count - 2))


#: Below it the correction is nothing, and its formula divides by it.
_NO_SKEW = 1e-6


def _hall(quantile: float, skew: float, count: int) -> float:
    """Return the quantile of the studentised mean of skewed values (Hall 1992, transformation)."""
    if abs(skew) < _NO_SKEW:
        return quantile
    cube = 1 + skew * (quantile / math.sqrt(count) - skew / (6 * count))
    return 3 * math.sqrt(count) / skew * (math.cbrt(cube) - 1)


_NORMAL = 1.959964
#: For the least degrees of freedom, which the expansion below does not reach.
_FIRST_T = {1: 12.706205, 2: 4.302653, 3: 3.182446}


def _student_t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5)."""
    if freedom in _FIRST_T:
        return _FIRST_T[freedom]
    z = _NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / math.pow(freedom, n) for n, term in enumerate(terms, start=1))


def _seconds(latencies: Sequence[float], tokens: Interval, rows: int, pace: Pace) -> Interval:
    """Return how long *rows* take that go side by side, whatever holds them up the most.

    When the last of them is sent, its end is still waited for: that is a part that does not shrink
    however many go at once.
    """
    if not rows:
        return Interval(0.0, 0.0, 0.0)
    longest, mean = max(latencies), math.fsum(latencies) / len(latencies)
    flows = [_divided(total_of(latencies, rows), min(rows, pace.max_in_flight))]
    if pace.requests_per_minute is not None:
        flows.append(_divided(Interval(rows, rows, rows), pace.requests_per_minute / 60))
    if pace.tokens_per_minute is not None:
        flows.append(_divided(tokens, pace.tokens_per_minute / 60))
    return Interval(
        low=max(flow.low for flow in flows),
        expected=max(flow.expected for flow in flows) + longest - mean,
        high=max(flow.high for flow in flows) + longest,
    )


def _divided(total: Interval, by: float) -> Interval:
    return Interval(total.low / by, total.expected / by, total.high / by)
