"""Flows whose cancel is passed on: what they left in flight is cancelled upstream as well."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar, Unpack, overload

from prefect import flow as prefect_flow
from prefect.logging.loggers import flow_run_logger

from prefect_responses.blocks.response_ledger import address_of, ledger_block
from prefect_responses.blocks.responses_credentials import connection_for
from prefect_responses.clock import SystemClock
from prefect_responses.engine.connections import open_ledger, open_responses
from prefect_responses.engine.flow_run_cancelling import cancel_flow_runs
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.errors import LedgerChanged, PrefectUnavailable, ResponsesError, type_name
from prefect_responses.host.flow_runs import descendants
from prefect_responses.host.ledger_identity import ledger_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow, FlowStateHook
    from prefect.results import ResultSerializer, ResultStorage
    from prefect.task_runners import TaskRunner

    from prefect_responses.attempt import Endpoint
    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.engine.connections import LedgerAddress
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.engine.flow_run_cancelling import CancelReport
    from prefect_responses.ledger import Ledger

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds for the whole hook: it must not hold up what Prefect does after it.
LONGEST = 60.0


class FlowOptions(TypedDict, total=False):
    """The arguments of Prefect's own `flow`."""

    name: str | None
    version: str | None
    flow_run_name: Callable[[], str] | str | None
    retries: int | None
    retry_delay_seconds: float | None
    task_runner: TaskRunner[Any] | None
    description: str | None
    timeout_seconds: float | None
    validate_parameters: bool
    persist_result: bool | None
    result_storage: ResultStorage | None
    result_serializer: ResultSerializer | None
    cache_result_in_memory: bool
    log_prints: bool | None
    on_completion: list[FlowStateHook[..., Any]] | None
    on_failure: list[FlowStateHook[..., Any]] | None
    on_cancellation: list[FlowStateHook[..., Any]] | None
    on_crashed: list[FlowStateHook[..., Any]] | None
    on_running: list[FlowStateHook[..., Any]] | None


@overload
def durable_flow(fn: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def durable_flow(
    *, ledger: ResponseLedger | None = None, **options: Unpack[FlowOptions]
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...


def durable_flow(
    fn: Callable[P, R] | None = None,
    /,
    *,
    ledger: ResponseLedger | None = None,
    **options: Unpack[FlowOptions],
) -> Flow[P, R] | Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a flow whose cancel is passed on: Prefect's `flow`, and `attach_hooks`.

    Args:
        fn: the flow's function.
        ledger: see `attach_hooks`.
        options: what `flow` takes.
    """
    if fn is None:
        return lambda function: attach_hooks(prefect_flow(**options)(function), ledger=ledger)
    return attach_hooks(prefect_flow(fn), ledger=ledger)


def attach_hooks(flow: Flow[P, R], *, ledger: ResponseLedger | None = None) -> Flow[P, R]:
    """Let a cancel of *flow* cancel upstream what its run has in flight; return *flow*.

    Its own hooks stay; attaching twice is attaching once.

    Args:
        flow: the flow that people cancel, which is the outermost one.
        ledger: where to look. It is needed only where the flow uses a ledger block that was never
            saved; the names of saved ones, and the settings, are found without it.
    """
    hooks = flow.on_cancellation_hooks
    others = [hook for hook in hooks if not isinstance(hook, CancelResponses)]
    before = [hook.ledger for hook in hooks if isinstance(hook, CancelResponses)]
    # First, because a hook that fails or hangs must not keep a paid response running. A new list,
    # because flows that were made from one another with_options share theirs.
    hook = CancelResponses(ledger or next(iter(before), None))
    flow.on_cancellation_hooks = [hook, *others]
    return flow


class CancelResponses:
    """The hook: it runs when the flow run's process is gone, and knows no more than its IDs.

    A plain function of Prefect's hook arguments, so that a worker's fresh process, a serving
    process and the flow's own process can all call it.

    Args:
        ledger: where to look, or None to find it by the flow run.
    """

    def __init__(self, ledger: ResponseLedger | None = None) -> None:
        self.__name__ = "cancel_responses"
        self.ledger = ledger

    def __call__(self, flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
        """Cancel what *flow_run* has in flight, and say so in one line. It never raises."""
        del state
        try:
            report = current_runtime().run(_cancel(flow_run, self.ledger))
        except Exception as error:  # noqa: BLE001 - Prefect goes on, and the harvester does the rest
            told = str(error) if isinstance(error, ResponsesError) else type_name(error)
            _say(flow, flow_run, logging.WARNING, f"left to the harvester: {told}")
        else:
            if report is not None:
                level = logging.WARNING if report.left else logging.INFO
                _say(flow, flow_run, level, report.as_line())


def _say(flow: Flow[..., Any], flow_run: FlowRun, level: int, line: str) -> None:
    # A process whose console is gone gets SystemExit from its console handler.
    with suppress(Exception, SystemExit):
        flow_run_logger(flow_run, flow).log(level, "Responses of this flow run: %s", line)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a flow run's responses are recorded.

    Args:
        address: the ledger's.
        uuid: the ledger's UUID, if it is known.
        guessed: Prefect could not be asked, so this is where the settings say.
    """

    address: LedgerAddress
    uuid: str | None = None
    guessed: bool = False


async def _cancel(flow_run: FlowRun, given: ResponseLedger | None) -> CancelReport | None:
    """Cancel what *flow_run* has in flight; return None if it never used a ledger."""
    async with asyncio.timeout(LONGEST):
        place = await _find(flow_run, given)
        if place is None:
            return None
        ledger = await _open(place)
        connect = partial(_connect, place.address)
        family = [str(flow_run.id)] if place.guessed else await _family(flow_run)
        report = await cancel_flow_runs(ledger, family, connect, SystemClock())
    if place.guessed and not report.found:
        raise PrefectUnavailable(
            "Prefect could not be asked which ledger the flow run uses, and in the settings' own "
            "none of its responses is in flight."
        )
    return report


async def _find(flow_run: FlowRun, given: ResponseLedger | None) -> _Place | None:
    if given is not None:
        return _Place(given.address())
    try:
        ledger = await ledger_of(flow_run)
        if ledger is None:
            return None
        block = await ledger_block(ledger.block) if ledger.block is not None else None
    except PrefectUnavailable:
        return _Place(address_of(None, deployed=False), guessed=True)
    return _Place(address_of(block, deployed=False), ledger.uuid)


async def _open(place: _Place) -> Ledger:
    ledger = await open_ledger(current_runtime(), place.address)
    if place.uuid not in {None, ledger.uuid}:
        raise LedgerChanged(
            f"They are recorded in ledger {place.uuid}, and here is {ledger.uuid}. Set the same "
            "ledger URL where hooks run, save the flow's ledger block, or pass "
            "attach_hooks(flow, ledger=block)."
        )
    return ledger


async def _connect(address: LedgerAddress, reference: str, endpoint: Endpoint) -> DurableResponses:
    connection = await connection_for(reference, endpoint)
    return await open_responses(current_runtime(), connection, address)


async def _family(flow_run: FlowRun) -> list[str]:
    """Return the flow run and those below it. Those that share its scope are found in any case."""
    with suppress(PrefectUnavailable):
        return [str(flow_run.id), *await descendants(str(flow_run.id))]
    return [str(flow_run.id)]
