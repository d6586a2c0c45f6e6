"""A harvest on real parts: the bench's ledger, engines over the emulator, doors that are heard."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from engine_bench import API_KEY, SCOPE
from pydantic import SecretStr

from prefect_responses.attempt import Origin
from prefect_responses.client.http import HttpResponsesApi, Timeouts
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.harvest import Harvest
from prefect_responses.engine.harvest_doors import Ended, Untold
from prefect_responses.engine.harvest_reads import Choices
from prefect_responses.engine.harvest_tally import Tally
from prefect_responses.errors import CredentialsMissing, ResponsesError
from prefect_responses.identity import flow_run_scope
from prefect_responses.ledger import (
    Claim,
    Plan,
    RecordAccepted,
)
from prefect_responses.wire.requests import OPENAI

HOUR, DAY = 3600.0, 86_400.0
RUN = SCOPE.removeprefix(flow_run_scope(""))


@dataclass
class Told(Untold):
    """Events that are kept."""

    responses: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[Any] = field(default_factory=list)
    arrives: bool = True

    def response(self, event, attempt):
        self.responses.append((event.value, attempt.id))

    async def expiring(self, warning):
        self.warnings.append(warning)
        return self.arrives


@dataclass
class BenchAccounts:
    """Real engines over the bench's ledger, for the credentials that there are."""

    bench: Any
    tally: Tally
    there: tuple[str, ...] = ("environment",)

    async def open(self, credentials, endpoint):
        if credentials not in self.there:
            raise CredentialsMissing
        timeouts = Timeouts(connect=1.0, read=5.0)
        key = SecretStr(API_KEY)
        api = HttpResponsesApi(endpoint, key, transport="aiohttp", timeouts=timeouts)
        self.bench.opened.append(api)
        return DurableResponses(self.bench.ledger, api, self.bench.clock, OPENAI, self.tally)


@dataclass
class Runs:
    """What Prefect says of flow runs."""

    known: Ended = field(default_factory=Ended)
    asked: list[set[str]] = field(default_factory=list)

    async def ended(self, flow_run_ids):
        self.asked.append(set(flow_run_ids))
        return self.known


class NoRuns:
    """A Prefect that does not answer."""

    async def ended(self, _):
        raise ResponsesError("Prefect's API gave no usable answer.")


async def harvest(bench, runs=None, *, told=None, there=("environment",), **choices):
    tally = Tally(told or Told())
    accounts = BenchAccounts(bench, tally, there)
    round_ = Harvest(
        bench.ledger, accounts, runs, tally=tally, clock=bench.clock, choices=Choices(**choices)
    )
    return await round_.run()


def counted(report) -> dict[str, int]:
    return {str(what): count for what, count in report.counts.items()}


async def created(bench, text, **how):
    return await bench.responses.create(bench.call(text, **how))


async def created_as(bench, text, **draft):
    """Create a response whose record says *draft*."""
    call = bench.call(text)
    changed = replace(call.draft, **draft)
    origin = Origin(changed.scope, "e1", flow_run_id=changed.flow_run_id)
    return await bench.responses.create(replace(call, draft=changed, origin=origin))


async def planted(bench, text, **draft) -> str:
    """Record an accepted response without asking anybody."""
    call = bench.call(text)
    now = bench.clock.now()
    attempt = (await bench.ledger.do(Plan(replace(call.draft, **draft), now))).attempt
    await bench.ledger.do(Claim(attempt.id, "client", now))
    accepted = RecordAccepted(attempt.id, f"resp_{text}", None, None, now + 30 * DAY, now)
    await bench.ledger.do(accepted)
    return attempt.id


def gone(bench):
    bench.control.add_fault("gone", match={"method": "GET"}, times=None)


async def submitting(bench, text):
    attempt = (await bench.ledger.do(Plan(bench.call(text).draft, bench.clock.now()))).attempt
    return (await bench.ledger.do(Claim(attempt.id, "client", bench.clock.now()))).attempt
