"""Look among the responses that a server lists for one that is in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

from prefect_responses.decisions.policies import Backoff
from prefect_responses.decisions.searching import (
    CannotList,
    FoundIt,
    NextPage,
    NotThere,
    PageVerdict,
    read_page,
)
from prefect_responses.errors import AnswerUnreadable, RequestInvalid
from prefect_responses.ledger import ResolveDoubt

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.client.api import ResponsesApi
    from prefect_responses.clock import Clock
    from prefect_responses.ledger import Ledger

#: Seconds after a POST was sent in which it may still arrive, through proxies and queues.
ARRIVAL_SECONDS = 10.0
#: Pages that one look reads at most.
MAX_PAGES = 50
#: Times that a page is asked for which passing failures keep away.
PAGE_TRIES = 3
_BACKOFF = Backoff(first=1.0, most=30.0)


@dataclass(frozen=True, slots=True)
class Found:
    """The server has it: the doubt is resolved, and this is where the attempt stands now."""

    attempt: Attempt


SearchEnd: TypeAlias = Found | NotThere | CannotList


class Searching:
    """Search for attempts in doubt where one API lists its responses.

    Args:
        ledger: where a doubt is resolved.
        api: whose responses are listed.
        clock: the time.
        settle_seconds: between the two looks after which something is not there.
    """

    def __init__(
        self, ledger: Ledger, api: ResponsesApi, clock: Clock, *, settle_seconds: float = 5.0
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._clock = clock
        self._settle_seconds = settle_seconds

    async def search(self, attempt: Attempt) -> SearchEnd:
        """Find the response of *attempt*, or say that there is none, or that nobody can tell.

        That it is not there is said after two looks only, the second when the POST can no longer
        arrive. After a crash the search begins again; what was found is found again.

        Args:
            attempt: one that is in doubt.

        Returns:
            Found: the ledger has its response ID; the attempt may be surplus by now.
            NotThere: its POST was not accepted, so it may be sent again.
            CannotList: a person must look.
        """
        verdict = await self._look(attempt)
        if isinstance(verdict, NotThere):
            arrived_at = _sent_at(attempt) + ARRIVAL_SECONDS
            left = arrived_at - self._clock.now()
            await self._clock.sleep(max(self._settle_seconds, left))
            verdict = await self._look(attempt)
        match verdict:
            case FoundIt(response):
                return await self._resolve(attempt, response.id)
            case NotThere() | CannotList():
                return verdict
            case _:
                assert_never(verdict)

    async def _resolve(self, attempt: Attempt, response_id: str) -> Found:
        verb = ResolveDoubt(attempt.id, response_id, self._clock.now())
        return Found((await self._ledger.do(verb)).attempt)

    async def _look(self, attempt: Attempt) -> FoundIt | NotThere | CannotList:
        """Go through the list once, as far back as the response may be."""
        after: str | None = None
        for _ in range(MAX_PAGES):
            verdict = await self._page(attempt, after)
            if not isinstance(verdict, NextPage):
                return verdict
            if verdict.after == after:
                return _endless("it repeats a page")
            after = verdict.after
        return _endless(f"it is longer than {MAX_PAGES} pages")

    async def _page(self, attempt: Attempt, after: str | None) -> PageVerdict:
        verdict = await self._ask(attempt, after)
        for tries in range(1, PAGE_TRIES):
            if not isinstance(verdict, CannotList) or not verdict.error.retryable:
                break
            wait = max(verdict.error.retry_after or 0.0, _BACKOFF.wait(tries))
            await self._clock.sleep(wait)
            verdict = await self._ask(attempt, after)
        return verdict

    async def _ask(self, attempt: Attempt, after: str | None) -> PageVerdict:
        try:
            answer = await self._api.list_responses(after=after)
        except RequestInvalid:
            return _endless("it goes on after what is no response ID")
        return read_page(answer, attempt.key, _sent_at(attempt))


def _sent_at(attempt: Attempt) -> float:
    return attempt.submitting_at or attempt.planned_at


def _endless(why: str) -> CannotList:
    return CannotList(AnswerUnreadable(f"The list of responses cannot be read to its end: {why}."))
