"""The engine on real parts: a ledger in a file, an emulator on a socket, the real client."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from prefect_responses.attempt import Draft, Endpoint, Link, Origin
from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.clock import SystemClock
from prefect_responses.decisions.policies import (
    Backoff,
    CallPolicy,
    InDoubtMode,
    InDoubtPolicy,
    OnChange,
    PollPolicy,
    RetryPolicy,
)
from prefect_responses.engine.calls import Call
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.identity import (
    canonical_json,
    key_name,
    request_digest,
    request_name,
    row_name,
)
from prefect_responses.ledger import Ledger
from prefect_responses.testing import ManualClock
from prefect_responses.wire.requests import OPENAI

if TYPE_CHECKING:
    from prefect_responses.emulator.server import EmulatorThread

API_KEY = "sk-engine-0123456789"
SCOPE = "flow-run:1"


@dataclass
class Recorder:
    """An observer that keeps what it heard."""

    heard: list[tuple[str, str]] = field(default_factory=list)

    def submitted(self, attempt):
        self.heard.append(("submitted", attempt.id))

    def resubmitted(self, abandoned, successor):
        self.heard.append(("resubmitted", f"{abandoned.id} {successor.id}"))

    def settled(self, attempt):
        self.heard.append(("settled", attempt.id))


class EmulatorsClock(ManualClock):
    """A jumping clock that takes the emulator's virtual clock along."""

    def __init__(self, control):
        super().__init__(jumps=True)
        self._control = control
        control.stop_clock(self.now())

    async def sleep(self, seconds):
        await asyncio.to_thread(self._control.advance, max(0.0, seconds))
        await super().sleep(seconds)


def policy(
    mode: InDoubtMode = InDoubtMode.AUTO, *, max_attempts: int = 1, resubmissions: int = 2
) -> CallPolicy:
    return CallPolicy(
        in_doubt=InDoubtPolicy(mode, resubmissions, Backoff(first=1.0, most=30.0)),
        retry=RetryPolicy(max_attempts),
        poll=PollPolicy(bad_answers=5),
    )


PATIENT = policy()


@dataclass
class Bench:
    """One process's engine; `again` is the next process over the same ledger file."""

    url: str
    emulator: EmulatorThread
    clock: Any
    ledger: Ledger
    api: HttpResponsesApi
    responses: DurableResponses
    observer: Recorder
    opened: list[Any]

    @property
    def control(self):
        return self.emulator.control

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.emulator.url)

    def call(  # noqa: PLR0913 - what tests vary
        self,
        text: str = "Say hi.",
        *,
        key: str | None = None,
        row: str | None = None,
        run: tuple[int, ...] = (1,),
        execution: str = "e1",
        chain: tuple[Link, ...] = (),
        policy: CallPolicy = PATIENT,
        on_change: OnChange = OnChange.ERROR,
        **request: Any,
    ) -> Call:
        asked = {"model": "echo", "input": text, **request}
        digest = request_digest(asked, self.endpoint)
        name, ordinal = request_name(digest), None
        if key is not None:
            name, ordinal = key_name(key), 0
        if row is not None:
            name, ordinal = row_name(row), 0
        draft = Draft(
            scope=SCOPE,
            name=name,
            digest=digest,
            endpoint=self.endpoint,
            credentials="environment",
            request=canonical_json(asked),
            ordinal=ordinal,
            run=run,
        )
        return Call(draft, asked, Origin(SCOPE, execution, chain, run), policy, on_change)

    def posts(self) -> list[dict[str, Any]]:
        """Return the creates that reached the server, accepted or not."""
        return [e for e in self.control.journal(method="POST") if e["path"] == "/v1/responses"]

    def accepted(self) -> int:
        return sum(entry["accepted"] for entry in self.posts())

    def reads(self) -> int:
        return len(self.control.journal(method="GET"))

    def cancels(self) -> list[str]:
        return [e["path"] for e in self.control.journal() if e["path"].endswith("/cancel")]

    async def attempts(self):
        return [attempt async for attempt in self.ledger.attempts()]

    async def again(self, *, clock: Any = None, api_key: str = API_KEY, **doors: Any) -> Bench:
        """Open what the next process would open, leaving this one as a crash would."""
        return await open_bench(
            self.url, self.emulator, clock or self.clock, self.opened, api_key=api_key, **doors
        )


async def open_bench(  # noqa: PLR0913 - the doors of a process
    url: str,
    emulator: EmulatorThread,
    clock: Any,
    opened: list[Any],
    *,
    api_key: str = API_KEY,
    base_url: str | None = None,
    on_the_wire: int = 16,
) -> Bench:
    ledger = await Ledger.open(url, clock=SystemClock(), lease_seconds=30.0)
    opened.append(ledger)
    api = HttpResponsesApi(
        Endpoint(base_url or emulator.url),
        SecretStr(api_key),
        transport="httpx",
        timeouts=Timeouts(connect=2.0, submit=5.0, read=5.0),
    )
    opened.append(api)
    observer = Recorder()
    responses = DurableResponses(ledger, api, clock, OPENAI, observer, on_the_wire=on_the_wire)
    return Bench(url, emulator, clock, ledger, api, responses, observer, opened)
