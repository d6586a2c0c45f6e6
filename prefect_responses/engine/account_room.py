"""Begin with rows no faster than an account that was full finds room for them.

Who is refused costs a round trip to the ledger, so a row that was refused makes the others wait:
each end here lets one of them try, and every second a few more than the last time do, as long as
none is refused. Ends in other processes free room, too, and so does what nobody waits for any more,
which is looked after meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prefect_responses.job_errors import BudgetStopped

if TYPE_CHECKING:
    from prefect_responses.charges import Charge
    from prefect_responses.engine.calls import Call
    from prefect_responses.engine.in_flight import InFlight
    from prefect_responses.engine.unattended import Unattended
    from prefect_responses.job_errors import AccountFull
    from prefect_responses.ledger import Account, Ledger

#: Seconds after which it is tried again although no row has ended here.
TRY_EVERY = 1.0
#: Rows that may be tried at once from which on the account counts as having room.
_ROOM_ENOUGH = 1024
#: Seconds without an end here and without a change of the account, after which nobody is believed
#: to make room any more.
ROOM_PATIENCE = 1800.0
#: Seconds between two counts of those who hold the room, at most.
_COUNT_EVERY = 30.0

_IN_FLIGHT = "max_in_flight"


class AccountRoom:
    """Hold the rows of one shard back while one of their accounts is full.

    Args:
        ledger: where the accounts are kept.
        unattended: looks after what holds room and is not waited for.
        gate: shows people who holds the room.
    """

    def __init__(self, ledger: Ledger, unattended: Unattended, gate: InFlight) -> None:
        self.running = 0
        self._ledger = ledger
        self._unattended = unattended
        self._gate = gate
        self._full: AccountFull | None = None
        self._refused: Call | None = None
        self._account: Account | None = None
        self._changed_at = self._count_at = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._turns = 0
        self._step = 1
        self._news = asyncio.Event()

    # --- what becomes of the shard's rows ---------------------------------------------------------

    def row_began(self) -> None:
        """Take note that a row is under way."""
        self.running += 1

    def row_refused(self, call: Call, full: AccountFull) -> None:
        """Take note that the claim of *call* found an account full."""
        if self._full is None:
            self._changed_at = time.monotonic()
        self._full, self._refused = full, call
        self._turns, self._step = 0, 1

    def row_ended(self) -> None:
        """Take note that a row has ended: one other may try in its place."""
        self._turns += self._full is not None

    def row_left(self) -> None:
        """Take note that a row is no longer under way, whether it ended or came back."""
        self.running -= 1
        self._news.set()

    async def wait_for_news(self) -> None:
        """Wait until a row is no longer under way."""
        self._news.clear()
        await self._news.wait()

    # --- when to begin with the next one ----------------------------------------------------------

    async def wait_for_room(self) -> None:
        """Wait until it is worth while to try one more row; returns at once unless one was refused.

        Raises:
            BudgetStopped: the account is used up, and nothing that is under way can change that.
            AccountFull: nobody has made room for `ROOM_PATIENCE` seconds.
        """
        try:
            while (full := self._full) is not None and (call := self._refused) is not None:
                if self._turns > 0:
                    self._turns -= 1
                    return
                self._look_after_others(call)
                if self.running == 0:
                    await self._look(call, full)
                await self._wait_a_little()
        finally:
            self._gate.held = None

    def _look_after_others(self, call: Call) -> None:
        if self._unattended.is_due(call.draft.scope):
            self._looking = asyncio.create_task(self._unattended.look_after(call))

    async def aclose(self) -> None:
        """Look after nothing any more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _wait_a_little(self) -> None:
        try:
            async with asyncio.timeout(TRY_EVERY):
                await self.wait_for_news()
        except TimeoutError:
            self._turns, self._step = self._step, self._step * 2
            if self._step > _ROOM_ENOUGH:
                self._full = None

    async def _look(self, call: Call, full: AccountFull) -> None:
        account, now = await self._ledger.account(full.account), time.monotonic()
        if call.charge is not None and is_used_up(account, call.charge, full):
            raise BudgetStopped(full.account, full.limit)
        if account != self._account:
            self._account, self._changed_at, self._count_at = account, now, now
        elif not await self._is_coming(call, full, now) or now - self._changed_at > ROOM_PATIENCE:
            raise full if full.limit == _IN_FLIGHT else BudgetStopped(full.account, full.limit)

    async def _is_coming(self, call: Call, full: AccountFull, now: float) -> bool:
        """Tell whether room will come, and show people who holds it.

        Attempts in doubt hold theirs until a person has looked.
        """
        scope = call.draft.scope
        if now < self._count_at or self._unattended.is_busy(scope):
            return True
        self._count_at = now + min(_COUNT_EVERY, now - self._changed_at)
        self._gate.held = held = await self._unattended.holders(scope, full.account)
        # What ended while they were counted has changed the account.
        return held.in_flight > 0 or await self._ledger.account(full.account) != self._account


def is_used_up(account: Account | None, charge: Charge, full: AccountFull) -> bool:
    """Tell whether *charge* does not fit into an account on which nothing is reserved.

    One that was refused may fit by now: what was under way cost less than was reserved for it.
    """
    if account is not None and (account.reserved_usd or account.reserved_tokens):
        return False
    limits = [limit for limit in charge.accounts if limit.name == full.account]
    usd, tokens = (0, 0) if account is None else (account.spent_usd, account.spent_tokens)
    return any(
        _exceeds(usd + charge.usd, limit.max_usd)
        or _exceeds(tokens + charge.tokens, limit.max_tokens)
        for limit in limits
    )


def _exceeds(sum_: int, most: int | None) -> bool:
    return most is not None and sum_ > most
