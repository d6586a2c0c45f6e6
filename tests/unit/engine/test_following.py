"""Following streams: what is heard once, what is kept, and when polling takes over."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from prefect_responses.clock import SystemClock
from prefect_responses.decisions.fold_snapshots import from_snapshot
from prefect_responses.decisions.policies import AwaitMode, Backoff, CallPolicy, FollowPolicy
from prefect_responses.decisions.stream_fold import Piece, Restarted
from prefect_responses.statuses import Outcome

QUICK = CallPolicy(follow=FollowPolicy(tries=2, backoff=Backoff(first=0.01, most=0.05)))
TEXT = "Grüße, 世界 🌍. " + " ".join(f"word{number}" for number in range(120))


class Heard:
    """A listener that puts the text together as a consumer does who stores its offset."""

    def __init__(self):
        self.parts = {}
        self.repeated = 0
        self.began_with = None
        self.some = asyncio.Event()

    def began(self, state):
        self.began_with = state
        self.parts = {part: str(text) for part, text in state.parts.items()}

    def voided(self, changes, state):
        self.heard(None, changes, state)

    def heard(self, event, changes, state):
        del event, state
        for change in changes:
            if isinstance(change, Restarted):
                self.parts = {p: t for p, t in self.parts.items() if p[1] != change.output_index}
                continue
            assert isinstance(change, Piece)
            part = (change.kind, change.output_index, change.content_index)
            known = self.parts.get(part, "")
            assert change.offset <= len(known), "a piece was lost"
            self.repeated += len(known) - change.offset
            self.parts[part] = known[: change.offset] + change.text
            self.some.set()

    @property
    def text(self):
        return "".join(self.parts[part] for part in sorted(self.parts) if part[0] == "text")


@pytest.fixture
async def streams(bench):
    """The engine on the real clock: streams take real time."""
    again = await bench.again(clock=SystemClock())
    again.control.set_latency("constant:0.3")
    return again


def call(bench, heard, text=TEXT, policy=QUICK, **request):
    made = bench.call(text, stream=True, policy=policy, **request)
    return replace(made, listeners=(heard,))


def stream_reads(bench):
    return [e for e in bench.control.journal(method="GET") if "stream" in (e.get("query") or "")]


async def test_a_streamed_response_is_followed_on_the_connection_that_created_it(streams):
    heard = Heard()

    settled = await streams.responses.respond(call(streams, heard))

    body = orjson.loads(settled.body)
    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.attempt.streamed is True
    assert heard.text == body["output"][0]["content"][0]["text"]
    assert heard.repeated == 0
    assert streams.accepted() == 1
    assert streams.reads() == 0  # neither a poll nor another stream


async def test_its_progress_is_kept_while_it_runs_and_dropped_with_the_answer(streams):
    streams.control.change_settings(token_rate=100)
    heard = Heard()
    running = asyncio.create_task(streams.responses.respond(call(streams, heard)))
    await asyncio.wait_for(heard.some.wait(), 10)
    attempt = (await streams.attempts())[0]
    kept = None
    while kept is None or kept.snapshot is None:
        await asyncio.sleep(0.02)
        kept = await streams.ledger.progress(attempt.id)
    state = from_snapshot(orjson.loads(kept.snapshot))

    assert heard.text.startswith(state.text)
    assert state.cursor == kept.cursor
    settled = await running
    assert await streams.ledger.progress(settled.attempt.id) is None


async def test_the_next_process_goes_on_from_the_cursor_and_hears_little_again(streams):
    streams.control.change_settings(token_rate=200)
    first = Heard()
    running = asyncio.create_task(streams.responses.respond(call(streams, first)))
    await asyncio.wait_for(first.some.wait(), 10)
    await asyncio.sleep(0.4)
    running.cancel()  # the next process finds what this one has kept
    await asyncio.wait({running})

    again = await streams.again(clock=SystemClock())
    second = Heard()
    settled = await again.responses.respond(call(again, second))

    whole = orjson.loads(settled.body)["output"][0]["content"][0]["text"]
    assert second.text == whole
    assert second.began_with.text == whole[: len(second.began_with.text)] != ""
    assert again.accepted() == 1
    after = [e["query"] for e in again.control.journal(method="GET") if "stream=true" in e["query"]]
    assert len(after) == 1
    assert f"starting_after={second.began_with.cursor}" in after[0]


@pytest.mark.parametrize("ending", ["reset", "eof", "clean"])
async def test_a_cut_stream_is_resumed_and_each_character_heard_once(streams, ending):
    streams.control.set_latency("constant:2")  # it must not end while it is asked about
    streams.control.add_fault("cut_stream", after_events=9, ending=ending, times=3)
    heard = Heard()

    settled = await streams.responses.respond(call(streams, heard))

    whole = orjson.loads(settled.body)["output"][0]["content"][0]["text"]
    assert heard.text == whole
    assert heard.repeated == 0
    assert settled.attempt.streamed is True
    assert streams.accepted() == 1


async def test_a_closed_replay_window_is_polled_for_good(streams):
    streams.control.change_settings(stream_replay_ttl_s=0)
    streams.control.add_fault("cut_stream", after_events=6, ending="reset")
    heard = Heard()

    settled = await streams.responses.respond(call(streams, heard))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.attempt.streamed is False
    refused = [e for e in streams.control.journal(method="GET") if e["status"] == 400]
    assert len(refused) == 1


async def test_a_response_that_was_not_created_as_a_stream_is_polled_for_good(streams):
    streams.control.set_latency("constant:0.05")
    made = await streams.responses.create(streams.call("Not a stream."))
    policy = CallPolicy(AwaitMode.STREAM)

    settled = await streams.responses.wait(made.id, policy)

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.attempt.streamed is False


async def test_json_in_place_of_a_stream_is_an_ordinary_answer(streams):
    streams.control.add_fault("vendor", json_instead_of_stream=True, times=None)
    heard = Heard()

    settled = await streams.responses.respond(call(streams, heard, "As JSON."))

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.attempt.streamed is None
    assert streams.accepted() == 1


async def test_a_generation_that_starts_over_in_the_stream_is_told_as_such(streams):
    streams.control.add_fault("restart_stream", after_deltas=12)
    heard = Heard()

    settled = await streams.responses.respond(call(streams, heard))

    assert heard.text == orjson.loads(settled.body)["output"][0]["content"][0]["text"]


async def test_creating_alone_leaves_no_stream_open(streams):
    streams.control.change_settings(token_rate=5)
    made = await streams.responses.create(call(streams, Heard()))

    assert made.streamed is True
    assert streams.api.has_free_stream
    assert not streams.responses._streams._open
