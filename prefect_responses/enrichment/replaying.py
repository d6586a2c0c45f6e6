"""Replay dead rows by their class: first what it would cost, then, if wanted, a mark in the ledger.

A mark is durable. The next run of the job finds it, whoever starts it, and asks the row again as
its class wants it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import orjson

from prefect_responses.charges import said_tokens
from prefect_responses.decisions.replays import (
    GROWTH,
    REPLAY_TURNS,
    ReplayTurn,
    replay_reason,
    replay_request,
    replayed_class,
)
from prefect_responses.decisions.row_outcomes import RowOutcome
from prefect_responses.decisions.row_selection import row_class
from prefect_responses.enrichment.samples import tokens, usd
from prefect_responses.enrichment.validation import read_row
from prefect_responses.identity import job_scope
from prefect_responses.ledger import Reject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from typing import Any

    from prefect_responses.attempt import Attempt
    from prefect_responses.charges import Price
    from prefect_responses.enrichment.output_types import OutputType
    from prefect_responses.enrichment.prices import ModelPrices
    from prefect_responses.ledger import Bodies, Ledger

#: Tokens that the words of a repair add to what is read.
_COMPLAINT = 64
#: Marks that are written at a time.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Dead:
    """One dead row that can be replayed.

    Args:
        attempt_id: the attempt that speaks for the row.
        row_class: how it ended.
        tokens: about how many a replay reads and writes, or None where the row says nothing.
        cost: about how many nano-USD a replay costs, or None where that is not known.
    """

    attempt_id: str
    row_class: RowOutcome
    tokens: int | None
    cost: int | None


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Which rows a replay is about, and what it would take.

    Args:
        job: the name of the job.
        rows: the dead rows that are not marked yet.
        marked: rows of these classes that are marked already and were not asked again yet.
    """

    job: str
    rows: tuple[Dead, ...]
    marked: int = 0

    @property
    def by_class(self) -> dict[RowOutcome, int]:
        """Return how many rows there are of each class, in the order of their declaration."""
        counts = Counter(row.row_class for row in self.rows)
        return {outcome: counts[outcome] for outcome in RowOutcome if counts[outcome]}

    @property
    def tokens(self) -> int:
        """Return about how many tokens the replay takes, without rows that say nothing."""
        return sum(row.tokens or 0 for row in self.rows)

    @property
    def cost(self) -> int | None:
        """Return about how many nano-USD the replay costs, or None where no price is known."""
        costs = [row.cost for row in self.rows if row.cost is not None]
        return sum(costs) if costs else None

    @property
    def uncounted(self) -> int:
        """Return how many rows are in neither the tokens nor the cost: they say nothing of it."""
        return sum(row.tokens is None for row in self.rows)

    def as_lines(self) -> list[str]:
        """Return short plain lines for people: the rows by class, and what they would cost."""
        lines = [
            f"{count:,} {name}: {_TURNS[REPLAY_TURNS[name]]}"
            for name, count in self.by_class.items()
        ]
        if self.marked:
            lines.append(f"{self.marked:,} marked before; the next run of the job asks them again.")
        if not self.rows:
            return [*lines, "No row of these classes is left to be marked."]
        cost = "not known without a price" if self.cost is None else f"about {usd(self.cost)}"
        rest = f", {self.uncounted:,} rows not counted" if self.uncounted else ""
        return [
            *lines,
            f"About {tokens(self.tokens)} tokens, by what was used before{rest}.",
            f"Cost: {cost}.",
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON types; money is in nano-USD."""
        return {
            "job": self.job,
            "rows": dict(self.by_class),
            "marked": self.marked,
            "tokens": self.tokens,
            "cost": self.cost,
            "uncounted": self.uncounted,
        }


_TURNS = {
    ReplayTurn.AGAIN: "asked again as before",
    ReplayTurn.REPAIR: "asked to repair the answer",
    ReplayTurn.LARGER_CAP: "asked again with twice the room for the answer",
}


async def find_replay(
    ledger: Ledger, job: str, classes: Collection[RowOutcome], prices: ModelPrices | None = None
) -> ReplayPlan:
    """Return which rows of *job* a replay of *classes* is about; nothing is changed.

    Args:
        ledger: the record.
        job: the name of the job.
        classes: see `replay_classes`.
        prices: what models cost; without them a row's own price is taken, where one was known.
    """
    rows, marked = list[Dead](), 0
    async for page, outcomes in _dead_rows(ledger, job_scope(job), frozenset(classes)):
        fresh = [one for one in page if replayed_class(one.rejected) is None]
        marked += len(page) - len(fresh)
        found = {} if prices is None else await _prices(ledger, fresh, prices)
        rows += [_dead(one, outcomes[one.name], found.get(one.id)) for one in fresh]
    return ReplayPlan(job, tuple(rows), marked)


async def _dead_rows(
    ledger: Ledger, scope: str, classes: frozenset[RowOutcome]
) -> AsyncIterator[tuple[list[Attempt], dict[str, RowOutcome]]]:
    async for names in ledger.row_names(scope):
        standings = await ledger.row_standings(scope, names)
        outcomes = {name: row_class(one) for name, one in standings.items()}
        wanted = {name: outcome for name, outcome in outcomes.items() if outcome in classes}
        yield list((await ledger.standing(scope, wanted)).values()), wanted


async def _prices(
    ledger: Ledger, attempts: Collection[Attempt], prices: ModelPrices
) -> dict[str, Price | None]:
    """Return what each attempt's model costs at its service tier, which its request names."""
    bodies = await ledger.bodies([one.id for one in attempts])
    tiers = {
        id_: orjson.loads(body.request).get("service_tier")
        for id_, body in bodies.items()
        if body.request is not None
    }
    return {one.id: prices.price_of(one.model, tiers.get(one.id)) for one in attempts}


def _dead(attempt: Attempt, outcome: RowOutcome, listed: Price | None) -> Dead:
    usage = _usage_again(attempt.usage or {}, REPLAY_TURNS[outcome])
    if usage is None:
        return Dead(attempt.id, outcome, tokens=None, cost=None)
    price = listed or (attempt.charge.price if attempt.charge is not None else None)
    cost = None if price is None else price.cost(usage)
    return Dead(attempt.id, outcome, sum(usage.values()), cost)


def _usage_again(usage: Mapping[str, Any], turn: ReplayTurn) -> dict[str, int] | None:
    """Return about what a replay takes, by what the row took before."""
    read, written = (said_tokens(usage.get(name)) for name in ("input_tokens", "output_tokens"))
    if read is None or written is None:
        return None
    match turn:
        case ReplayTurn.AGAIN:
            return {"input_tokens": read, "output_tokens": written}
        case ReplayTurn.REPAIR:
            return {"input_tokens": read + written + _COMPLAINT, "output_tokens": written}
        case ReplayTurn.LARGER_CAP:
            return {"input_tokens": read, "output_tokens": GROWTH * written}
        case _:
            assert_never(turn)


async def mark_for_replay(ledger: Ledger, plan: ReplayPlan, at: float) -> int:
    """Mark the rows of *plan*, so that the next run of the job asks them again.

    A kill leaves some of them marked; marking again marks the others.

    Args:
        ledger: the record.
        plan: see `find_replay`.
        at: seconds since the epoch.

    Returns:
        How many rows were marked by this call.
    """
    marked = 0
    for start in range(0, len(plan.rows), _PAGE):
        page = plan.rows[start : start + _PAGE]
        verbs = [Reject(row.attempt_id, replay_reason(row.row_class), at) for row in page]
        marked += sum(verdict.moved for verdict in await ledger.do_all(verbs))
    return marked


def request_again(
    outcome: RowOutcome, bodies: Bodies, output_type: OutputType
) -> dict[str, Any] | None:
    """Return the request that replays a dead row, or None where its request was pruned.

    Args:
        outcome: the class that the row is replayed as.
        bodies: what was sent for the row, and what came back.
        output_type: what its answer has to look like.
    """
    if bodies.request is None:
        return None
    response = {} if bodies.response is None else orjson.loads(bodies.response)
    error = read_row(response, output_type, key="").error
    return replay_request(REPLAY_TURNS[outcome], orjson.loads(bodies.request), response, error)
