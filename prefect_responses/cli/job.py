"""`prefect-responses job`: how row jobs stand, and dead rows to be asked again."""

import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.prompt import Confirm

from prefect_responses.cli import printing
from prefect_responses.cli.finding import DEFAULT, Flag, Where, ledger_to_read, ledger_to_write
from prefect_responses.decisions.replays import replay_classes
from prefect_responses.decisions.row_outcomes import REPLAYABLE
from prefect_responses.enrichment.job_standing import JobStanding, job_standing, known_job
from prefect_responses.enrichment.prices import read_prices
from prefect_responses.enrichment.replaying import ReplayPlan, find_replay, mark_for_replay
from prefect_responses.enrichment.samples import usd
from prefect_responses.ledger import Account

app = App(name="job", help="Row jobs: how they stand, and dead rows asked again.")


@app.command(name="list")
async def list_(*, json: Flag = False, where: Where = DEFAULT) -> None:
    """List the jobs: their last pass, their rows by what became of them, and what they cost.

    Args:
        json: Print JSON; times are seconds since the epoch, money is in nano-USD.
        where: Which ledger.
    """
    async with ledger_to_read(where) as ledger:
        found = [await job_standing(ledger, job) for job in await ledger.jobs.list_jobs()]
    if json:
        printing.print_json({"jobs": [one.as_json() for one in found]})
        return
    rows = ((_name(one), _pass(one), _rows(one), _cost(one.account)) for one in found)
    printing.console().print(printing.table("job", "last pass", "rows", "cost", rows=rows))


@app.command
async def show(name: str, /, *, json: Flag = False, where: Where = DEFAULT) -> None:
    """Show how one job stands.

    Args:
        name: The job.
        json: Print JSON; times are seconds since the epoch, money is in nano-USD.
        where: Which ledger.
    """
    async with ledger_to_read(where) as ledger:
        found = await job_standing(ledger, await known_job(ledger, name))
    if json:
        printing.print_json(found.as_json())
    else:
        _print(printing.console(), found)


@app.command
async def replay(  # noqa: PLR0913 - each is one option of the command
    name: str,
    /,
    *,
    classes: Annotated[list[str], Parameter(name="--class", negative="")],
    yes: Flag = False,
    prices: Path | None = None,
    json: Flag = False,
    where: Where = DEFAULT,
) -> None:
    """Mark dead rows of a job to be asked again by its next run, each as its class wants it.

    Answers that do not have the type that was asked for (schema, invalid_json) get one turn to be
    repaired, answers that were cut short (truncated) twice the room; others are asked as before.
    How many rows it is about, and about what they cost, is shown first. Without --yes it is asked
    in a terminal, and elsewhere nothing is changed.

    Args:
        name: The job.
        classes: Which rows: those with this status; may be given several times.
        yes: Mark them without asking.
        prices: A TOML file of prices; without it, the prices that the rows were asked at.
        json: Print JSON; money is in nano-USD.
        where: Which ledger.
    """
    wanted, listed = replay_classes(classes), read_prices(prices)
    async with ledger_to_write(where) as ledger:
        await known_job(ledger, name)
        plan = await find_replay(ledger, name, wanted, listed)
        if json:
            marked = await mark_for_replay(ledger, plan, time.time()) if yes else 0
            printing.print_json(plan.as_json() | {"marked_now": marked})
            return
        _print_lines(plan.as_lines())
        if plan.rows:
            wants = yes or _confirms(plan)
            marked = await mark_for_replay(ledger, plan, time.time()) if wants else 0
            _print_lines([_what_was_done(marked)])


def _confirms(plan: ReplayPlan) -> bool:
    """Ask in a terminal whether to mark the rows; elsewhere nobody can."""
    console = printing.console()
    if not (console.is_terminal and sys.stdin.isatty()):
        _print_lines(["Nothing was changed; --yes marks them."])
        return False
    return Confirm.ask(f"Mark {len(plan.rows):,} rows?", console=console, default=False)


def _what_was_done(marked: int) -> str:
    if not marked:
        return "No row was marked."
    return f"{marked:,} rows are marked; the next run of the job asks them again."


def _print_lines(lines: Iterable[str]) -> None:
    console = printing.console()
    for line in lines:
        console.print(printing.plain(line))


def _print(console: Console, found: JobStanding) -> None:
    job, last = found.job, found.last_pass
    facts = {"job": printing.one_line(job.name), "since": _moment(job.created_at)}
    if job.parked_at is not None:
        facts |= {"parked": f"{_moment(job.parked_at)}: {job.parked_kind}: {job.parked_reason}"}
    if last is not None:
        facts |= {"last pass": _pass(found), "rows in its table": f"{last.rows:,}"}
    console.print(printing.facts(facts))
    ended = ((outcome, f"{count:,}") for outcome, count in found.rows.items())
    console.print(printing.table("status", "rows", rows=ended))
    _print_lines(_next_steps(found))
    if found.accounts:
        columns = ("account", "spent", "reserved", "tokens", "tokens reserved", "in flight")
        console.print(printing.table(*columns, rows=map(_account, found.accounts)))


def _next_steps(found: JobStanding) -> Iterator[str]:
    """Say what can be done about rows without a usable answer."""
    if found.marked:
        yield f"{found.marked:,} of them are marked for a replay by the next run."
    if dead := [outcome for outcome in found.rows if outcome in REPLAYABLE]:
        classes = " ".join(f"--class {outcome}" for outcome in dead)
        name = printing.one_line(found.job.name)
        yield f"To ask them again: prefect-responses job replay {shlex.quote(name)} {classes}"


def _name(found: JobStanding) -> str:
    parked = "" if found.job.parked_at is None else f"\nparked: {found.job.parked_kind}"
    return f"{printing.one_line(found.job.name)}{parked}"


def _pass(found: JobStanding) -> str:
    last = found.last_pass
    if last is None:
        return "none"
    if last.closed_at is not None:
        return f"{last.number}, {last.closed_as} {_moment(last.closed_at)}"
    return f"{last.number}, open since {_moment(last.opened_at)}, {_shards(found)}"


def _shards(found: JobStanding) -> str:
    return f"{found.shards_done:,} of {found.shards:,} shards done"


def _rows(found: JobStanding) -> str:
    counts = [f"{outcome} {count:,}" for outcome, count in found.rows.items()]
    marked = [f"marked for replay {found.marked:,}"] if found.marked else []
    return "\n".join(counts + marked)


def _cost(account: Account | None) -> str:
    return "" if account is None else _money(account, account.spent_usd)


def _money(account: Account, nano: int) -> str:
    """Return an amount; nothing where no price is known, for tokens are never free of charge."""
    is_known = account.spent_usd or account.reserved_usd or not account.spent_tokens
    return usd(nano) if is_known else ""


def _account(account: Account) -> tuple[str, ...]:
    counts = (account.spent_tokens, account.reserved_tokens, account.in_flight)
    money = (_money(account, account.spent_usd), _money(account, account.reserved_usd))
    return (printing.one_line(account.name), *money, *(f"{count:,}" for count in counts))


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
