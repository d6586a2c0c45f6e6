"""Look after attempts that hold room on an account and that nobody waits for any more.

A process died, and its rows left the table or are not asked for now. Their responses end all the
same, and somebody has to see it, or their room is never given back.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prefect_responses.engine.abreast import each_abreast, one_by_one
from prefect_responses.engine.submission import is_under_way
from prefect_responses.errors import ResponsesError
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.calls import Call
    from prefect_responses.ledger import Ledger

#: Seconds between two rounds at first; the pause doubles up to the longest one.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
#: Responses that are read at once.
_ABREAST = 16

_SENT = frozenset({AttemptState.SUBMITTING, AttemptState.SUBMITTED, AttemptState.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class Holders:
    """Say how many attempts hold the room of an account.

    Args:
        in_flight: their responses will end, or somebody is finding out what became of them.
        in_doubt: nobody knows whether they were accepted, and nobody is finding out.
    """

    in_flight: int = 0
    in_doubt: int = 0

    def words(self) -> str:
        """Return a few words for a line of progress."""
        doubts = f" and {self.in_doubt:,} in doubt" if self.in_doubt else ""
        return f"waiting for room that {self.in_flight:,} rows in flight{doubts} hold"


class Look(Protocol):
    """How the engine looks after one attempt."""

    async def __call__(self, attempt: Attempt, like: Call) -> None:
        """Find out how *attempt* stands, as the policy of *like* wants it; send nothing for it."""


class Attended(Protocol):
    """What this process waits for."""

    def __call__(self, attempt: Attempt) -> bool:
        """Tell whether a call of this process waits for *attempt*."""


class Unattended:
    """Find the attempts that nobody in this process waits for, and look after them now and then.

    Those that another process waits for are looked at too: it does no harm, and is rare.

    Args:
        ledger: the record.
        look: how one attempt is looked after.
        attended: what this process waits for.
    """

    def __init__(self, ledger: Ledger, look: Look, attended: Attended) -> None:
        self._ledger = ledger
        self._look = look
        self._attended = attended
        self._busy: set[str] = set()
        self._next: dict[str, tuple[float, float]] = {}

    def is_due(self, scope: str) -> bool:
        """Tell whether it is time for the next round over *scope*."""
        return scope not in self._busy and time.monotonic() >= self._next.get(scope, (0.0, 0.0))[0]

    def is_busy(self, scope: str) -> bool:
        """Tell whether a round over *scope* is under way."""
        return scope in self._busy

    async def look_after(self, like: Call) -> None:
        """Look once at each attempt of the scope of *like* that is sent and not waited for here.

        What has ended is recorded, and so is whether a doubt was accepted. Nothing is sent. After a
        crash the next process looks again.
        """
        scope, endpoint = like.draft.scope, like.draft.endpoint
        _, pause = self._next.get(scope, (0.0, FIRST_PAUSE))
        self._busy.add(scope)
        try:
            with suppress(ResponsesError):
                left = [one for one in await self._sent(scope) if not self._attended(one)]
                mine = one_by_one(one for one in left if one.endpoint == endpoint)
                await each_abreast(mine, lambda one: self._try(one, like), _ABREAST)
        finally:
            self._busy.discard(scope)
            self._next[scope] = time.monotonic() + pause, min(2 * pause, LONGEST_PAUSE)

    async def _try(self, attempt: Attempt, like: Call) -> None:
        # Whatever keeps it from being read, the rows that are driven come to know of it, too.
        with suppress(ResponsesError):
            await self._look(attempt, like)

    async def holders(self, scope: str, account: str) -> Holders:
        """Count the attempts of *scope* that hold room on *account*."""
        in_flight = in_doubt = 0
        living: dict[str, bool] = {}
        for attempt in await self._sent(scope):
            charge = attempt.charge
            if charge is None or all(one.name != account for one in charge.accounts):
                continue
            will_end = await self._will_end(attempt, living)
            in_flight, in_doubt = in_flight + will_end, in_doubt + (not will_end)
        return Holders(in_flight, in_doubt)

    async def _sent(self, scope: str) -> list[Attempt]:
        unsettled = await self._ledger.of_flow_runs((), (scope,))
        return [attempt for attempt in unsettled if attempt.state in _SENT]

    async def _will_end(self, attempt: Attempt, living: dict[str, bool]) -> bool:
        """Tell whether *attempt* ends without a person; its owner may be at work on a doubt."""
        if attempt.state is AttemptState.SUBMITTED or self._attended(attempt):
            return True
        owner = attempt.owner_id or ""
        if owner == self._ledger.owner_id:
            return is_under_way(attempt.id)
        if owner not in living:
            living[owner] = await self._ledger.owner_is_alive(owner)
        return living[owner]
