"""What prefect-responses takes for the same rows: under Prefect, by itself, and in parts."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from engine_rows import Engine, ScaledClock, calls_of, drive
from measuring import Cost, main, measured
from peers import texts_of

from prefect_responses.clock import SystemClock
from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.ledger import Claim, Ledger, Plan, RecordAccepted, Settle
from prefect_responses.statuses import Outcome, ResponseStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.attempt import Draft

#: Rows that the run of the ledger alone has under way at once.
GROUP = 500


def enrich_table(  # noqa: PLR0913 - what a run is made of
    *, table: str, sink: str, rows: int, in_flight: int, job: str, poll: float | None
) -> Cost:
    """Run a job over the whole table in one flow run; *poll* replaces what is learned."""
    from prefect import flow  # noqa: PLC0415 - it is slow, and only this needs it
    from pydantic import BaseModel  # noqa: PLC0415 - as above

    from prefect_responses import enrich  # noqa: PLC0415 - as above
    from prefect_responses.enrichment.rows import RowOutcome  # noqa: PLC0415 - as above

    class Said(BaseModel):
        word: str
        number: int

    cost = Cost()
    if poll is not None:
        _poll_every(poll)

    @flow
    def ask_all() -> None:
        with measured(cost):
            report = enrich(
                job=job,
                rows=table,
                key="key",
                prompt="Say {text}",
                output_type=Said,
                model="stub",
                sink=sink,
                max_in_flight=in_flight,
            )
        cost.facts["answered"] = report.outcomes.get(RowOutcome.OK, 0)

    ask_all()
    cost.facts["rows"] = rows
    return cost


def _poll_every(seconds: float) -> None:
    """Poll as the bare loops do: a job has no choice for it, since it learns."""
    PollPolicy.next_wait = lambda *_: seconds  # type: ignore[method-assign]


def engine_alone(*, ledger: str, rows: int, in_flight: int, poll: float) -> Cost:
    """Drive rows through the engine and the ledger, without Prefect, a table or a sink."""
    policy = PollPolicy(least=poll, most=poll, learns=False, notes=False)

    async def work() -> Cost:
        cost = Cost()
        async with Engine(ledger, SystemClock(), in_flight) as engine:
            with measured(cost):
                calls = calls_of(engine.endpoint, texts_of(rows), policy)
                cost.facts["answered"] = await drive(engine, calls)
        return cost

    return asyncio.run(work())


def learn_and_poll(*, ledger: str, lessons: int, rows: int, in_flight: int, scale: float) -> Cost:
    """Let the engine learn from some rows, then drive the others; its clock is *scale* as fast."""

    async def work() -> Cost:
        cost = Cost()
        async with Engine(ledger, ScaledClock(scale), in_flight) as engine:
            calls = calls_of(engine.endpoint, texts_of(lessons + rows), PollPolicy())
            await drive(engine, islice(calls, lessons))
            await engine.reset_stub()
            with measured(cost):
                cost.facts["answered"] = await drive(engine, calls)
        return cost

    return asyncio.run(work())


def ledger_alone(*, ledger: str, rows: int) -> Cost:
    """Write what a job of *rows* rows writes: plan, claim, ID and end of each."""

    async def work() -> Cost:
        cost, clock = Cost(), SystemClock()
        Path(ledger).parent.mkdir(exist_ok=True)
        book = await Ledger.open(f"sqlite:///{ledger}", clock=clock)
        with measured(cost):
            drafts = (call.draft for call in calls_of(None, _numbers(rows), PollPolicy()))
            while group := list(islice(drafts, GROUP)):
                await _write(book, group, clock)
        await book.aclose()
        cost.facts["answered"] = rows
        cost.facts["file"] = sum(each.stat().st_size for each in Path(ledger).parent.iterdir())
        return cost

    return asyncio.run(work())


def _numbers(rows: int) -> Iterator[str]:
    return (f"{number} {'text ' * 60}" for number in range(rows))


async def _write(book: Ledger, drafts: list[Draft], clock: SystemClock) -> None:
    """Take a group of rows from their plans to their ends."""
    at = clock.now()
    body = b'{"status":"completed","output":"' + b"x" * 2000 + b'"}'
    usage = {"input_tokens": 100, "output_tokens": 20}
    planned = await book.do_all([Plan(draft, at) for draft in drafts])
    ids = [verdict.attempt.id for verdict in planned]
    await book.do_all([Claim(each, f"request-{each}", at) for each in ids])
    working = ResponseStatus.IN_PROGRESS
    await book.do_all(
        [RecordAccepted(each, f"resp_{each}", working, None, None, at) for each in ids]
    )
    ended = ResponseStatus.COMPLETED
    await book.do_all(
        [
            Settle(each, Outcome.COMPLETED, at, ended, body, usage, polls=3, latency=1.0)
            for each in ids
        ]
    )


if __name__ == "__main__":
    main(
        {
            "enrich": enrich_table,
            "engine": engine_alone,
            "learn-and-poll": learn_and_poll,
            "ledger": ledger_alone,
        }
    )
