"""The engine over a stub, a ledger in a file and a clock, as a shard uses it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
from peers import request_for
from pydantic import SecretStr

from prefect_responses.attempt import Draft, Endpoint, Origin
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.policies import AwaitMode, CallPolicy, PollPolicy
from prefect_responses.engine.calls import Call
from prefect_responses.engine.connections import CONNECTIONS
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.observers import Silent
from prefect_responses.engine.shards import RowCall, RowEnd, drive_shard
from prefect_responses.identity import canonical_json, job_scope, request_digest, row_name
from prefect_responses.ledger import Ledger
from prefect_responses.wire.requests import OPENAI

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prefect_responses.clock import Clock

SCOPE = job_scope("bench")
NOBODY = Endpoint("http://127.0.0.1:1/v1")


class ScaledClock:
    """The machine's clock, running *scale* times as fast."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._began = time.time()
        self._system = SystemClock()

    def now(self) -> float:
        """Return the time that it shows."""
        return self._began + (time.time() - self._began) * self._scale

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds* of its own time."""
        await self._system.sleep(seconds / self._scale)


class Engine:
    """The engine of one process, opened and closed."""

    responses: DurableResponses

    def __init__(self, ledger: str, clock: Clock, in_flight: int) -> None:
        self.endpoint = Endpoint(os.environ["OPENAI_BASE_URL"])
        self.gate = InFlight(in_flight)
        self._file = ledger
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._ledger = await Ledger.open(f"sqlite:///{self._file}", clock=SystemClock())
        self._api = HttpResponsesApi(
            self.endpoint,
            SecretStr(os.environ["OPENAI_API_KEY"]),
            transport="aiohttp",
            max_connections=CONNECTIONS["aiohttp"],
        )
        self.responses = DurableResponses(self._ledger, self._api, self._clock, OPENAI, Silent())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()
        await self._ledger.aclose()

    async def reset_stub(self) -> None:
        """Let the stub count from here on."""
        async with httpx.AsyncClient() as client:
            await client.post(self.endpoint.base_url.removesuffix("/v1") + "/reset")


def calls_of(endpoint: Endpoint | None, texts: Iterable[str], policy: PollPolicy) -> Iterator[Call]:
    """Return the calls of a job's rows that say *texts*."""
    to, how = endpoint or NOBODY, CallPolicy(AwaitMode.POLL, poll=policy)
    for number, text in enumerate(texts):
        request: dict[str, Any] = request_for(text)
        draft = Draft(
            scope=SCOPE,
            name=row_name(f"k{number}"),
            digest=request_digest(request, to),
            endpoint=to,
            credentials="environment",
            request=canonical_json(request),
            ordinal=0,
            run=(1,),
            model="stub",
        )
        yield Call(draft, request, Origin(SCOPE, execution="", run=(1,)), how)


async def drive(engine: Engine, calls: Iterable[Call]) -> int:
    """Drive all calls to their ends; return how many were answered."""
    ends: list[bool] = []

    def ended(end: RowEnd) -> None:
        ends.append(end.settled is not None and end.settled.attempt.is_answered)

    rows = (RowCall(call) for call in calls)
    await drive_shard(engine.responses, rows, gate=engine.gate, ended=ended)
    return sum(ends)
