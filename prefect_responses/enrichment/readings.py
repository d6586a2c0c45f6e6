"""How the rows of a job stand: read from the ledger, validated, and classified there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from prefect_responses.decisions.next_action import is_later_run
from prefect_responses.decisions.ordinals import speaking_attempt
from prefect_responses.decisions.policies import OnChange
from prefect_responses.decisions.row_outcomes import DEAD, RowOutcome, outcome_unread
from prefect_responses.enrichment.rows import RowResult
from prefect_responses.enrichment.validation import read_row
from prefect_responses.errors import IllegalMove
from prefect_responses.identity import row_name
from prefect_responses.ledger import Classify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prefect_responses.attempt import Attempt
    from prefect_responses.enrichment.job import EnrichJob
    from prefect_responses.ledger import Ledger

_PREFIX = row_name("")


def key_of(name: str) -> str:
    """Return the row key that the ledger knows as *name*."""
    return name.removeprefix(_PREFIX)


def result_of(job: EnrichJob, attempt: Attempt, body: bytes | None) -> RowResult:
    """Return how a row stands.

    Args:
        job: what was asked.
        attempt: the attempt that speaks for the row.
        body: the final response, or None if there is none.
    """
    key = key_of(attempt.name)
    is_wanted = attempt.rejected is None
    if body is not None and attempt.is_settled and is_wanted:
        result = read_row(orjson.loads(body), job.output_type, key)
        return replace(result, cost=attempt.cost)
    outcome = outcome_unread(attempt.state, attempt.outcome)
    if not is_wanted:
        outcome = RowOutcome.PARKED  # what replaces its answer was not asked for yet
    error = str((attempt.error or {}).get("message", ""))
    if outcome is RowOutcome.OK:
        error = "Its answer was deleted from the ledger."
    return RowResult(key, outcome, response_id=attempt.response_id, error=error, cost=attempt.cost)


async def read_rows(
    job: EnrichJob,
    ledger: Ledger,
    digests: Mapping[str, str],
    run: tuple[int, ...],
    unsent: RowOutcome = RowOutcome.PARKED,
) -> list[RowResult]:
    """Return how rows stand, and write down the class of those that nobody classified.

    A row that changed and was not asked again since keeps an answer that is usable. What a later
    pass asked of it is no concern of an earlier one.

    Args:
        job: what was asked.
        ledger: the record.
        digests: what is asked of each row now, by key.
        run: the run of the pass that asks it.
        unsent: what to call a row that was not sent.
    """
    histories = await ledger.histories(job.scope, [row_name(key) for key in digests])
    standing = {
        key: attempt
        for key, digest in digests.items()
        if (attempt := _speaker(histories.get(row_name(key), ()), digest, run)) is not None
    }
    bodies = await ledger.bodies([attempt.id for attempt in standing.values()])
    results, read = [], []
    for key, digest in digests.items():
        attempt = standing.get(key)
        if attempt is None:
            results.append(RowResult(key, unsent, error="It was not submitted."))
            continue
        body = bodies[attempt.id].response if attempt.id in bodies else None
        result = result_of(job, attempt, body)
        if attempt.digest == digest:
            read.append((attempt, result))
        elif result.outcome is not RowOutcome.OK and job.on_change is not OnChange.ADOPT:
            result = RowResult(key, RowOutcome.PARKED, error="It changed, and was not asked again.")
        is_unsent = result.outcome is RowOutcome.PARKED
        results.append(replace(result, outcome=unsent) if is_unsent else result)
    await classify(ledger, read)
    return results


def _speaker(history: Sequence[Attempt], digest: str, run: tuple[int, ...]) -> Attempt | None:
    """Return the attempt that says how a row stands for a pass, if there is one."""
    answers = [each for each in history if each.digest == digest and each.is_answered]
    if answers:
        return answers[-1]
    known = [each for each in history if not is_later_run(each.run, run)]
    return speaking_attempt(known) if known else None


async def classify(ledger: Ledger, rows: Iterable[tuple[Attempt, RowResult]]) -> None:
    """Store the class of dead rows with their attempts, where it is not stored yet."""
    # One whose attempt moved on meanwhile is not to be classified any more.
    verbs = [
        Classify(attempt.id, result.outcome.value, attempt.settled_at or 0.0)
        for attempt, result in rows
        if _is_to_be_classified(attempt, result)
    ]
    if verbs:
        try:
            await ledger.do_all(verbs)
        except IllegalMove:
            return


def _is_to_be_classified(attempt: Attempt, result: RowResult) -> bool:
    if not attempt.is_settled or attempt.rejected is not None:
        return False
    is_known = attempt.row_class == result.outcome.value
    is_dead = result.outcome in DEAD
    return not is_known and (is_dead or attempt.row_class is not None)
