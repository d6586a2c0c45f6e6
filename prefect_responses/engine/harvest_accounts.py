"""The accounts of one harvest: each opened once, and left when it cannot be used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefect_responses.engine.harvest_report import LeftAccount
from prefect_responses.errors import ApiError, Parked, ResponsesError

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt, Endpoint
    from prefect_responses.engine.harvest_doors import Accounts, Reader

#: Failures in a row after which an account is left until the next harvest.
MOST_FAILURES = 5


@dataclass(slots=True)
class _Account:
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    reader: Reader | None = None
    reason: str | None = None
    failures: int = 0
    unread: int = 0
    has_worked: bool = False


class AccountBook:
    """Find the account of each attempt, and remember which accounts do not work.

    One account that is parked or cannot be reached keeps nobody else from being read.

    Args:
        accounts: opens them.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: dict[tuple[str, Endpoint], _Account] = {}

    async def reader_for(self, attempt: Attempt) -> Reader | None:
        """Return who reads *attempt*, or None if its account was left."""
        account = self._account(attempt)
        async with account.opening:
            if account.reader is None and account.reason is None:
                await self._open(account, attempt)
        return account.reader if account.reason is None else None

    async def _open(self, account: _Account, attempt: Attempt) -> None:
        try:
            account.reader = await self._accounts.open(attempt.credentials, attempt.endpoint)
        except ResponsesError as error:
            account.reason = str(error)

    def worked(self, attempt: Attempt) -> None:
        """Note that the account of *attempt* gave an answer."""
        account = self._account(attempt)
        account.failures, account.has_worked = 0, True

    def has_worked(self, attempt: Attempt) -> bool:
        """Tell whether the account of *attempt* gave an answer, and has not been left since."""
        account = self._account(attempt)
        return account.has_worked and account.reason is None

    def failed(self, attempt: Attempt, error: ApiError) -> None:
        """Note that the account of *attempt* gave no answer; leave it when that is no accident."""
        account = self._account(attempt)
        if not (isinstance(error, Parked) or error.retryable):
            return  # the API answered, about this response alone
        account.failures += 1
        if isinstance(error, Parked) or account.failures >= MOST_FAILURES:
            account.reason = account.reason or str(error)

    def unread(self, attempt: Attempt) -> str | None:
        """Count *attempt* as one that could not be read; return why, if its account was left."""
        account = self._account(attempt)
        account.unread += 1
        return account.reason

    def left(self) -> tuple[LeftAccount, ...]:
        """Return the accounts that were left, with the reason of each."""
        return tuple(
            LeftAccount(credentials, endpoint.base_url, account.reason, account.unread)
            for (credentials, endpoint), account in self._known.items()
            if account.reason is not None
        )

    def _account(self, attempt: Attempt) -> _Account:
        return self._known.setdefault((attempt.credentials, attempt.endpoint), _Account())
