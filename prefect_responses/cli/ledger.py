"""`prefect-responses ledger`: look at attempts, and make or migrate the tables."""

import time
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.text import Text

from prefect_responses.attempt import Attempt
from prefect_responses.cli import printing
from prefect_responses.cli.finding import (
    ALL,
    DEFAULT,
    Flag,
    Where,
    Which,
    ledger_to_read,
    ledger_to_write,
)
from prefect_responses.clock import SystemClock
from prefect_responses.errors import RequestInvalid
from prefect_responses.identity import job_scope
from prefect_responses.ledger import Bodies, Ledger, PruneChoice, Pruned, ScopeSummary
from prefect_responses.ledger import upgrade as upgrade_ledger
from prefect_responses.statuses import AttemptState

app = App(name="ledger", help="The record of all attempts.")


@app.command
async def show(  # noqa: PLR0913 - each is one option of the command
    *,
    which: Which = ALL,
    state: Annotated[list[AttemptState] | None, Parameter(negative="")] = None,
    limit: int = 50,
    attempt: str | None = None,
    bodies: Flag = False,
    json: Flag = False,
    where: Where = DEFAULT,
) -> None:
    """Show the attempts that were planned last, or one attempt in full.

    Args:
        which: Which attempts.
        state: Only attempts in this state; may be given several times.
        limit: How many at most.
        attempt: ID of one attempt, to be shown in full.
        bodies: With --attempt, show the request and the response too.
        json: Print JSON; times are seconds since the epoch.
        where: Which ledger.
    """
    if bodies and attempt is None:
        raise RequestInvalid("--bodies needs --attempt: bodies are shown one attempt at a time.")
    async with ledger_to_read(where) as ledger:
        if attempt is not None:
            await _show_one(ledger, attempt, bodies=bodies, json=json)
            return
        found = deque[Attempt](maxlen=max(1, limit))
        async for one in ledger.attempts(which.chosen(), state):
            found.append(one)
    if json:
        printing.print_json({"attempts": [printing.attempt_record(one) for one in found]})
    else:
        _print_table(found)


@app.command
async def upgrade(*, where: Where = DEFAULT) -> None:
    """Make or migrate the tables of the ledger.

    A SQLite ledger does this by itself when it is first used.
    """
    uuid = await upgrade_ledger(await where.address(), SystemClock())
    printing.console().print(printing.plain(f"The ledger {uuid} is up to date."))


@app.command(name="list")
async def list_scopes(*, limit: int = 50, json: Flag = False, where: Where = DEFAULT) -> None:
    """List what there is of each flow run, job or other scope, the last one at work first.

    Args:
        limit: How many at most.
        json: Print JSON; times are seconds since the epoch.
        where: Which ledger.
    """
    async with ledger_to_read(where) as ledger:
        found = await ledger.scopes(max(1, limit))
    if json:
        printing.print_json({"scopes": [asdict(one) for one in found]})
        return
    columns, now = ("scope", "attempts", "unsettled", "last at work", "stored"), time.time()
    rows = (_scope_cells(one, now) for one in found)
    printing.console().print(printing.table(*columns, rows=rows))


def _scope_cells(one: ScopeSummary, now: float) -> tuple[object, ...]:
    age = f"{printing.age(now - one.last_at)} ago"
    scope = printing.one_line(one.scope)
    return scope, one.attempts, one.unsettled, age, printing.size(one.bytes)


