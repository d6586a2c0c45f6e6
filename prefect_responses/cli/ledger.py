"""`prefect-responses ledger`: look at attempts, and make or migrate the tables."""

import time
from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from cyclopts import App, Parameter
from rich.text import Text

from prefect_responses.attempt import Attempt
from prefect_responses.cli import printing
from prefect_responses.cli.finding import ALL, DEFAULT, Flag, Where, Which, ledger_to_read
from prefect_responses.clock import SystemClock
from prefect_responses.errors import RequestInvalid
from prefect_responses.ledger import Bodies, Ledger
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
