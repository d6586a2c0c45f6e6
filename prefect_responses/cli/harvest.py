"""`prefect-responses harvest`: keep every response that has ended, whoever submitted it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from prefect_responses.cli import printing
from prefect_responses.cli.finding import DEFAULT, Flag, Where, ledger_to_write
from prefect_responses.engine.harvest_reads import WARN_BEFORE, Choices
from prefect_responses.engine.harvest_report import HarvestReport
from prefect_responses.engine.harvest_tally import Tally
from prefect_responses.errors import RequestInvalid, ResponsesError
from prefect_responses.ledger import Ledger

#: The exit code that says that a person is needed.
NEEDS_A_PERSON = 3
#: Seconds after which a harvest shows how it gets on.
_SHOWN_AFTER = 2.0
_SHOWN_EVERY = 0.2

_POSITIVE = Parameter(validator=Number(gt=0))


async def harvest(  # noqa: PLR0913 - each is one option of the command
    *,
    once: Flag = False,
    every: Annotated[float | None, _POSITIVE] = None,
    limit: Annotated[int | None, _POSITIVE] = None,
    warn_before: Annotated[float, _POSITIVE] = WARN_BEFORE,
    cancel_orphans: Flag = False,
    json: Flag = False,
    where: Where = DEFAULT,
) -> None:
    """Read every response that is due, whoever submitted it, and keep what has ended.

    Before that, cancels that are owed are delivered, responses of cancelled flow runs are
    cancelled, and so are those past their deadline. Nothing is ever submitted. It may be stopped
    at any point, and run twice at once.

    The exit code is 0 if nobody is needed, and 3 if somebody is: something is in doubt, missing, or
    about to be lost, or an account cannot be used.

    Args:
        once: Harvest once; the default.
        every: Harvest again each so many seconds, until SIGTERM or Ctrl+C; then the code is 0.
        limit: How many due responses to read at most, the soonest-expiring first.
        warn_before: How many seconds before it may be gone an unread response is warned of.
        cancel_orphans: Cancel the responses that no call of a completed flow run asked for.
        json: Print JSON; with --every, one document a harvest.
        where: Which ledger.
    """
    if once and every is not None:
        raise RequestInvalid("Give --once or --every SECONDS, not both.")
    choices = Choices(limit=limit, warn_before=warn_before, cancel_orphans=cancel_orphans)
    async with ledger_to_write(where) as ledger:
        if every is not None:
            await _until_stopped(_repeat(ledger, choices, every, json=json))
            return
        report = await _until_stopped(_harvest(ledger, choices, json=json))
    if report is None:
        raise ResponsesError("The harvest was stopped; nothing is lost, the next one goes on.")
    if report.needs_a_person:
        sys.exit(NEEDS_A_PERSON)


async def _until_stopped(work: Coroutine[Any, Any, HarvestReport | None]) -> HarvestReport | None:
    """Return what *work* does, or None if a signal stopped it."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        with suppress(asyncio.CancelledError):
            return await task
        return None
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _repeat(ledger: Ledger, choices: Choices, every: float, *, json: bool) -> None:
    while True:
        try:
            await _harvest(ledger, choices, json=json)
        except ResponsesError as error:
            # The next one may find the ledger unlocked again.
            print(f"prefect-responses: {error}", file=sys.stderr, flush=True)  # noqa: T201
        await asyncio.sleep(every)


async def _harvest(ledger: Ledger, choices: Choices, *, json: bool) -> HarvestReport:
    # Prefect takes seconds to import, and a command line that cannot be read needs none of it.
    from prefect_responses.tasks.harvest import harvest_once  # noqa: PLC0415

    report = await harvest_once(ledger, choices, _showing)
    if json:
        printing.print_json(report.as_json())
    else:
        console = printing.console()
        for line in report.as_lines():
            console.print(printing.plain(line))
    sys.stdout.flush()
    return report


@asynccontextmanager
async def _showing(tally: Tally) -> AsyncIterator[None]:
    """Show in a terminal how a harvest gets on that takes its time."""
    console = Console(stderr=True)
    task = asyncio.ensure_future(_show(tally, console)) if console.is_terminal else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _show(tally: Tally, console: Console) -> None:
    await asyncio.sleep(_SHOWN_AFTER)
    with console.status(tally.as_line()) as status:
        while True:
            status.update(tally.as_line())
            await asyncio.sleep(_SHOWN_EVERY)
