"""Every statement of the ledger's reads, one function each. All of them run on every dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, literal, not_, or_, select, text, tuple_

from prefect_responses.ledger.tables import (
    OWED,
    SUBMITTED,
    TIMED,
    TO_END,
    UNSETTLED,
    WATCHED,
    attempts,
    bodies,
    claims,
    streams,
)
from prefect_responses.statuses import AttemptState, CancelReason

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Select

    from prefect_responses.statuses import Outcome


def attempt_by_id(attempt_id: str) -> Select[Any]:
    """Read one attempt."""
    return select(attempts).where(attempts.c.id == attempt_id)


def attempts_of_ordinal(scope: str, name: str, ordinal: int) -> Select[Any]:
    """Read all attempts of an ordinal, by number."""
    call = (attempts.c.scope == scope, attempts.c.name == name, attempts.c.ordinal == ordinal)
    return select(attempts).where(*call).order_by(attempts.c.number)


def attempts_of_names(scope: str, names: Collection[str]) -> Select[Any]:
    """Read all attempts at ordinal 0 of these names, by name and number."""
    call = (attempts.c.scope == scope, attempts.c.name.in_(names), attempts.c.ordinal == 0)
    return select(attempts).where(*call).order_by(attempts.c.name, attempts.c.number)


def standings_of_names(scope: str, names: Collection[str]) -> Select[Any]:
    """Read what the choice of rows needs of these names, by name and number."""
    columns = (
        attempts.c.name,
        attempts.c.id,
        attempts.c.digest,
        attempts.c.state,
        attempts.c.outcome,
        attempts.c.rejected,
        attempts.c.row_class,
        attempts.c.replay,
        attempts.c.run,
        attempts.c.response_id,
        attempts.c.error,
    )
    call = (attempts.c.scope == scope, attempts.c.name.in_(names), attempts.c.ordinal == 0)
    return select(*columns).where(*call).order_by(attempts.c.name, attempts.c.number)


def names_of_scope(scope: str, after: str | None, limit: int) -> Select[Any]:
    """Read a page of the names of a scope, each once, in order."""
    page = select(attempts.c.name).where(attempts.c.scope == scope).distinct()
    if after is not None:
        page = page.where(attempts.c.name > after)
    return page.order_by(attempts.c.name).limit(limit)


def names_ended(scope: str, outcomes: Collection[Outcome]) -> Select[Any]:
    """Read the names of attempts that were sent and ended in these ways, in the order of planning.

    What was given up before it was sent is nobody's loss.
    """
    words = [outcome.value for outcome in outcomes]
    was_sent = attempts.c.submitting_at.is_not(None)
    ended = (attempts.c.scope == scope, attempts.c.outcome.in_(words), was_sent)
    found = select(attempts.c.name, attempts.c.outcome).where(*ended)
    return found.order_by(attempts.c.planned_at, attempts.c.id)


def scopes(limit: int) -> Select[Any]:
    """Read what there is of each scope, the one that was last at work first."""
    is_unsettled = case((text(UNSETTLED), 1), else_=0)
    steps = (attempts.c.settled_at, attempts.c.submitted_at, attempts.c.submitting_at)
    last_at = func.max(func.coalesce(*steps, attempts.c.planned_at))
    sizes = (func.coalesce(func.length(body), 0) for body in (bodies.c.request, bodies.c.response))
    size = func.coalesce(func.sum(sum(sizes, literal(0))), 0)
    columns = (attempts.c.scope, func.count(), func.sum(is_unsettled), last_at, size)
    summed = select(*columns).outerjoin(bodies, bodies.c.attempt_id == attempts.c.id)
    return summed.group_by(attempts.c.scope).order_by(last_at.desc()).limit(limit)


def attempts_by_response(base_url: str, response_id: str) -> Select[Any]:
    """Read the attempts that carry a response ID, the first planned first."""
    carried = (attempts.c.base_url == base_url, attempts.c.response_id == response_id)
    return select(attempts).where(*carried).order_by(attempts.c.planned_at, attempts.c.id)


def attempts_in_order(
    scope: str | None,
    states: Collection[str] | None,
    flow_run_id: str | None,
    after: tuple[float, str] | None,
    limit: int,
) -> Select[Any]:
    """Read a page of attempts in the order in which they were planned."""
    page = select(attempts).order_by(attempts.c.planned_at, attempts.c.id).limit(limit)
    if scope is not None:
        page = page.where(attempts.c.scope == scope)
    if flow_run_id is not None:
        page = page.where(attempts.c.flow_run_id == flow_run_id)
    if states is not None:
        page = page.where(attempts.c.state.in_(states))
        if AttemptState.SETTLED not in states:
            # The words of the partial index, or it is not used.
            page = page.where(text(UNSETTLED))
    if after is not None:
        page = page.where(tuple_(attempts.c.planned_at, attempts.c.id) > tuple_(*after))
    return page


def bodies_of(attempt_ids: Collection[str]) -> Select[Any]:
    """Read the bodies of attempts."""
    return select(bodies).where(bodies.c.attempt_id.in_(attempt_ids))


def progress_of(attempt_id: str) -> Select[Any]:
    """Read how far the events of an attempt were followed."""
    noted = (streams.c.cursor, streams.c.snapshot, streams.c.recorded_at)
    return select(*noted).where(streams.c.attempt_id == attempt_id)


# --- what is to be done, whoever did it before ----------------------------------------------------


def owed_cancels(limit: int) -> Select[Any]:
    """Read the attempts that owe a cancel, the oldest wish first."""
    owed = select(attempts).where(text(OWED)).limit(limit)
    return owed.order_by(attempts.c.cancel_wanted_at, attempts.c.id)


def due_attempts(
    after: tuple[float | None, str] | None, limit: int, *, expiring: bool
) -> Select[Any]:
    """Read a page of submitted attempts: the soonest to expire first, or those not known to."""
    expires_at = attempts.c.expires_at
    page = select(attempts).where(text(SUBMITTED))
    page = page.where(expires_at.is_not(None) if expiring else expires_at.is_(None))
    in_order = (expires_at, attempts.c.id) if expiring else (attempts.c.id,)
    if after is not None:
        page = page.where(tuple_(*in_order) > tuple_(*after[-len(in_order) :]))
    return page.order_by(*in_order).limit(limit)


def overdue_attempts(now: float, limit: int) -> Select[Any]:
    """Read the submitted attempts that are past a deadline which has wanted no cancel yet."""
    unanswered = attempts.c.cancel_answer.is_(None)
    is_its_own = attempts.c.cancel_reason == CancelReason.DEADLINE.value
    wanted = and_(attempts.c.cancel_wanted_at.is_not(None), or_(is_its_own, unanswered))
    past = select(attempts).where(text(TO_END), attempts.c.deadline_at <= now, not_(wanted))
    return past.order_by(attempts.c.deadline_at, attempts.c.id).limit(limit)


def watched_attempts(now: float) -> Select[Any]:
    """Read the cancelled attempts that are watched for a late completion, the soonest end first."""
    watched = select(attempts).where(text(WATCHED), attempts.c.watch_until > now)
    return watched.order_by(attempts.c.watch_until, attempts.c.id)


def last_latencies(base_url: str, model: str | None, limit: int) -> Select[Any]:
    """Read how long the last answers of a model took."""
    asked = (attempts.c.base_url == base_url, attempts.c.model == model)
    timed = select(attempts.c.latency).where(text(TIMED), *asked)
    return timed.order_by(attempts.c.settled_at.desc()).limit(limit)


def unsettled_among(column: str, values: Collection[str]) -> Select[Any]:
    """Read the attempts without an outcome whose *column* is among *values*."""
    return select(attempts).where(text(UNSETTLED), attempts.c[column].in_(values))


def unsettled_runs() -> Select[Any]:
    """Read the scopes and flow runs of attempts without an outcome."""
    # Of a bare column, SQLite would read all attempts ever made, in the order of their scopes.
    scope = attempts.c.scope.concat("")
    return select(scope, attempts.c.flow_run_id).where(text(UNSETTLED)).distinct()


def unclaimed_attempts(scope: str, execution_prefix: str) -> Select[Any]:
    """Read a scope's attempts without an outcome whose ordinals such executions never took."""
    execution = func.substr(claims.c.execution, 1, len(execution_prefix))
    same = (claims.c[name] == attempts.c[name] for name in ("scope", "name", "ordinal"))
    claimed = select(claims.c.id).where(*same, execution == execution_prefix)
    unsettled = select(attempts).where(text(UNSETTLED), attempts.c.scope == scope)
    found = unsettled.where(~claimed.correlate(attempts).exists())
    return found.order_by(attempts.c.planned_at, attempts.c.id)
