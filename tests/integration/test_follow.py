"""`follow`: events and text of one response, in sync and async flows, whatever the server does."""

from __future__ import annotations

import pytest
from prefect import flow

from prefect_responses import (
    acreate_response,
    await_background_response,
    create_response,
    follow,
    respond,
)
from prefect_responses.decisions.stream_fold import Piece
from prefect_responses.errors import ResponseFailed
from prefect_responses.wire.stream_events import EventType

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TEXT = "Grüße, 世界 🌍. " + " ".join(f"word{number}" for number in range(60))


@pytest.fixture
def streaming(world):
    world.control.set_latency("constant:0.3")
    return world


def put_together(pieces):
    text = ""
    for piece in pieces:
        assert isinstance(piece, Piece)
        assert piece.offset == len(text)
        text += piece.text
    return text


def test_the_text_of_a_stream_piece_by_piece(streaming):
    @flow
    def story():
        run = create_response(model="echo", input=TEXT, stream=True)
        following = follow(run)
        pieces = list(following.text())
        return pieces, following.result().output_text

    pieces, whole = story()
    assert put_together(pieces) == whole
    assert len(pieces) > 20
    assert streaming.posts() == 1


@pytest.mark.usefixtures("streaming")
async def test_the_events_of_a_stream_in_an_async_flow():
    @flow
    async def story():
        run = await acreate_response(model="echo", input=TEXT, stream=True)
        following = follow(run)
        events = [event async for event in following]
        return events, (await following.aresult()).status

    events, status = await story()
    assert status == "completed"
    assert events[-1].event_type is EventType.COMPLETED
    assert EventType.OUTPUT_TEXT_DELTA in {event.event_type for event in events}


@pytest.mark.usefixtures("streaming")
def test_what_is_no_stream_is_told_at_its_end():
    @flow
    def story():
        run = create_response(model="echo", input=TEXT)
        return list(follow(run)), list(follow(run).text())

    events, pieces = story()
    assert [event.event_type for event in events] == [EventType.COMPLETED]
    assert TEXT in put_together(pieces)


def test_leaving_early_harms_nothing(streaming):
    @flow
    def story():
        run = create_response(model="echo", input=TEXT, stream=True)
        for _ in follow(run):
            break
        return await_background_response(run).output_text

    assert TEXT in story()
    assert streaming.posts() == 1


@pytest.mark.usefixtures("streaming")
def test_two_iterations_of_one_follower_do_not_know_each_other():
    @flow
    def story():
        following = follow(create_response(model="echo", input=TEXT, stream=True))
        events, text = iter(following), iter(following.text())
        next(events)
        begun = next(text)
        events.close()
        return put_together([begun, *text]), following.result().output_text

    told, whole = story()
    assert told == whole


def test_a_stream_that_fails_ends_and_the_result_says_why(streaming):
    streaming.control.add_fault("stream_error", after_deltas=3)

    @flow
    def story():
        following = follow(create_response(model="echo", input=TEXT, stream=True))
        kinds = [event.event_type for event in following]
        with pytest.raises(ResponseFailed):
            following.result()
        return kinds

    kinds = story()
    assert kinds[-2:] == [EventType.ERROR, EventType.FAILED]


@pytest.mark.parametrize("mode", ["auto", "poll", "stream"])
def test_every_way_of_waiting_comes_to_the_same(streaming, mode):
    @flow
    def story():
        answer = respond(model="echo", input=TEXT, stream=True, mode=mode)
        run = create_response(model="echo", input=TEXT + mode)
        return answer.output_text, await_background_response(run, mode=mode).output_text

    streamed, polled = story()
    assert TEXT in streamed
    assert TEXT + mode in polled
    assert streaming.posts() == 2
