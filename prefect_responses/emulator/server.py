"""Serve the emulator on a real socket: as a process, or in a thread of the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from prefect_responses.emulator.app import make_app
from prefect_responses.emulator.connection import AbortableProtocol
from prefect_responses.emulator.emulation import Emulation
from prefect_responses.emulator.exchange_handling import CONTROL_PREFIX
from prefect_responses.emulator.journal import Journal
from prefect_responses.emulator.remote_control import RemoteControl
from prefect_responses.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
#: Held connections get no longer than this to end when the server stops.
_GRACE_S = 1


class EmulatorServer(uvicorn.Server):
    """Run one emulation on one listening socket and say when it can be reached."""

    def __init__(self, emulation: Emulation, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                make_app(emulation),
                http=AbortableProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=_GRACE_S,
                server_header=False,
            )
        )
        self._emulation = emulation
        self._listener = listener
        self._on_ready: Callable[[], None] = _do_nothing

    def serve_until_stopped(self, on_ready: Callable[[], None]) -> None:
        """Serve; call back once the socket accepts; return when asked to stop."""
        self._on_ready = on_ready
        with asyncio.Runner() as runner:
            runner.run(self.serve([self._listener]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the connections that are held back, then stop."""
        self._emulation.clock.end()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, and then leave with success."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(  # noqa: PLR0913 - each is one option of the command
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    seed: int | None = None,
    latency: str = "instant",
    port_file: Path | None = None,
    journal_file: Path | None = None,
    journal_bodies: bool = True,
    settings: dict[str, Any] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl+C; print the base URL as soon as it can be reached."""
    listener = _listen(host, port)
    journal = Journal(journal_file, keep_bodies=journal_bodies)
    chosen = EmulatorSettings.model_validate({"latency": latency, **(settings or {})})
    emulation = Emulation(seed=seed, settings=chosen, journal=journal)

    def announce() -> None:
        if port_file is not None:
            _write_at_once(port_file, str(_port_of(listener)))
        print(f"Responses API emulator on {_url_of(listener)}/v1", flush=True)  # noqa: T201

    try:
        EmulatorServer(emulation, listener).serve_until_stopped(announce)
    finally:
        journal.close()


class EmulatorThread:
    """Run an emulator in a thread of this process, on a free loopback port.

    Use it as a context manager, or call `start` and `stop`. It is a real server on a real socket:
    streams, drops and stalls reach the client as they would from afar.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        latency: str = "instant",
        journal_file: Path | None = None,
        journal_bodies: bool = True,
        settings: dict[str, Any] | None = None,
    ) -> None:
        chosen = EmulatorSettings.model_validate({"latency": latency, **(settings or {})})
        self._journal = Journal(journal_file, keep_bodies=journal_bodies)
        self._emulation = Emulation(seed=seed, settings=chosen, journal=self._journal)
        self._ready = threading.Event()
        self._server: EmulatorServer | None = None
        self._thread: threading.Thread | None = None
        self._origin = ""

    @property
    def url(self) -> str:
        """The base URL of the imitated API."""
        return f"{self._origin}/v1"

    @property
    def control_url(self) -> str:
        """The URL that all paths of the control plane begin with."""
        return f"{self._origin}{CONTROL_PREFIX}"

    @property
    def control(self) -> RemoteControl:
        """The control plane, to be called from Python."""
        return RemoteControl(self.control_url)

    def start(self) -> Self:
        """Start, and return when the socket accepts."""
        listener = _listen("127.0.0.1", 0)
        self._origin = _url_of(listener)
        self._server = EmulatorServer(self._emulation, listener)
        self._thread = threading.Thread(
            target=self._server.serve_until_stopped,
            args=(self._ready.set,),
            name="responses-emulator",
            daemon=True,
        )
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S):
            raise TimeoutError("The emulator did not start.")
        return self

    def stop(self) -> None:
        """Stop, and return when the thread has ended."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_STOP_TIMEOUT_S)
        self._journal.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named here, so that asyncio knows the accepted sockets as TCP and sends without delay.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _url_of(listener: socket.socket) -> str:
    host = listener.getsockname()[0]
    return f"http://{f'[{host}]' if ':' in host else host}:{_port_of(listener)}"


def _write_at_once(path: Path, text: str) -> None:
    """Write a file that is never seen half written."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(text)
    draft.replace(path)


def _do_nothing() -> None:
    pass
