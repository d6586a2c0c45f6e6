"""Turn what a user asks for into a call of the engine. Everything is checked before it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson

from prefect_responses.attempt import Draft
from prefect_responses.blocks.response_ledger import address_of
from prefect_responses.blocks.responses_credentials import connection_of
from prefect_responses.decisions.policies import (
    AwaitMode,
    InDoubtMode,
    InDoubtPolicy,
    OnChange,
    RetryPolicy,
)
from prefect_responses.engine.calls import Call
from prefect_responses.engine.connections import open_responses
from prefect_responses.engine.in_flight import on_the_wire_for
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.errors import OwnerLost, RequestInvalid
from prefect_responses.host.ledger_identity import hold_to_ledger
from prefect_responses.host.origins import read_host
from prefect_responses.host.prefect_internals import saved_name
from prefect_responses.identity import (
    canonical_json,
    key_name,
    request_digest,
    request_name,
    sample_name,
)
from prefect_responses.settings import ResponsesSettings
from prefect_responses.tasks.limits import open_limits, timeout_of
from prefect_responses.tasks.waiting import Waiting
from prefect_responses.wire.requests import check_options, outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from enum import StrEnum

    from prefect_responses.attempt import Attempt
    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.blocks.responses_credentials import ResponsesCredentials
    from prefect_responses.decisions.rate_limits import RateLimits
    from prefect_responses.engine.connections import Connection
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.host.origins import Host
    from prefect_responses.tasks.limits import HasTimeout, Limit

T = TypeVar("T")
E = TypeVar("E", bound="StrEnum")


#: The share of a lease that a whole POST may take. Leases are renewed each quarter, so that a POST
#: which begins with half of a lease left ends while its owner still counts as alive.
POST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Ask:
    """What a user may say about one response, beside the request.

    Args:
        request: the API's own request fields.
        key: the user's name for this response within the scope; without one the request is it.
        sample: which of several wanted answers to the same request, counted from 0.
        scope: the user's name for the scope; without one the outermost flow run is it.
        on_change: what to do when *key* was used for another request.
        in_doubt: what to do when a POST may or may not have been accepted.
        max_attempts: attempts that one run may pay for when a response fails.
        accept_new_ledger: let this ledger replace the one that the flow run began with.
        credentials: the account, or None for the environment's.
        ledger: the record, or None for the default one.
        waiting: how its end is waited for, its deadline included.
        limits: the blocks of code with a deadline that it is asked in.
    """

    request: Mapping[str, Any] = field(hash=False)
    key: str | None = None
    sample: int | None = None
    scope: str | None = None
    on_change: OnChange = OnChange.ERROR
    in_doubt: InDoubtMode = InDoubtMode.AUTO
    max_attempts: int = 1
    accept_new_ledger: bool = False
    credentials: ResponsesCredentials | None = field(default=None, hash=False)
    ledger: ResponseLedger | None = field(default=None, hash=False)
    waiting: Waiting = field(default_factory=Waiting, hash=False)
    limits: tuple[Limit, ...] = field(default=(), hash=False)


def one_of(words: type[E], name: str, given: str) -> E:
    """Return the word of *words* that was given as *name*.

    Raises:
        RequestInvalid: there is no such word.
    """
    try:
        return words(given)
    except ValueError as error:
        known = ", ".join(repr(word.value) for word in words)
        raise RequestInvalid(f"{name}= takes one of {known}, not {given!r}.") from error


#: What the tasks take beside the API's own request fields.
OWN_OPTIONS = frozenset(
    {
        "accept_new_ledger",
        "cancel_on_timeout",
        "credentials",
        "in_doubt",
        "key",
        "ledger",
        "live_text",
        "max_attempts",
        "mode",
        "on_change",
        "sample",
        "scope",
    }
)


def waits(
    cancel_on_timeout: HasTimeout | float | None,
    *,
    mode: AwaitMode | str = AwaitMode.AUTO,
    live_text: bool = False,
) -> dict[str, Any]:
    """Return what an `Ask` says of waiting; call it where the user calls, for the limits there.

    Raises:
        RequestInvalid: there is no such mode, or the seconds are no positive number.
    """
    way = one_of(AwaitMode, "mode", mode)
    return {
        "waiting": Waiting(way, timeout_of(cancel_on_timeout), live_text=live_text),
        "limits": open_limits(),
    }


def hold(ask: Ask, responses: DurableResponses, attempt: Attempt) -> None:
    """Let the deadlines of the blocks of code around *ask* hold for what became of it."""
    for limit in ask.limits:
        limit.hold(responses, attempt)


async def open_call(ask: Ask) -> tuple[DurableResponses, Call]:
    """Return the engine and the call that stand for *ask*. Nothing is sent or claimed yet.

    Raises:
        RequestInvalid: the request, the key, the credentials or the endpoint cannot be used.
        LedgerError: the ledger cannot be used, or is another than the flow run began with.
    """
    connection = connection_of(ask.credentials)
    # The client writes exactly what the digest is taken of, whatever Python types it came in.
    ask = replace(ask, request=orjson.loads(canonical_json(ask.request)))
    _check(ask, connection)
    host = await read_host(scope=ask.scope, key=ask.key)
    responses = await open_engine(connection, ask.ledger, host, accept_new=ask.accept_new_ledger)
    return responses, _call(ask, connection, host)


async def with_engine(ask: Ask, do: Callable[[DurableResponses, Call], Awaitable[T]]) -> T:
    """Return what *do* makes of the engine and the call that stand for *ask*.

    A process that was paused past its lease may not submit. Nothing was sent then, and it goes on
    as a new owner, as if it had been started again.

    Raises:
        ResponsesError: see `open_call`, and what *do* raises.
    """
    try:
        return await do(*await open_call(ask))
    except OwnerLost:
        return await do(*await open_call(ask))


async def open_engine(  # noqa: PLR0913 - each says something else of how to submit
    connection: Connection,
    ledger: ResponseLedger | None,
    host: Host,
    *,
    accept_new: bool = False,
    transport: Literal["httpx", "aiohttp"] = "httpx",
    limits: RateLimits | None = None,
    max_in_flight: int = 1,
) -> DurableResponses:
    """Return the engine over *connection* and the ledger, once the flow run may use that ledger.

    Args:
        connection: the account.
        ledger: the record, or None for the default one.
        host: in which flow run the call is made.
        accept_new: let this ledger replace the one that the flow run began with.
        transport: `aiohttp` for many requests at once.
        limits: what all workers together may ask, or None.
        max_in_flight: responses under way at once; where they are many, and the settings say
            nothing, more POSTs are on the wire at once.

    Raises:
        LedgerError: the ledger cannot be used, or is another than the flow run began with.
    """
    settings = ResponsesSettings()
    address = address_of(ledger, deployed=host.deployed)
    responses = await open_responses(
        current_runtime(),
        connection,
        address,
        transport=transport,
        submit_timeout=min(settings.submit_timeout_seconds, POST_SHARE * address.lease_seconds),
        on_the_wire=_on_the_wire(settings, max_in_flight),
        limits=limits,
    )
    if host.flow_run_id is not None:
        uuid, block = responses.ledger.uuid, saved_name(ledger)
        await hold_to_ledger(host.flow_run_id, uuid, accept_new=accept_new, block=block)
    return responses


def _on_the_wire(settings: ResponsesSettings, max_in_flight: int) -> int:
    if "max_on_the_wire" in settings.model_fields_set:
        return settings.max_on_the_wire
    return on_the_wire_for(max_in_flight, least=settings.max_on_the_wire)


def _check(ask: Ask, connection: Connection) -> None:
    if ask.key is not None and ask.sample is not None:
        raise RequestInvalid("Give key= or sample=, not both: each tells calls apart by itself.")
    _check_names(ask)
    _check_numbers(ask)
    if not ask.request.get("model") and not ask.request.get("prompt"):
        raise RequestInvalid("The request names no model; give model=.")
    check_options(ask.request, beside=OWN_OPTIONS)
    outgoing(ask.request, key="", profile=connection.profile)


def _check_names(ask: Ask) -> None:
    for name, text in (("key", ask.key), ("scope", ask.scope)):
        if text is None:
            continue
        if not text.strip():
            raise RequestInvalid(f"{name}= is empty; give a text that finds this response again.")
        if "\0" in text:
            raise RequestInvalid(f"{name}= holds a NUL character, which ledgers cannot keep.")
        canonical_json(text)  # half a character cannot be kept either


def _check_numbers(ask: Ask) -> None:
    if ask.sample is not None and ask.sample < 0:
        raise RequestInvalid(f"sample= is {ask.sample}; samples are counted from 0.")
    if ask.max_attempts < 1:
        raise RequestInvalid(f"max_attempts= is {ask.max_attempts}; it takes at least 1.")


def _call(ask: Ask, connection: Connection, host: Host) -> Call:
    origin = host.origin
    digest = request_digest(ask.request, connection.endpoint)
    name, ordinal = _name(ask, digest)
    draft = Draft(
        scope=origin.scope,
        name=name,
        digest=digest,
        endpoint=connection.endpoint,
        credentials=connection.reference,
        request=canonical_json(ask.request),
        ordinal=ordinal,
        run=origin.run,
        flow_run_id=origin.flow_run_id,
        task_run_id=origin.task_run_id,
        deadline_at=ask.waiting.timeout.deadline(current_runtime().now()),
        model=str(ask.request["model"]) if ask.request.get("model") else None,
    )
    policy = replace(
        ask.waiting.policy(),
        in_doubt=InDoubtPolicy(ask.in_doubt),
        retry=RetryPolicy(max_attempts=ask.max_attempts),
    )
    return Call(draft, ask.request, origin, policy, ask.on_change)


def _name(ask: Ask, digest: str) -> tuple[str, int | None]:
    if ask.key is not None:
        return key_name(ask.key), 0
    if ask.sample is not None:
        return sample_name(digest), ask.sample
    return request_name(digest), None
