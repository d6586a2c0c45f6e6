"""The credentials of one account at one endpoint."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from prefect.blocks.abstract import CredentialsBlock
from prefect.blocks.core import Block, UnknownBlockType
from pydantic import Field, HttpUrl, SecretStr

from prefect_responses.attempt import Endpoint
from prefect_responses.client.endpoints import check_base_url
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.engine.connections import Connection
from prefect_responses.errors import CredentialsMissing, EndpointInvalid
from prefect_responses.host.prefect_api import asking_prefect
from prefect_responses.host.prefect_internals import saved_name
from prefect_responses.wire.requests import ProviderProfile

if TYPE_CHECKING:
    from typing import Any

OPENAI_BASE_URL = "https://api.openai.com/v1"
#: How the ledger refers to credentials that come from the environment.
ENVIRONMENT = "environment"
_BLOCK = "block:"


class ResponsesCredentials(CredentialsBlock):
    """Reach the OpenAI Responses API, or a server that speaks it.

    Without a block, the tasks of this package read `OPENAI_API_KEY`, `OPENAI_BASE_URL`,
    `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID` from the environment.

    Examples:
        Load the block and use it:
        ```python
        from prefect_responses import ResponsesCredentials

        credentials = ResponsesCredentials.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Responses Credentials"
    _block_type_slug: ClassVar[str] = "responses-credentials"
    _logo_url: ClassVar[HttpUrl] = HttpUrl("https://openai.com/favicon.ico")
    _documentation_url: ClassVar[HttpUrl] = HttpUrl(
        "https://platform.openai.com/docs/api-reference/responses"
    )

    api_key: SecretStr = Field(description="The API key of the project that is billed.")
    base_url: str = Field(
        default=OPENAI_BASE_URL, description="The API's root, with its version path."
    )
    organization: str = Field(
        default="", description="The organization that is billed, if the key has several."
    )
    project: str = Field(default="", description="The project that is billed, if not the key's.")
    allow_insecure_http: bool = Field(
        default=False, description="Allow an http URL that is not on this machine."
    )
    send_store: bool = Field(
        default=True, description="Say store=true; turn off for servers that refuse it."
    )
    send_background: bool = Field(
        default=True, description="Ask for background work; turn off for servers that refuse it."
    )

    def get_client(self, *args: Any, **kwargs: Any) -> HttpResponsesApi:
        """Return an API client of this account; close it with `await client.aclose()`.

        Raises:
            EndpointInvalid: the base URL cannot be used.
        """
        connection = self.connection()
        kwargs.setdefault("allow_insecure", self.allow_insecure_http)
        return HttpResponsesApi(connection.endpoint, connection.api_key, *args, **kwargs)

    def connection(self) -> Connection:
        """Return what the engine needs to reach this account.

        Raises:
            CredentialsMissing: the key is empty.
            EndpointInvalid: the base URL cannot be used.
        """
        if not self.api_key.get_secret_value().strip():
            raise CredentialsMissing
        base_url = check_base_url(self.base_url, allow_insecure=self.allow_insecure_http)
        return Connection(
            Endpoint(base_url, self.organization, self.project),
            self.api_key,
            self._reference(),
            ProviderProfile(send_store=self.send_store, send_background=self.send_background),
            self.allow_insecure_http,
        )

    def _reference(self) -> str:
        name = saved_name(self)
        return f"{_BLOCK}{self.get_block_type_slug()}/{name}" if name else ENVIRONMENT


def connection_of(credentials: ResponsesCredentials | None) -> Connection:
    """Return the connection of a block, or of the environment where there is none.

    Raises:
        CredentialsMissing: neither a block nor `OPENAI_API_KEY`.
        EndpointInvalid: the base URL cannot be used.
    """
    return (credentials or _from_environment()).connection()


async def connection_for(reference: str, endpoint: Endpoint) -> Connection:
    """Find again, in any process, the credentials that an attempt was made with.

    Args:
        reference: what the ledger holds: `environment`, or `block:`, a block type's slug and the
            block's name.
        endpoint: where the attempt was sent. A key is never sent anywhere else.

    Raises:
        CredentialsMissing: they are not there, cannot be used, or are for another endpoint.
        PrefectUnavailable: Prefect could not be asked for the block.
    """
    if reference == ENVIRONMENT:
        connection = _usable(_from_environment(), "the environment of this process")
        how = "Set OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID"
    else:
        name = reference.removeprefix(_BLOCK)
        connection = _usable(await _load(name), f"block {name}")
        how = f"Set block {name}"
    if connection.endpoint != endpoint:
        raise CredentialsMissing(
            f"The response is at {_place(endpoint)}, and the credentials that it was made with are "
            f"for {_place(connection.endpoint)} here. {how} to where it is, in the process that "
            "looks for it, or save the credentials of each endpoint as a block of its own."
        )
    return connection


def _usable(credentials: ResponsesCredentials, where: str) -> Connection:
    try:
        return credentials.connection()
    except (CredentialsMissing, EndpointInvalid) as error:
        raise CredentialsMissing(f"In {where}: {error}") from error


async def _load(name: str) -> ResponsesCredentials:
    async with asking_prefect() as client:
        # Which of them it is, the message cannot know: Prefect says ValueError to both.
        with suppress(ValueError, UnknownBlockType):
            block = await Block.aload(name, client=client)
            if isinstance(block, ResponsesCredentials):
                return block
    raise CredentialsMissing(
        f"Block {name} is not there, or cannot be loaded here: save a ResponsesCredentials block "
        "under this name (Blocks, in Prefect's UI), in the workspace of this process."
    )


def _place(endpoint: Endpoint) -> str:
    account = [part for part in (endpoint.organization, endpoint.project) if part]
    return f"{endpoint.base_url} ({', '.join(account)})" if account else endpoint.base_url


def _from_environment() -> ResponsesCredentials:
    return ResponsesCredentials(
        api_key=SecretStr(os.environ.get("OPENAI_API_KEY", "")),
        base_url=os.environ.get("OPENAI_BASE_URL") or OPENAI_BASE_URL,
        organization=os.environ.get("OPENAI_ORG_ID", ""),
        project=os.environ.get("OPENAI_PROJECT_ID", ""),
    )
