"""The one writer of a process: it commits in groups what callers ask for one by one.

A transaction a verb costs forty times what a verb in a group does. A caller is answered only after
its commit, and a caller that was cancelled does not take its verb with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from prefect_responses.errors import LedgerLocked, LedgerUnavailable
from prefect_responses.ledger.dialects import is_conflict, translated
from prefect_responses.ledger.group import commit_group
from prefect_responses.ledger.outages import outlasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from prefect_responses.ledger.dialects import Dialect
    from prefect_responses.ledger.picture import Owner
    from prefect_responses.ledger.verbs import Verb, Verdict

    Answer: TypeAlias = Verdict | Exception
    Asked: TypeAlias = tuple[Verb, asyncio.Future[Verdict]]

#: Verbs in one transaction at most: it keeps other processes waiting for as long as it takes.
GROUP_SIZE = 1000

#: How long a writer may wait for company.
LONGEST_LINGER = 0.02

#: How long it waits for one more before it goes without.
LINGER_STEP = LONGEST_LINGER / 10

#: Verbs that are worth a commit of their own.
ENOUGH_COMPANY = 128

#: How often a group is tried again that lost a race with another process.
RACES = 3


class Writer:
    """Take verbs, commit them in groups, and answer each caller after its commit.

    Args:
        engine: connections whose transactions take the write lock.
        dialect: what kind of database it is.
        owner: the process that the verbs are decided for.
        linger: seconds to wait for more verbs before a commit; may be changed at any time.
    """

    def __init__(
        self, engine: AsyncEngine, dialect: Dialect, owner: Owner, linger: float = 0.0
    ) -> None:
        self.linger = linger
        self.owner = owner
        self._engine = engine
        self._dialect = dialect
        self._asked: list[Asked] = []
        self._news = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="prefect-responses ledger writer")

    def ask(self, verb: Verb) -> asyncio.Future[Verdict]:
        """Queue *verb* and return what its caller waits for.

        Raises:
            LedgerUnavailable: the writer was closed.
        """
        if self._closing or self._task.done():
            raise LedgerUnavailable("The ledger was closed; open it again.")
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._asked.append((verb, answer))
        self._news.set()
        return answer

    async def aclose(self) -> None:
        """Commit what is queued, then stop."""
        self._closing = True
        self._news.set()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._asked or not self._closing:
                await self._news.wait()
                await self._wait_for_company()
                await self._commit(self._next_group())
        finally:
            self._give_up(self._asked)

    def _next_group(self) -> list[Asked]:
        group, self._asked = self._asked[:GROUP_SIZE], self._asked[GROUP_SIZE:]
        if not self._asked and not self._closing:
            self._news.clear()
        return group

    async def _wait_for_company(self) -> None:
        # Callers that are ready to run may ask before the lock is taken.
        await asyncio.sleep(0)
        left, known = 0.0 if self._closing else min(self.linger, LONGEST_LINGER), 0
        # As soon as nobody comes any more, all may be waiting for this very commit.
        while left > 0 and known < len(self._asked) < ENOUGH_COMPANY:
            known = len(self._asked)
            await asyncio.sleep(min(left, LINGER_STEP))
            left -= LINGER_STEP

    async def _commit(self, group: list[Asked]) -> None:
        try:
            answers = await self._answers([verb for verb, _ in group])
        except BaseException:
            self._give_up(group)
            raise
        for (_, caller), answer in zip(group, answers, strict=True):
            _tell(caller, answer)

    async def _answers(self, verbs: Sequence[Verb]) -> Sequence[Answer]:
        """Commit *verbs* together or, if one of them spoils it, one by one."""
        if not verbs:
            return []
        try:
            with translated():
                return await outlasting(lambda: self._transaction(verbs))
        except (LedgerLocked, LedgerUnavailable) as exc:
            return [exc] * len(verbs)
        except Exception as exc:  # noqa: BLE001 - whatever it is, only its caller must fail
            if len(verbs) == 1:
                return [exc]
        return [answer for verb in verbs for answer in await self._answers([verb])]

    async def _transaction(self, verbs: Sequence[Verb], races: int = RACES) -> Sequence[Answer]:
        try:
            async with self._engine.begin() as connection:
                return await commit_group(connection, self._dialect, self.owner, verbs)
        except Exception as exc:
            if races == 0 or not is_conflict(exc):
                raise
        return await self._transaction(verbs, races - 1)

    def _give_up(self, group: Sequence[Asked]) -> None:
        for _, caller in group:
            _tell(caller, LedgerUnavailable("The ledger's writer was stopped; open it again."))


def _tell(caller: asyncio.Future[Verdict], answer: Answer) -> None:
    if caller.done():  # it was cancelled; its verb was not
        return
    if isinstance(answer, Exception):
        caller.set_exception(answer)
    else:
        caller.set_result(answer)
