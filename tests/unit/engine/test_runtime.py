"""One runtime a process: shared, interruptible, closable, and left alone by forks."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future

import pytest

from prefect_responses.engine.runtime import Runtime, close_runtime, current_runtime


@pytest.fixture
def runtime():
    runtime = Runtime()
    yield runtime
    runtime.close()


def run_python(code):
    """Run *code* in a process of its own, since it forks, exits or is interrupted."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def where():
    return threading.current_thread().name


async def failing():
    raise LookupError("nothing")


def test_a_coroutine_runs_in_the_runtimes_thread(runtime):
    assert runtime.run(where()) == "prefect-responses"


def test_what_a_coroutine_raises_is_raised(runtime):
    with pytest.raises(LookupError, match="nothing"):
        runtime.run(failing())


async def test_another_loop_can_await_it(runtime):
    assert await runtime.arun(where()) == "prefect-responses"
    with pytest.raises(LookupError, match="nothing"):
        await runtime.arun(failing())


def test_many_threads_share_one_loop(runtime):
    loops, threads = set(), []

    async def loop():
        return asyncio.get_running_loop()

    for _ in range(8):
        threads.append(threading.Thread(target=lambda: loops.add(runtime.run(loop()))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(loops) == 1


def test_a_process_has_one_runtime_until_it_is_closed():
    first = current_runtime()
    assert current_runtime() is first
    close_runtime()
    close_runtime()
    second = current_runtime()
    assert second is not first
    assert second.run(where()) == "prefect-responses"
    close_runtime()


# --- interruption ---------------------------------------------------------------------------------


async def test_a_cancelled_caller_waits_for_the_cleanup(runtime):
    started, cleaned = threading.Event(), []

    async def work():
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            cleaned.append("recorded")

    caller = asyncio.create_task(runtime.arun(work()))
    await asyncio.to_thread(started.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert cleaned == ["recorded"]


async def test_a_timeout_waits_for_the_cleanup_too(runtime):
    cleaned = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            cleaned.append("recorded")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await runtime.arun(work())
    assert cleaned == ["recorded"]


async def test_what_is_cancelled_before_its_first_step_is_never_run(runtime):
    ran, busy = [], threading.Event()

    async def errand():
        ran.append(True)

    runtime._loop.call_soon_threadsafe(busy.wait)
    asked = asyncio.create_task(runtime.arun(errand()))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.sleep(0)
    busy.set()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asked, 5)
    assert ran == []


@pytest.fixture
def interruptible():
    """Python's own handler of Ctrl+C, whatever ran in this process before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_waits_for_the_cleanup(runtime):
    cleaned, main = [], threading.get_ident()

    async def work():
        try:
            await asyncio.to_thread(signal.pthread_kill, main, signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            cleaned.append("recorded")

    with pytest.raises(KeyboardInterrupt):
        runtime.run(work())
    assert cleaned == ["recorded"]


# --- what is shared -------------------------------------------------------------------------------


async def test_what_is_shared_is_built_once_even_at_once(runtime):
    built = []

    async def build():
        await asyncio.sleep(0.01)
        built.append("x")
        return object()

    async def close(thing):
        del thing

    async def all_of_them():
        return await asyncio.gather(*(runtime.shared("k", build, close) for _ in range(5)))

    things = await runtime.arun(all_of_them())
    assert built == ["x"]
    assert len(set(map(id, things))) == 1


async def test_a_build_that_failed_is_tried_again(runtime):
    tries = []

    async def build():
        tries.append("x")
        if len(tries) < 3:
            raise OSError("locked")
        return "built"

    async def close(thing):
        del thing

    for _ in range(2):
        with pytest.raises(OSError, match="locked"):
            await runtime.arun(runtime.shared("k", build, close))
    assert await runtime.arun(runtime.shared("k", build, close)) == "built"
    assert len(tries) == 3


async def test_a_cancelled_caller_does_not_cancel_the_build_of_another(runtime):
    started, go_on = asyncio.Event(), asyncio.Event()

    async def build():
        started.set()
        await go_on.wait()
        return "built"

    async def close(thing):
        del thing

    async def two_callers():
        first = asyncio.create_task(runtime.shared("k", build, close))
        second = asyncio.create_task(runtime.shared("k", build, close))
        await started.wait()
        first.cancel()
        go_on.set()
        return await second

    assert await runtime.arun(two_callers()) == "built"


def test_closing_closes_what_is_shared_last_opened_first():
    runtime, closed = Runtime(), []

    async def share(name):
        async def build():
            return name

        async def close(thing):
            closed.append(thing)

        await runtime.shared(name, build, close)

    for name in ("ledger", "api"):
        runtime.run(share(name))
    runtime.close()
    runtime.close()
    assert closed == ["api", "ledger"]


def test_one_thing_that_cannot_be_closed_leaves_the_others_closed():
    runtime, closed = Runtime(), []

    async def share(name):
        async def build():
            return name

        async def close(thing):
            if thing == "api":
                raise OSError("gone")
            closed.append(thing)

        await runtime.shared(name, build, close)

    for name in ("ledger", "api"):
        runtime.run(share(name))
    runtime.close()
    assert closed == ["ledger"]


def waiting_in(runtime):
    """Return a future of what a thread hears that waits for ever in *runtime*."""
    waits, done = threading.Event(), Future()

    async def wait():
        waits.set()
        await asyncio.Event().wait()

    def call():
        try:
            runtime.run(wait())
        except BaseException as error:  # noqa: BLE001 - it is looked at
            done.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    assert waits.wait(10)
    return done


def test_closing_ends_what_callers_wait_for_before_what_it_needs():
    runtime, ended = Runtime(), []

    async def share():
        async def build():
            return "ledger"

        async def close(thing):
            ended.append(thing)

        await runtime.shared("ledger", build, close)

    async def tidy():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("errand")

    runtime.run(share())
    started = runtime.start(tidy())
    waiting = waiting_in(runtime)
    runtime.close()

    for future in (started, waiting):
        with pytest.raises(RuntimeError, match="closed"):
            future.result(10)
    assert ended == ["errand", "ledger"]


async def test_closing_is_no_cancel_of_an_async_caller():
    runtime = Runtime()
    waiting = asyncio.create_task(runtime.arun(asyncio.Event().wait()))
    await asyncio.sleep(0)
    await asyncio.to_thread(runtime.close)
    with pytest.raises(RuntimeError, match="closed"):
        await waiting


def test_a_closed_runtime_says_so():
    runtime = Runtime()
    runtime.close()
    with pytest.raises(RuntimeError, match="closed"):
        runtime.run(where())


def test_who_comes_while_it_closes_does_not_wait_for_ever():
    runtime, late = Runtime(), []

    async def share():
        async def build():
            return "ledger"

        async def close(_):
            # As one who looked before the runtime began to close.
            runtime._is_closing = False
            late.append(runtime.start(where()))
            late.append(runtime.start(asyncio.Event().wait()))
            runtime._is_closing = True

        await runtime.shared("ledger", build, close)

    runtime.run(share())
    runtime.close()
    for future in late:
        with pytest.raises(RuntimeError, match="closed"):
            future.result(10)


# --- processes ------------------------------------------------------------------------------------


def test_a_process_that_ends_closes_its_runtime():
    ended = run_python(
        """
        from prefect_responses.engine.runtime import current_runtime

        async def share():
            async def build(): return "ledger"
            async def close(thing): print("closed", thing)
            await current_runtime().shared("k", build, close)

        current_runtime().run(share())
        """
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("closed ledger\n", "", 0)


def test_the_child_of_a_fork_has_a_runtime_of_its_own():
    ended = run_python(
        """
        import os
        from prefect_responses.engine.runtime import current_runtime

        async def pid(): return os.getpid()

        async def share():
            async def build(): return "ledger"
            async def close(thing): os.write(1, f"{os.getpid()} closed\\n".encode())
            await current_runtime().shared("k", build, close)

        parent = current_runtime()
        parent.run(share())
        child = os.fork()
        if child == 0:
            assert current_runtime() is not parent
            assert current_runtime().run(pid()) == os.getpid()
            raise SystemExit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert parent.run(pid()) == os.getpid()
        os.write(1, f"{os.getpid()} parent\\n".encode())
        """
    )
    assert ended.returncode == 0, ended.stderr
    parent = ended.stdout.split()[0]
    # The child must not close what is the parent's.
    assert ended.stdout == f"{parent} parent\n{parent} closed\n"


def test_a_fork_while_another_thread_starts_the_runtime_does_not_hang():
    ended = run_python(
        """
        import os, threading
        from prefect_responses.engine import runtime

        with runtime._lock:  # as a thread that is just starting it
            child = os.fork()
            if child == 0:
                runtime.current_runtime()
                os._exit(0)
        _, status = os.waitpid(child, 0)
        print("child", status)
        """
    )
    assert (ended.stdout, ended.returncode) == ("child 0\n", 0), ended.stderr
