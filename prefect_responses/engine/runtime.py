"""One runtime a process: a loop in a thread, its ledgers, its HTTP pools.

Async callers, sync tasks and mapped threads all hand their coroutines to it, so there is one
ledger writer and one pool, whoever calls.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")

#: Seconds that a caller which is interrupted waits for its coroutine to clean up.
CLEANUP_GRACE = 12.0
#: Seconds that a process which ends waits for its ledgers to be flushed and its pools closed.
CLOSING_GRACE = 5.0
#: Seconds of those that what callers still wait for may take to clean up, before the rest closes.
_ERRANDS_GRACE = 3.0
_CLOSED = "The runtime was closed while this was waiting; what was submitted goes on."


@dataclass(frozen=True, slots=True)
class _Errand(Generic[T]):
    """A coroutine that a caller handed over, and how far it is."""

    coroutine: Coroutine[Any, Any, T]
    future: Future[T]
    started: threading.Event
    finished: threading.Event


class Runtime:
    """Run coroutines in a loop of its own, and keep what they share."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="prefect-responses", daemon=True)
        self._shared: dict[Hashable, asyncio.Task[Any]] = {}
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._leavers: list[Callable[[], None]] = []
        self._tended: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[Any]] = set()
        self._is_closing = False
        self._thread.start()
        self._ready.wait()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.run_until_complete(_end_what_is_left())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* from a thread without a loop; return or raise what it does.

        When the caller is interrupted (a signal, a timeout), the coroutine is cancelled and given
        `CLEANUP_GRACE` seconds, in which a POST that has left can still record its ID.

        Raises:
            RuntimeError: the runtime was closed before the coroutine had ended.
        """
        errand = self._start(coroutine)
        try:
            return errand.future.result()
        except BaseException:
            if not errand.finished.is_set():
                self._cancel(errand)
                errand.finished.wait(CLEANUP_GRACE)
            raise

    async def arun(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* from another loop; see `run`."""
        errand = self._start(coroutine)
        try:
            return await asyncio.wrap_future(errand.future)
        except BaseException:
            if not errand.finished.is_set():
                self._cancel(errand)
                # Prefect's task timeouts cancel every unshielded await, again and again.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(errand.finished.wait, CLEANUP_GRACE)
            raise

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> _Errand[T]:
        started, finished = threading.Event(), threading.Event()
        if self._is_closing:
            coroutine.close()
            raise RuntimeError(_CLOSED)

        async def whole() -> T:
            started.set()
            try:
                with self._counted():
                    return await coroutine
            finally:
                coroutine.close()
                finished.set()

        future = asyncio.run_coroutine_threadsafe(whole(), self._loop)
        return _Errand(coroutine, future, started, finished)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Let the errand in the block be ended by a close; call it in the errand's task."""
        if self._is_closing:
            raise RuntimeError(_CLOSED)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._errands.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self._is_closing:
                raise RuntimeError(_CLOSED) from None
            raise
        finally:
            self._errands.discard(task)

    def _cancel(self, errand: _Errand[Any]) -> None:
        def give_up_unstarted() -> None:
            # What is cancelled before its first step runs none of it, not even a `finally`.
            if not errand.started.is_set():
                errand.coroutine.close()
                errand.finished.set()

        errand.future.cancel()
        self._loop.call_soon_threadsafe(give_up_unstarted)

    async def shared(
        self,
        key: Hashable,
        build: Callable[[], Coroutine[Any, Any, T]],
        close: Callable[[T], Awaitable[None]],
    ) -> T:
        """Return what *build* made for *key*, building it once; *close* it when the process ends.

        Call it in the runtime's loop only. A build that failed is tried again by the next caller.
        """
        task = self._shared.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(build())
            self._shared[key] = task
            task.add_done_callback(lambda done: self._keep(done, close))
        built: T = await asyncio.shield(task)
        return built

    def tend(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run *coroutine* beside what callers wait for, until it ends or the runtime is closed.

        Call it in the runtime's loop only.
        """
        task = asyncio.create_task(coroutine)
        self._tended.add(task)
        task.add_done_callback(self._tended.discard)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run *coroutine* without waiting for it; cancelling the future cancels it."""
        return self._start(coroutine).future

    def forget(self, key: Hashable, built: object) -> None:
        """Let the next caller build anew what *key* stands for, if that is still *built*."""
        task = self._shared.get(key)
        if task is not None and task.done() and task.result() is built:
            del self._shared[key]

    def in_a_fork(self, leave: Callable[[], None]) -> None:
        """Call *leave* in the child of a fork, which inherits what belongs to its parent."""
        self._leavers.append(leave)

    def leave(self) -> None:
        """Leave to the parent what is the parent's: to be called in the child of a fork."""
        for leave in self._leavers:
            leave()

    def _keep(self, task: asyncio.Task[T], close: Callable[[T], Awaitable[None]]) -> None:
        if not task.cancelled() and task.exception() is None:
            built = task.result()
            self._closers.append(lambda: close(built))

    @staticmethod
    def now() -> float:
        """Return the wall-clock time, seconds since the epoch."""
        return time.time()

    def close(self) -> None:
        """End what callers wait for, close what is shared and stop the loop.

        Who waits gets a `RuntimeError`; what was submitted goes on, and the next process finds it.
        A second call does nothing.
        """
        if not self._thread.is_alive():
            return
        self._is_closing = True
        closing = asyncio.run_coroutine_threadsafe(self._close_shared(), self._loop)
        try:
            closing.result(CLOSING_GRACE)
        except TimeoutError:
            closing.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING_GRACE)
        if not self._thread.is_alive():
            self._loop.close()

    async def _close_shared(self) -> None:
        closers, self._closers = self._closers[::-1], []
        self._shared.clear()
        await _cancel_all({*self._tended, *self._errands})
        for close in closers:
            # Whatever cannot be closed must not keep the ledger, closed last, from its flush.
            with suppress(Exception):
                await close()


async def _cancel_all(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        ended, _ = await asyncio.wait(tasks, timeout=_ERRANDS_GRACE)
        await asyncio.gather(*ended, return_exceptions=True)  # nobody else asks how they ended


async def _end_what_is_left() -> None:
    """End what came, or would not end, while the loop was closing, so that nobody waits for it."""
    await asyncio.sleep(0)  # what is cancelled before its first step runs none of it
    await _cancel_all(asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())})


_lock = threading.Lock()
_runtime: Runtime | None = None


def current_runtime() -> Runtime:
    """Return this process's runtime, starting it at the first call."""
    global _runtime  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _runtime is None:
            _runtime = Runtime()
        return _runtime


def close_runtime() -> None:
    """Close this process's runtime, if it has one; the next call starts another."""
    global _runtime
    with _lock:
        runtime, _runtime = _runtime, None
    if runtime is not None:
        runtime.close()


def _forget_after_fork() -> None:
    """Leave the parent's loop, pools and ledger owner to the parent."""
    global _runtime, _lock  # noqa: PLW0603 - see current_runtime
    _lock = threading.Lock()
    runtime, _runtime = _runtime, None
    if runtime is not None:
        runtime.leave()


atexit.register(close_runtime)
os.register_at_fork(after_in_child=_forget_after_fork)
