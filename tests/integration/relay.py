"""A relay before a server, which counts what passes and can fall silent or refuse."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Relay:
    """Pass bytes on to a server, on a port of its own.

    Args:
        port: the server's, on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self.is_silent = False
        self._port = port
        self._heard: list[bytes] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def count(self, beginning: str) -> int:
        """Count the requests whose first line begins so."""
        return sum(chunk.startswith(beginning.encode()) for chunk in self._heard)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", relay._port)) as far:
                    relay._pass(self.request, far)

        return Handler

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        while True:
            for source in select.select([near, far], [], [])[0]:
                if not (chunk := source.recv(65536)):
                    return
                if source is near:
                    self._heard.append(chunk)
                if not self.is_silent:
                    (far if source is near else near).sendall(chunk)
