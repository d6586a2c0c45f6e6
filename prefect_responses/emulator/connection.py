"""Close a client's connection under the server: no status line, no body, no goodbye."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, assert_never

from uvicorn.protocols.http.h11_impl import H11Protocol

from prefect_responses.emulator.faults import Ending

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

_TRANSPORT = "emulator_transport"
#: How long a reset waits for what was sent before it: a client that does not read loses it.
_DRAINING_STEPS = 200
_DRAINING_STEP_S = 0.005
#: Linger on, for no time: closing the socket sends a reset in place of an orderly end.
_LINGER_NOT = struct.pack("ii", 1, 0)


class AbortableProtocol(H11Protocol):
    """Speak HTTP, and hand every request the transport that it came over."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the transport where the requests of this connection find it."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, _TRANSPORT: transport}


async def close_connection(scope: Scope, receive: Receive, ending: Ending) -> None:
    """Close the connection of a request and return when the server knows it is closed."""
    transport: asyncio.Transport = scope["state"][_TRANSPORT]
    match ending:
        case Ending.RESET:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            transport.abort()
        case Ending.EOF:
            transport.close()
        case _:
            assert_never(ending)
    while (await receive())["type"] != "http.disconnect":
        pass


async def written_out(scope: Scope) -> None:
    """Return when all that was sent has left for the client, or a while later."""
    transport: asyncio.Transport = scope["state"][_TRANSPORT]
    for _ in range(_DRAINING_STEPS):
        if not transport.get_write_buffer_size():
            return
        await asyncio.sleep(_DRAINING_STEP_S)