@app.command
async def prune(  # noqa: PLR0913 - each is one option of the command
    *,
    days: Annotated[float, Parameter(validator=Number(gte=1))] = 90,
    bodies_only: Flag = False,
    scope: Annotated[list[str] | None, Parameter(negative="")] = None,
    job: Annotated[list[str] | None, Parameter(negative="")] = None,
    yes: Flag = False,
    json: Flag = False,
    where: Where = DEFAULT,
) -> None:
    """Delete what has ended long ago; without --yes only say how much that would be.

    What has not ended, owes a cancel or is watched for a late end is never deleted. A call that is
    made again after it was deleted is paid again: the rows of a job go only if it is named. With
    --bodies-only they are not paid again, and no later run can write their answers.

    Args:
        days: What was settled within the last so many days stays; at least one.
        bodies_only: Keep the attempts, and delete their requests and responses.
        scope: Only this scope; may be given several times.
        job: Only the rows of this job; may be given several times.
        yes: Delete it.
        json: Print JSON.
        where: Which ledger.
    """
    scopes = (*(scope or ()), *(job_scope(name) for name in job or ()))
    choice = PruneChoice(time.time() - days * _DAY, bodies_only, scopes or None)
    opened = ledger_to_write if yes else ledger_to_read
    async with opened(where) as ledger:
        pruned = await (ledger.prune(choice) if yes else ledger.count_prunable(choice))
    if json:
        printing.print_json({"deleted": yes, **asdict(pruned)})
    else:
        printing.console().print(printing.plain(_told(pruned, done=yes)))
        if bodies_only and any(one.startswith(job_scope("")) for one in scopes):
            printing.console().print(printing.plain(_NO_ANSWERS))


_DAY = 86_400
_NO_ANSWERS = (
    "A later run of the job neither asks such rows again nor knows their answers: it writes them "
    "with empty columns. Keep the table of results that was written before."
)


def _told(pruned: Pruned, *, done: bool) -> str:
    what = (
        f"{pruned.attempts} attempts, {pruned.bodies} requests with their responses "
        f"({printing.size(pruned.bytes)}), {pruned.claims} claims and {pruned.owners} processes"
    )
    return f"Deleted {what}." if done else f"--yes would delete {what}."


def _print_table(attempts: deque[Attempt]) -> None:
    console, now = printing.console(), time.time()
    is_wide = console.width >= _WIDE
    columns = ("call", "attempt, response, flow run") if is_wide else ("call and its IDs",)
    rows = ((_standing(one), _age(one, now), *_cells(one, is_wide=is_wide)) for one in attempts)
    console.print(printing.table("state", "age", *columns, rows=rows))
    if len(attempts) == attempts.maxlen:
        console.print(f"These are the last {len(attempts)}; --limit shows more.")


#: Columns of a terminal from which on IDs, which are long, stand beside their call.
_WIDE = 120


def _cells(attempt: Attempt, *, is_wide: bool) -> tuple[str, ...]:
    call, ids = _call(attempt), _ids(attempt)
    return ("\n".join(call), "\n".join(ids)) if is_wide else ("\n".join(call + ids),)


def _call(attempt: Attempt) -> list[str]:
    number = f" attempt {attempt.number}" if attempt.number > 1 else ""
    return [f"{printing.name_of(attempt)}{number}", printing.one_line(attempt.scope)]


def _standing(attempt: Attempt) -> Text:
    return printing.plain(printing.standing_of(attempt), _STYLES.get(attempt.state, ""))


_STYLES = {AttemptState.IN_DOUBT: "bold yellow", AttemptState.SUBMITTED: "cyan"}


def _age(attempt: Attempt, now: float) -> str:
    return printing.age(now - attempt.planned_at)


def _ids(attempt: Attempt) -> list[str]:
    known = (attempt.id, attempt.response_id, attempt.flow_run_id)
    return [printing.one_line(each) for each in known if each is not None]


async def _show_one(ledger: Ledger, attempt_id: str, *, bodies: bool, json: bool) -> None:
    attempt = await ledger.attempt(attempt_id)
    record = printing.attempt_record(attempt)
    if bodies:
        found = (await ledger.bodies([attempt_id])).get(attempt_id, Bodies(None, None))
        record |= {"request": _body(found.request), "response": _body(found.response)}
    if json:
        printing.print_json(record)
    else:
        printing.console().print(
            printing.facts({name: _written(name, value) for name, value in record.items()})
        )


def _body(body: bytes | None) -> Any:
    try:
        return None if body is None else orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace") if body is not None else None


def _written(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    if isinstance(value, float) and name.endswith(("_at", "_before")):
        return datetime.fromtimestamp(value, UTC).isoformat(sep=" ", timespec="milliseconds")
    return value
