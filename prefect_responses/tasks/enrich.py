"""Enrich: ask a model about every row of a table, and pay for each row once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec

from prefect.utilities.asyncutils import run_coro_as_sync

from prefect_responses.blocks.responses_credentials import connection_of
from prefect_responses.decisions.budgets import Budget, check_budgets
from prefect_responses.decisions.policies import InDoubtMode, OnChange
from prefect_responses.decisions.replays import replay_classes
from prefect_responses.decisions.row_outcomes import DEAD, RowOutcome
from prefect_responses.decisions.row_selection import Select, Selection
from prefect_responses.engine.garbage_collection import rare_collections
from prefect_responses.enrichment.job import EnrichJob
from prefect_responses.enrichment.output_types import OutputType
from prefect_responses.enrichment.prices import read_prices
from prefect_responses.enrichment.prompts import Prompt
from prefect_responses.enrichment.reports import EnrichReport
from prefect_responses.enrichment.row_filters import columns_of, row_filter
from prefect_responses.enrichment.sinks import open_sink
from prefect_responses.enrichment.sources import aopen_source
from prefect_responses.enrichment.surveys import PassTerms
from prefect_responses.errors import RequestInvalid
from prefect_responses.tasks.asking import one_of
from prefect_responses.tasks.enrich_run import JobRun, RunChoices
from prefect_responses.tasks.enrich_shards import enrich_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from os import PathLike

    from pydantic import BaseModel

    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.blocks.responses_credentials import ResponsesCredentials
    from prefect_responses.decisions.rate_limits import RateLimits
    from prefect_responses.enrichment.prices import ModelPrices, PriceBlock
    from prefect_responses.enrichment.row_filters import Where
    from prefect_responses.enrichment.sinks import Sink

__all__ = ["aenrich", "enrich", "enrich_shard"]

P = ParamSpec("P")

#: Rows that one Prefect task run drives.
SHARD_ROWS = 1000
#: Attempts at one request that may end without an answer.
MAX_ATTEMPTS = 3


async def aenrich(  # noqa: PLR0913 - each is a named choice of the user
    *,
    job: str,
    rows: Any,
    key: str | tuple[str, ...],
    prompt: Prompt | str,
    output_type: type[BaseModel] | dict[str, Any],
    model: str,
    sink: Sink | str | PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    select: Select | str = Select.DUE,
    where: Where | None = None,
    replay: Iterable[str] = (),
    on_change: OnChange | str = OnChange.RESUBMIT,
    max_attempts: int | Mapping[str, int] = MAX_ATTEMPTS,
    sample: int | None = None,
    seed: int = 0,
    dry_run: bool = False,
    prices: ModelPrices | PriceBlock | str | PathLike[str] | None = None,
    budget: Budget | Iterable[Budget] | None = None,
    limits: RateLimits | None = None,
    max_in_flight: int = 200,
    shard_rows: int = SHARD_ROWS,
    in_doubt: InDoubtMode | str = InDoubtMode.AUTO,
    accept_new_ledger: bool = False,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> EnrichReport:
    """Ask a model about every row of a table, and pay for each row once.

    A row that is finished is not asked again, by a retry or by a later run of the same job; a row
    that was in flight when a process died is found again. A changed row is submitted again. Runs of
    one job at once share its rows.

    Args:
        job: the job's name, by which later runs find its rows.
        rows: a file, a database URL, a frame, an iterable of mappings, or a `Source`.
        key: the column, or columns, that tell rows apart.
        prompt: what is asked, with `{column}` placeholders.
        output_type: a pydantic model or a JSON schema.
        model: the model that answers.
        sink: a file, a database URL or a `Sink` for the results.
        options: further request fields, named as the API names them.
        select: `due` (new, changed, unfinished, and dead rows that are due), `failed` (dead rows
            alone) or `force` (every row, even if it is finished).
        where: the rows that it is about: columns and the value or values that they may have, or a
            function of a `Row`.
        replay: classes of dead rows whose answer is replaced, such as `schema`.
        on_change: what to do with rows whose request changed: `resubmit`, `adopt` (keep what they
            have) or `error` (send nothing).
        max_attempts: attempts at one request that may end without an answer before later runs leave
            the row alone; one number, or one by class.
        sample: ask only so many rows, drawn at random, and say what the whole would take.
        seed: another seed draws another sample.
        dry_run: say what would be done, and send nothing.
        prices: a price list or the path of one, so that costs are known.
        budget: what may be spent, once or several times.
        limits: how fast all workers together may go.
        max_in_flight: responses that this process has under way at once.
        shard_rows: rows that one Prefect task run drives.
        in_doubt: `auto`, `resubmit`, `fail` or `search`.
        accept_new_ledger: let this ledger replace the one that the flow run began with.
        credentials: the account that pays; the environment's by default.
        ledger: where to record; the default ledger if None.

    Returns:
        Counts, names of what is in doubt, and where the results lie.

    Raises:
        RequestInvalid: something is wrong with what was asked; nothing was sent.
        BudgetStopped: a budget is used up; finished rows are written.
        ResponsesError: what stopped the job (no quota, say); finished rows are written, and the
            next run goes on from there.
    """
    choice = one_of(OnChange, "on_change", on_change)
    what = EnrichJob(
        name=job,
        source=await aopen_source(rows, key),
        key=key,
        prompt=Prompt(prompt) if isinstance(prompt, str) else prompt,
        output_type=OutputType(output_type),
        model=model,
        options=options or {},
        in_doubt=one_of(InDoubtMode, "in_doubt", in_doubt),
        on_change=choice,
    )
    selection = Selection(
        one_of(Select, "select", select),
        replay_classes((replay,) if isinstance(replay, str) else replay),
        adopts_changes=choice is OnChange.ADOPT,
    )
    choices = RunChoices(
        PassTerms(_attempts(max_attempts), selection, where, shard_rows=shard_rows),
        max_in_flight,
        sample=sample,
        seed=seed,
        dry_run=dry_run,
        prices=read_prices(prices),
        budgets=_budgets(budget),
        limits=limits,
        accept_new_ledger=accept_new_ledger,
    )
    out = None if sink is None else open_sink(sink)
    return await _checked(JobRun(what, choices, connection_of(credentials), ledger, out))


async def _checked(run: JobRun) -> EnrichReport:
    """Check what can be checked before anything is sent, then run."""
    _check(run)
    with rare_collections():
        return await run.run()


def _check(run: JobRun) -> None:
    choices = run.choices
    for name, number in (
        ("max_in_flight", choices.max_in_flight),
        ("shard_rows", choices.terms.shard_rows),
    ):
        if number < 1:
            raise RequestInvalid(f"{name} is {number}; it takes at least 1.")
    row_filter(choices.terms.where)
    check_budgets(choices.budgets, run.price, run.job.model)
    run.job.check(columns_of(choices.terms.where))


def _attempts(given: int | Mapping[str, int]) -> dict[RowOutcome, int]:
    """Return the attempts of each class of dead rows.

    Raises:
        RequestInvalid: a class that is none, or fewer than one attempt.
    """
    said = dict.fromkeys(DEAD, given) if isinstance(given, int) else given
    numbers = dict.fromkeys(DEAD, MAX_ATTEMPTS)
    for name, number in said.items():
        if name not in DEAD:
            known = ", ".join(sorted(DEAD))
            raise RequestInvalid(f"max_attempts= names {name!r}; rows end as one of {known}.")
        if number < 1:
            raise RequestInvalid(f"max_attempts= is {number} for {name}; it takes at least 1.")
        numbers[RowOutcome(name)] = number
    return numbers


def _budgets(given: Budget | Iterable[Budget] | None) -> tuple[Budget, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, Budget) else tuple(given)


def _sync_face(
    face: Callable[P, Coroutine[Any, Any, EnrichReport]],
) -> Callable[P, EnrichReport]:
    @functools.wraps(face)
    def enrich(*args: P.args, **choices: P.kwargs) -> EnrichReport:
        report: EnrichReport = run_coro_as_sync(face(*args, **choices))
        return report

    enrich.__name__ = enrich.__qualname__ = "enrich"
    return enrich


enrich = _sync_face(aenrich)
