"""CancelOnTimeout as an argument, a block, a task and around a block of code, in real flows."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time

import pytest
from prefect import flow

from prefect_responses import (
    AwaitBackgroundResponse,
    CancelOnTimeout,
    CreateResponse,
    acancel_on_timeout,
    acreate_response,
    arespond,
    cancel_on_timeout,
    create_response,
    respond,
)
from prefect_responses.decisions.policies import Backoff
from prefect_responses.decisions.timeouts import TimeoutOutcome
from prefect_responses.engine.runtime import close_runtime, current_runtime
from prefect_responses.errors import RequestInvalid, ResponseTimedOut
from prefect_responses.tasks import limits

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SOON = CancelOnTimeout(timeout_seconds=0.3, grace_seconds=0.1)


@pytest.fixture
def slow(world):
    world.control.set_latency("constant:600")
    return world


def cancels(world):
    paths = [entry["path"] for entry in world.control.journal(method="POST")]
    return [path.split("/")[-2] for path in paths if path.endswith("/cancel")]


def timed_out(story, *args):
    with pytest.raises(ResponseTimedOut) as caught:
        story(*args)
    return caught.value


def test_as_an_argument(slow):
    @flow
    def story():
        respond(model="echo", input="Slow.", cancel_on_timeout=SOON)

    error = timed_out(story)

    assert error.outcome == "cancelled"
    assert cancels(slow) == [error.response_id]


@pytest.mark.usefixtures("slow")
def test_as_a_task_on_a_handle():
    @flow
    def story():
        handle = create_response(model="echo", input="Slow.")
        cancel_on_timeout(handle, timeout_seconds=0.3, grace_seconds=0.1)

    assert timed_out(story).outcome == "cancelled"


@pytest.mark.usefixtures("slow")
async def test_as_an_async_task_on_an_id():
    @flow
    async def story():
        handle = await acreate_response(model="echo", input="Slow.")
        await acancel_on_timeout(str(handle.response_id), timeout_seconds=0.3, grace_seconds=0.1)

    with pytest.raises(ResponseTimedOut) as caught:
        await story()
    assert caught.value.outcome == "cancelled"


def test_as_a_block_in_other_blocks(slow):
    create = CreateResponse(model="echo", prompt="Slow.", cancel_on_timeout=SOON)
    waiting = AwaitBackgroundResponse(cancel_on_timeout=SOON)

    @flow
    def story():
        run = create.trigger()
        with pytest.raises(ResponseTimedOut):
            waiting.run(run)
        with pytest.raises(ResponseTimedOut):
            waiting.run(create_response(model="echo", input="Another slow one."))

    story()
    assert len(cancels(slow)) == 2


async def told(limit):
    """Return the outcomes once the deadline has come to one for each response."""
    async with asyncio.timeout(20):
        while True:
            outcomes = await limit.aoutcomes()
            if not {None, TimeoutOutcome.UNKNOWN} & {*outcomes.values()}:
                return outcomes


async def test_around_any_number_of_responses(slow):
    @flow
    async def story():
        async with CancelOnTimeout(timeout_seconds=2, grace_seconds=0.1) as limit:
            await acreate_response(model="echo", input="Nobody waits for this.")
            ends = await asyncio.gather(
                *(arespond(model="echo", input=text) for text in ("One.", "Two.")),
                return_exceptions=True,
            )
        return ends, await told(limit)

    ends, outcomes = await story()

    assert {end.outcome for end in ends} == {"cancelled"}
    assert list(outcomes.values()) == [TimeoutOutcome.CANCELLED] * 3
    assert sorted(cancels(slow)) == sorted(outcomes)


def test_around_code_that_is_done_in_time(world):
    @flow
    def story():
        with CancelOnTimeout(timeout_seconds=60) as limit:
            answer = respond(model="echo", input="Quick.")
        return answer, limit.outcomes(), respond(model="echo", input="No limit holds here.")

    answer, outcomes, after = story()
    assert (answer.timeout, after.timeout) == (None, None)
    assert outcomes == {answer.response_id: None}
    assert cancels(world) == []


@pytest.mark.usefixtures("slow")
def test_the_innermost_and_earliest_limit_holds():
    @flow
    def story():
        with (
            CancelOnTimeout(timeout_seconds=0.3, grace_seconds=0.1),
            CancelOnTimeout(timeout_seconds=600, grace_seconds=0.1),
        ):
            respond(model="echo", input="Slow.")

    assert timed_out(story).outcome == "cancelled"


def test_a_late_answer_is_returned_and_marked(world):
    world.control.set_latency("constant:600")
    world.control.add_fault("cancel_then_completes", after_cancel=0.2)

    @flow
    def story():
        return respond(model="echo", input="Late.", cancel_on_timeout=0.2)

    result = story()

    assert result.timeout == "completed"
    assert "Late." in result.output_text


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_seconds_that_are_none(world, seconds):
    @flow
    def story():
        respond(model="echo", input="Never sent.", cancel_on_timeout=seconds)

    with pytest.raises(RequestInvalid, match="cancel_on_timeout"):
        story()
    assert world.posts() == 0


@pytest.mark.usefixtures("world")
def test_two_threads_have_limits_of_their_own():
    entered, may_leave = threading.Event(), threading.Event()

    def other():
        with CancelOnTimeout(timeout_seconds=0.001):
            entered.set()
            may_leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)

    @flow
    def story():
        return respond(model="echo", input="Not limited.")

    assert story().timeout is None
    may_leave.set()
    thread.join()


# --- blocks of code, and what nobody awaits -------------------------------------------------------


@pytest.fixture
def hasty(slow, monkeypatch):
    """Deadlines that are held at once, and again at once where that failed."""
    monkeypatch.setattr(limits, "_HEAD_START", 0.1)
    monkeypatch.setattr(limits, "_TRIES", Backoff(first=0.1, most=0.2))
    yield slow
    close_runtime()


def asked(text, **fields):
    return create_response.fn(model="echo", input=text, key=text, scope="s", **fields)


def outcomes_when(limit, is_there):
    """Return the outcomes as soon as they are as they should be."""
    until = time.monotonic() + 10
    while not is_there(outcomes := limit.outcomes()):
        assert time.monotonic() < until, outcomes
        time.sleep(0.05)
    return outcomes


def test_a_deadline_of_its_own_does_not_end_the_block(hasty):
    asked("Mine.", cancel_on_timeout=0.3)
    close_runtime()
    with CancelOnTimeout(timeout_seconds=600) as limit:
        before = limit.at
        new, mine = asked("New."), asked("Mine.")
        later = asked("Later.")

    ended = TimeoutOutcome.CANCELLED
    outcomes = outcomes_when(limit, lambda told: told[mine.response_id] is ended)
    assert outcomes == {mine.response_id: ended, new.response_id: None, later.response_id: None}
    assert limit.at == before
    assert cancels(hasty) == [mine.response_id]


def test_many_that_are_adopted_need_no_task_each(hasty):
    texts = [f"{number}" for number in range(20)]
    for text in texts:
        asked(text)
    close_runtime()
    with CancelOnTimeout(timeout_seconds=600), CancelOnTimeout(timeout_seconds=500) as limit:
        for text in texts:
            asked(text)

    assert len(limit.outcomes()) == 20
    assert len(current_runtime()._tended) == 0
    assert cancels(hasty) == []


def test_a_cancel_that_failed_is_tried_again(hasty):
    hasty.control.add_fault("status", match={"path_regex": "cancel"}, status=503, times=2)
    with CancelOnTimeout(timeout_seconds=600), CancelOnTimeout(timeout_seconds=0.6) as limit:
        asked("Slow.")
    with sqlite3.connect(hasty.ledger_file) as ledger:
        ledger.execute("ALTER TABLE attempts RENAME COLUMN latency TO lost")
    time.sleep(1.0)  # well past the deadline
    with sqlite3.connect(hasty.ledger_file) as ledger:
        ledger.execute("ALTER TABLE attempts RENAME COLUMN lost TO latency")
    ledger.close()

    done = {TimeoutOutcome.CANCELLED}
    outcomes_when(limit, lambda told: {*told.values()} == done)
    assert len(cancels(hasty)) == 3


def test_what_could_not_be_cancelled_is_read_until_it_has_ended(hasty):
    hasty.control.set_latency("constant:1")
    hasty.control.add_fault("status", match={"path_regex": "cancel"}, status=400)
    with CancelOnTimeout(timeout_seconds=0.3) as limit:
        asked("Late.")

    outcomes_when(limit, lambda told: {*told.values()} == {TimeoutOutcome.COMPLETED})
    assert len(cancels(hasty)) == 1
