"""Keeping how far a stream was followed: it never outlives the following."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from prefect_responses.clock import SystemClock
from prefect_responses.statuses import Outcome

ROUNDS = 10


class Deaf:
    """A listener that hears nothing."""

    def began(self, state):
        pass

    def heard(self, event, changes, state):
        pass


async def test_a_stream_that_comes_all_at_once_ends(bench):
    # Several hundred events and the end in one piece, as a replay to a busy process.
    responses = (await bench.again(clock=SystemClock())).responses
    text = " ".join(f"word{number}" for number in range(400))
    call = replace(bench.call(text, stream=True), listeners=(Deaf(),))

    for _ in range(ROUNDS):
        async with asyncio.timeout(20):
            settled = await responses.respond(call)
        assert settled.attempt.outcome is Outcome.COMPLETED
