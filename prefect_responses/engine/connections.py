"""Open what a call needs: a ledger, an API, and the engine over both; each once a process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.rate_limits import NO_LIMITS
from prefect_responses.engine.admission import SharedAdmission
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.observers import Silent
from prefect_responses.ledger import Ledger
from prefect_responses.wire.requests import ProviderProfile

if TYPE_CHECKING:
    from pydantic import SecretStr

    from prefect_responses.attempt import Endpoint
    from prefect_responses.decisions.rate_limits import RateLimits
    from prefect_responses.engine.runtime import Runtime


#: httpx scans its whole pool at each request, so a small one is the fast one; aiohttp does not.
CONNECTIONS = {"httpx": 16, "aiohttp": 100}


@dataclass(frozen=True, slots=True)
class Connection:
    """Say how to reach one account at one endpoint.

    Args:
        endpoint: where requests go.
        api_key: the key; it is in no repr and reaches no ledger.
        reference: how another process finds the same key again (block name or environment).
        profile: what the server understands.
        allow_insecure: take an http URL on any host.
    """

    endpoint: Endpoint
    api_key: SecretStr
    reference: str
    profile: ProviderProfile = field(default_factory=ProviderProfile)
    allow_insecure: bool = False

    def identity(self) -> tuple[object, ...]:
        """Return what tells two connections apart, without the key itself."""
        key = hashlib.sha256(self.api_key.get_secret_value().encode()).hexdigest()
        return (self.endpoint, key, self.profile, self.allow_insecure)


@dataclass(frozen=True, slots=True)
class LedgerAddress:
    """Say where the ledger lies and how long its owners' leases are.

    Args:
        url: SQLAlchemy URL; it may hold a password and is in no repr.
        lease_seconds: after how long without a sign a process counts as dead.
    """

    url: str = field(repr=False)
    lease_seconds: float = 90.0


async def open_ledger(runtime: Runtime, address: LedgerAddress) -> Ledger:
    """Return this process's ledger at *address*, opened once.

    A process that was paused past its lease has lost it for good: it comes back as another owner.

    Raises:
        LedgerError: it cannot be opened, is locked, or needs newer code.
    """

    async def build() -> Ledger:
        ledger = await Ledger.open(
            address.url, clock=SystemClock(), lease_seconds=address.lease_seconds
        )
        runtime.in_a_fork(ledger.forget_owner)
        return ledger

    key = ("ledger", address)
    ledger = await runtime.shared(key, build, Ledger.aclose)
    if not ledger.holds_lease():
        runtime.forget(key, ledger)
        ledger = await runtime.shared(key, build, Ledger.aclose)
    return ledger


async def open_responses(  # noqa: PLR0913 - each says something else of how to submit
    runtime: Runtime,
    connection: Connection,
    address: LedgerAddress,
    *,
    transport: Literal["httpx", "aiohttp"] = "httpx",
    submit_timeout: float = 45.0,
    on_the_wire: int = 16,
    limits: RateLimits | None = None,
) -> DurableResponses:
    """Return this process's engine for *connection* and *address*, opened once.

    Args:
        runtime: what this process shares.
        connection: the account and the endpoint.
        address: where the ledger lies.
        transport: what carries the requests.
        submit_timeout: seconds that a whole POST may take.
        on_the_wire: POSTs between intent and ID at once.
        limits: what all workers together may ask of one model; the server's own limits are kept to
            in any case.

    Raises:
        LedgerError: the ledger cannot be opened.
        EndpointInvalid: the base URL cannot be used.
    """
    ledger = await open_ledger(runtime, address)

    async def build_api() -> HttpResponsesApi:
        return HttpResponsesApi(
            connection.endpoint,
            connection.api_key,
            transport=transport,
            timeouts=Timeouts(submit=submit_timeout),
            max_connections=CONNECTIONS[transport],
            allow_insecure=connection.allow_insecure,
        )

    account = (*connection.identity(), transport, submit_timeout)
    api = await runtime.shared(("api", *account), build_api, HttpResponsesApi.aclose)

    async def build_engine() -> DurableResponses:
        return DurableResponses(
            ledger,
            api,
            SystemClock(),
            connection.profile,
            Silent(),
            on_the_wire=on_the_wire,
            post_timeout=submit_timeout,
            admission=SharedAdmission(
                ledger.rate_limits,
                connection.endpoint,
                SystemClock(),
                limits or NO_LIMITS,
                on_the_wire=on_the_wire,
            ),
        )

    key = ("engine", ledger.owner_id, *account, on_the_wire, limits or NO_LIMITS)
    return await runtime.shared(key, build_engine, _nothing)


async def _nothing(engine: DurableResponses) -> None:
    del engine
