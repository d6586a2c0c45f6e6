"""What can be read of a ledger; nothing here writes, locks or waits for a writer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.decisions.budgets import account_scope
from prefect_responses.decisions.ordinals import speaking_attempt
from prefect_responses.errors import AttemptUnknown
from prefect_responses.ledger import job_statements, lookups
from prefect_responses.ledger.accounts import Account
from prefect_responses.ledger.audit import LedgerAudit, take_audit
from prefect_responses.ledger.dialects import translated
from prefect_responses.ledger.outages import outlasting
from prefect_responses.ledger.pruning import count_prunable
from prefect_responses.ledger.rows import attempt_of, outcome_of, words
from prefect_responses.ledger.standings import RowStanding, ScopeSummary, standings_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from sqlalchemy import Executable
    from sqlalchemy.ext.asyncio import AsyncEngine

    from prefect_responses.attempt import Attempt
    from prefect_responses.ledger.pruning import PruneChoice, Pruned
    from prefect_responses.statuses import AttemptState, Outcome

#: Attempts that one read brings at most.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Bodies:
    """What was sent and what came back; None where it was never there or was pruned."""

    request: bytes | None
    response: bytes | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the events of an attempt were followed; None where nothing was noted yet.

    Args:
        cursor: the sequence number of the last event that *snapshot* contains.
        snapshot: the JSON of what the events came to.
        recorded_at: seconds since the epoch.
    """

    cursor: int | None
    snapshot: bytes | None
    recorded_at: float | None


