"""The port through which everything else speaks to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.wire.answers import Answer


class ResponsesApi(Protocol):
    """Carry requests to one endpoint and bring back what came.

    Nothing that the network does is raised: it is in the `Answer`. Cancelling the caller's task
    cancels the exchange, and what became of it is then unknown.
    """

    async def create(
        self,
        request: Mapping[str, Any],
        *,
        client_request_id: str,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Send one POST, never a second one, and return what came of it.

        Args:
            request: the JSON body.
            client_request_id: sent as `X-Client-Request-Id`, printable ASCII, up to 512 characters.
            idempotency_key: sent as `Idempotency-Key`; no server is known to honour it on create.

        Raises:
            RequestInvalid: the body is no JSON or a header cannot be sent; nothing was sent.
        """

    async def retrieve(self, response_id: str) -> Answer:
        """Read a response; a passing failure is tried twice within about a second.

        Args:
            response_id: the API's ID.

        Raises:
            RequestInvalid: this is no response ID; nothing was sent.
        """

    async def cancel(self, response_id: str) -> Answer:
        """Ask to cancel a response; a passing failure is tried twice within about a second.

        Args:
            response_id: the API's ID.

        Raises:
            RequestInvalid: this is no response ID; nothing was sent.
        """

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""
