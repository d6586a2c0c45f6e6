"""Where responses are recorded."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

from prefect.blocks.core import Block
from prefect.settings import PREFECT_HOME
from pydantic import Field, HttpUrl, SecretStr

from prefect_responses.engine.connections import LedgerAddress
from prefect_responses.errors import LedgerUnavailable
from prefect_responses.host.prefect_api import asking_prefect
from prefect_responses.ledger.durability import check_default_location
from prefect_responses.settings import ResponsesSettings


class ResponseLedger(Block):
    """Record every response before it is paid for, so that no crash loses or repeats one.

    Without a block, the ledger is a SQLite file in Prefect's home, or what
    `PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL` says.

    Examples:
        Load the block and use it:
        ```python
        from prefect_responses import ResponseLedger

        ledger = ResponseLedger.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Response Ledger"
    _block_type_slug: ClassVar[str] = "response-ledger"
    _logo_url: ClassVar[HttpUrl] = HttpUrl("https://openai.com/favicon.ico")
    _documentation_url: ClassVar[HttpUrl] = HttpUrl(
        "https://platform.openai.com/docs/api-reference/responses"
    )

    url: SecretStr = Field(
        description="SQLAlchemy URL, such as sqlite:////var/lib/prefect/responses.db."
    )
    lease_seconds: float = Field(
        default=90.0,
        ge=1.0,
        le=3600.0,
        description="After how many seconds without a sign a process counts as dead.",
    )

    def address(self) -> LedgerAddress:
        """Return where this ledger lies."""
        return LedgerAddress(self.url.get_secret_value(), self.lease_seconds)


async def ledger_block(name: str) -> ResponseLedger:
    """Load the ledger block of that name.

    Raises:
        LedgerUnavailable: it is not there, or cannot be loaded.
        PrefectUnavailable: Prefect could not be asked for it.
    """
    async with asking_prefect() as client:
        with suppress(ValueError):  # which is how Prefect says that there is none
            return await ResponseLedger.aload(name, client=client)
    raise LedgerUnavailable(
        f"Ledger block {name} is not there, or cannot be loaded: save it again under this name."
    )


def address_of(ledger: ResponseLedger | None, *, deployed: bool) -> LedgerAddress:
    """Return the address of a block, else of the settings, else of the default file.

    Args:
        ledger: the block, if one was given.
        deployed: the caller is a deployment's flow run, whose default file must be durable.

    Raises:
        LedgerNotDurable: the default file would die with its machine, and *deployed*.
    """
    if ledger is not None:
        return ledger.address()
    settings = ResponsesSettings()
    if settings.ledger_url is not None:
        return LedgerAddress(settings.ledger_url.get_secret_value(), settings.lease_seconds)
    path = PREFECT_HOME.value() / "responses.db"
    check_default_location(path, deployed=deployed)
    path.parent.mkdir(parents=True, exist_ok=True)
    return LedgerAddress(f"sqlite:///{path}", settings.lease_seconds)