class LedgerReads:
    """The reads of a ledger.

    Args:
        engine: connections that only read.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._reads = engine

    async def attempt(self, attempt_id: str) -> Attempt:
        """Return an attempt.

        Raises:
            AttemptUnknown: there is none of this ID.
        """
        rows = await self._read(lookups.attempt_by_id(attempt_id))
        if not rows:
            raise AttemptUnknown(f"The ledger has no attempt {attempt_id}.")
        return attempt_of(rows[0])

    async def latest(self, scope: str, name: str, ordinal: int) -> Attempt | None:
        """Return the attempt that speaks for an ordinal; see `speaking_attempt`."""
        found = await self._found(lookups.attempts_of_ordinal(scope, name, ordinal))
        return speaking_attempt(found) if found else None

    async def history(self, scope: str, name: str, ordinal: int) -> list[Attempt]:
        """Return all attempts of an ordinal, the first first."""
        return await self._found(lookups.attempts_of_ordinal(scope, name, ordinal))

    async def standing(self, scope: str, names: Collection[str]) -> dict[str, Attempt]:
        """Return the attempt that speaks for each of these names, at ordinal 0.

        Names that were never planned are not among them.
        """
        found = await self.histories(scope, names)
        return {name: speaking_attempt(history) for name, history in found.items()}

    async def histories(self, scope: str, names: Collection[str]) -> dict[str, list[Attempt]]:
        """Return all attempts of each of these names at ordinal 0, the first first.

        Names that were never planned are not among them.
        """
        wanted = list(names)
        found: dict[str, list[Attempt]] = {}
        for start in range(0, len(wanted), PAGE):
            rows = await self._read(lookups.attempts_of_names(scope, wanted[start : start + PAGE]))
            for attempt in map(attempt_of, rows):
                found.setdefault(attempt.name, []).append(attempt)
        return found

    async def row_standings(self, scope: str, names: Collection[str]) -> dict[str, RowStanding]:
        """Return how these names stand at ordinal 0, as `standing` chooses, without the attempts.

        Names that were never planned are not among them.
        """
        wanted, found = list(names), dict[str, RowStanding]()
        for start in range(0, len(wanted), PAGE):
            page = lookups.standings_of_names(scope, wanted[start : start + PAGE])
            found |= standings_of(await self._read(page))
        return found

    async def row_names(self, scope: str) -> AsyncIterator[list[str]]:
        """Go through the names of a scope in order, each once, in pages."""
        page = await self._names(scope, None)
        while page:
            yield page
            page = await self._names(scope, page[-1])

    async def _names(self, scope: str, after: str | None) -> list[str]:
        return [row[0] for row in await self._read(lookups.names_of_scope(scope, after, PAGE))]

    async def names_ended(
        self, scope: str, outcomes: Collection[Outcome]
    ) -> list[tuple[str, Outcome]]:
        """Return the names of the attempts that ended in these ways, the first planned first."""
        rows = await self._read(lookups.names_ended(scope, outcomes))
        return [(row[0], found) for row in rows if (found := outcome_of(row[1])) is not None]

    async def row_classes(self, scope: str) -> dict[str, int]:
        """Count the rows of a job by what came of them, as far as that was said."""
        counts: Counter[str] = Counter()
        async for names in self.row_names(scope):
            standings = (await self.row_standings(scope, names)).values()
            counts.update(one.row_class for one in standings if one.row_class is not None)
        return dict(counts)

    async def account(self, name: str) -> Account | None:
        """Return what stands on an account, or None if nothing was ever charged to it."""
        rows = await self._read(job_statements.account_named(name))
        return Account(*rows[0]) if rows else None

    async def accounts(self, scope: str) -> list[Account]:
        """Return the account of a job's scope, and then those of its days and runs, by name."""
        rows = await self._read(job_statements.accounts_ending(scope))
        found = [Account(*row) for row in rows if account_scope(row[0]) == scope]
        return sorted(found, key=lambda one: one.name != scope)

    async def scopes(self, limit: int) -> list[ScopeSummary]:
        """Return what there is of each scope, the one that was last at work first."""
        return [ScopeSummary(*row) for row in await self._read(lookups.scopes(limit))]

    async def by_response(self, base_url: str, response_id: str) -> list[Attempt]:
        """Return the attempts that carry a response ID, the first planned first."""
        return await self._found(lookups.attempts_by_response(base_url, response_id))

    async def attempts(
        self,
        scope: str | None = None,
        states: Collection[AttemptState] | None = None,
        limit: int | None = None,
        after: Attempt | None = None,
        *,
        flow_run_id: str | None = None,
    ) -> AsyncIterator[Attempt]:
        """Go through attempts in the order in which they were planned.

        Each page is read when it is wanted; attempts that are planned meanwhile may be among them.
        """
        left = float("inf") if limit is None else limit
        while left > 0:
            size = int(min(left, PAGE))
            since = None if after is None else (after.planned_at, after.id)
            page = lookups.attempts_in_order(scope, words(states), flow_run_id, since, size)
            rows = await self._read(page)
            for row in rows:
                after = attempt_of(row)
                yield after
            left = left - size if len(rows) == size else 0

    async def bodies(self, attempt_ids: Collection[str]) -> dict[str, Bodies]:
        """Return what was sent and what came back for these attempts."""
        ids = list(attempt_ids)
        found: dict[str, Bodies] = {}
        for start in range(0, len(ids), PAGE):
            rows = await self._read(lookups.bodies_of(ids[start : start + PAGE]))
            found |= {row[0]: Bodies(row[1], row[2]) for row in rows}
        return found

    async def progress(self, attempt_id: str) -> Progress | None:
        """Return how far the events of an attempt were followed, or None if they never were.

        There is none either once an answer is stored.
        """
        rows = await self._read(lookups.progress_of(attempt_id))
        return Progress(*rows[0]) if rows else None

    async def audit(self, scope: str | None = None) -> LedgerAudit:
        """Audit one scope, or all of them."""
        with translated():
            async with self._reads.begin() as connection:
                return await take_audit(connection, scope)

    async def count_prunable(self, choice: PruneChoice) -> Pruned:
        """Count what `Ledger.prune` would delete."""
        with translated():
            async with self._reads.begin() as connection:
                return await count_prunable(connection, choice)

    # --- what is to be done, whoever did it before ------------------------------------------------

    async def owed_cancels(self, limit: int = PAGE) -> list[Attempt]:
        """Return attempts that owe a cancel, the oldest wish first."""
        return await self._found(lookups.owed_cancels(limit))

    async def due(self, limit: int | None = None) -> AsyncIterator[Attempt]:
        """Go through the submitted attempts, the soonest to expire first.

        Those of which it is not known when they expire come last. Each page is read when it is
        wanted, so that attempts that were settled meanwhile are not among the next ones.
        """
        left, after, expiring = float("inf") if limit is None else limit, None, True
        while left > 0:
            size = int(min(left, PAGE))
            page = await self._found(lookups.due_attempts(after, size, expiring=expiring))
            for attempt in page:
                after = (attempt.expires_at, attempt.id)
                yield attempt
            if len(page) < size:
                left = left - len(page) if expiring else 0
                after, expiring = None, False
            else:
                left -= size

    async def overdue(self, now: float, limit: int = PAGE) -> list[Attempt]:
        """Return submitted attempts that are past a deadline which has wanted no cancel yet.

        The one that is past it the longest comes first.
        """
        return await self._found(lookups.overdue_attempts(now, limit))

    async def watched(self, now: float) -> list[Attempt]:
        """Return the cancelled attempts that are watched for a late completion at *now*."""
        return await self._found(lookups.watched_attempts(now))

    async def latencies(self, base_url: str, model: str | None, limit: int = 200) -> list[float]:
        """Return the seconds that the last answers of a model took, the latest first.

        Args:
            base_url: the endpoint that was asked.
            model: None for the requests that name no model.
            limit: how many at most.
        """
        rows = await self._read(lookups.last_latencies(base_url, model, limit))
        return [row[0] for row in rows]

    async def of_flow_runs(
        self, flow_run_ids: Collection[str], scopes: Collection[str]
    ) -> list[Attempt]:
        """Return the unsettled attempts of these flow runs or scopes, the first planned first."""
        wanted = (("flow_run_id", list(flow_run_ids)), ("scope", list(scopes)))
        found: dict[str, Attempt] = {}
        for column, values in wanted:
            for start in range(0, len(values), PAGE):
                some = lookups.unsettled_among(column, values[start : start + PAGE])
                found |= {attempt.id: attempt for attempt in await self._found(some)}
        return sorted(found.values(), key=lambda attempt: (attempt.planned_at, attempt.id))

    async def unsettled_runs(self) -> list[tuple[str, str | None]]:
        """Return the scopes and flow runs that have unsettled attempts, each pair once."""
        return [(row[0], row[1]) for row in await self._read(lookups.unsettled_runs())]

    async def unclaimed(self, scope: str, execution_prefix: str) -> list[Attempt]:
        """Return the unsettled attempts of a scope that no call of these executions took.

        Args:
            scope: see `Origin`.
            execution_prefix: what the executions that count begin with. A claim counts also after
                it was dropped: its call was there.
        """
        return await self._found(lookups.unclaimed_attempts(scope, execution_prefix))

    async def _found(self, statement: Executable) -> list[Attempt]:
        return [attempt_of(row) for row in await self._read(statement)]

    async def _read(self, statement: Executable) -> Sequence[Any]:
        with translated():
            return await outlasting(lambda: self._rows(statement))

    async def _rows(self, statement: Executable) -> Sequence[Any]:
        async with self._reads.connect() as connection:
            return (await connection.execute(statement)).all()
