"""Which ledger and which attempts a command is about, and the ledger opened."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from prefect_responses.clock import SystemClock
from prefect_responses.errors import LedgerUnavailable, RequestInvalid
from prefect_responses.identity import job_scope
from prefect_responses.ledger import Ledger, LedgerNotDurableWarning
from prefect_responses.ledger.reading import check_is_there, reading

#: An option that is there or is not.
Flag: TypeAlias = Annotated[bool, Parameter(negative="", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which ledger; without either the one of the settings, else the file in Prefect's home.

    Args:
        url: URL of the ledger, such as sqlite:////var/lib/prefect/responses.db.
        ledger: Name of a Response Ledger block that says where it is.
    """

    url: str | None = None
    ledger: str | None = None

    async def address(self) -> str:
        """Return the URL of the ledger.

        Raises:
            RequestInvalid: both a URL and a block were given.
            LedgerUnavailable: there is no such block.
        """
        if self.url is not None and self.ledger is not None:
            raise RequestInvalid("Give --url or --ledger, not both.")
        return self.url or await _from_prefect(self.ledger)


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """Which attempts; without either all of them.

    Args:
        scope: A scope as the ledger names it: flow-run:ID, scope:NAME or job:NAME.
        job: Name of a row job; the same as --scope job:NAME.
    """

    scope: str | None = None
    job: str | None = None

    def chosen(self) -> str | None:
        """Return the scope, or None for all.

        Raises:
            RequestInvalid: both a scope and a job were given.
        """
        if self.scope is not None and self.job is not None:
            raise RequestInvalid("Give --scope or --job, not both.")
        return job_scope(self.job) if self.job is not None else self.scope


#: What a command without such options is about.
DEFAULT, ALL = Where(), Which()


@asynccontextmanager
async def ledger_to_read(where: Where) -> AsyncIterator[Ledger]:
    """Yield the ledger for reads; it is neither made nor changed."""
    async with reading(await where.address()) as ledger:
        yield ledger


@asynccontextmanager
async def ledger_to_write(where: Where) -> AsyncIterator[Ledger]:
    """Yield the ledger for verbs; it must be there."""
    url = await where.address()
    check_is_there(url)
    ledger = await Ledger.open(url, clock=SystemClock())
    try:
        yield ledger
    finally:
        await ledger.aclose()


async def _from_prefect(block_name: str | None) -> str:
    # Prefect takes seconds to import, and a URL needs none of it.
    from prefect_responses.blocks.response_ledger import (  # noqa: PLC0415
        ResponseLedger,
        address_of,
    )

    block = None
    if block_name is not None:
        try:
            block = await ResponseLedger.aload(block_name)
        except (ValueError, RuntimeError) as error:
            raise LedgerUnavailable(f"The ledger block cannot be loaded: {error}") from error
    with warnings.catch_warnings():
        # It concerns who submits, not who looks.
        warnings.simplefilter("ignore", LedgerNotDurableWarning)
        return address_of(block, deployed=False).url
