"""Cancel answers by the state of the response."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from stream_reading import BACKGROUND as STREAMED
from stream_reading import events_of, opened, resume

if TYPE_CHECKING:
    import httpx

    from prefect_responses.emulator.remote_control import RemoteControl

BACKGROUND = {"model": "echo", "input": "Hi.", "background": True}


def create(http: httpx.Client, **changes: Any) -> str:
    return str(http.post("/responses", json=BACKGROUND | changes).json()["id"])


def cancel(http: httpx.Client, response_id: str) -> tuple[int, Any]:
    answer = http.post(f"/responses/{response_id}/cancel")
    body = answer.json()
    return answer.status_code, body.get("status") or body["error"]["message"]


@pytest.fixture
def stopped(control: RemoteControl) -> RemoteControl:
    control.stop_clock()
    control.set_latency("constant:10")
    return control


@pytest.mark.parametrize("after", [0, 5])
def test_what_runs_is_cancelled_again_and_again(
    http: httpx.Client, stopped: RemoteControl, after: float
) -> None:
    response_id = create(http)
    stopped.advance(after)

    assert [cancel(http, response_id) for _ in range(3)] == [(200, "cancelled")] * 3
    stopped.advance(100)
    assert http.get(f"/responses/{response_id}").json()["status"] == "cancelled"


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        (None, "Cannot cancel a completed response."),
        ("fail", "Cannot cancel a failed response."),
        ("incomplete", "Cannot cancel a response in terminal state."),
    ],
)
def test_what_has_ended_is_not(
    http: httpx.Client, stopped: RemoteControl, ending: str | None, sentence: str
) -> None:
    if ending:
        stopped.add_fault(ending)
    response_id = create(http)
    stopped.advance(10)

    assert cancel(http, response_id) == (400, sentence)


def test_cancelling_a_completed_one_can_be_allowed(
    http: httpx.Client, stopped: RemoteControl
) -> None:
    stopped.change_settings(cancel_completed=200)
    response_id = create(http)
    stopped.advance(10)

    assert cancel(http, response_id) == (200, "completed")


def test_a_synchronous_one_cannot_be_cancelled(http: httpx.Client) -> None:
    response_id = create(http, background=False)

    assert cancel(http, response_id) == (400, "Cannot cancel a synchronous response.")


def test_an_unknown_one_is_not_found(http: httpx.Client) -> None:
    assert cancel(http, "resp_0") == (404, "Response with id 'resp_0' not found.")


def test_a_cancelled_one_may_complete_anyway(http: httpx.Client, stopped: RemoteControl) -> None:
    stopped.add_fault("cancel_then_completes", after_cancel=3, match={"path_regex": "/cancel$"})
    response_id = create(http)
    stopped.advance(1)

    assert cancel(http, response_id) == (200, "cancelled")
    assert http.get(f"/responses/{response_id}").json()["status"] == "cancelled"
    stopped.advance(3)
    read = http.get(f"/responses/{response_id}").json()
    assert (read["status"], read["output"][0]["content"][0]["text"]) == ("completed", "Hi.")


def test_a_synchronous_one_in_flight_is_hidden_and_ends_with_its_connection(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.set_latency("constant:60")
    gone = threading.Event()

    def create_and_leave() -> None:
        with pytest.raises(Exception, match="timed out"):
            http.post("/responses", json=BACKGROUND | {"background": False}, timeout=0.3)
        gone.set()

    threading.Thread(target=create_and_leave).start()
    while not control.state()["in_flight"]:
        time.sleep(0.01)
    response_id = control.responses()[0]["id"]

    assert http.get(f"/responses/{response_id}").status_code == 404
    assert cancel(http, response_id)[0] == 404
    gone.wait(5)
    deadline = time.monotonic() + 5
    while control.state()["in_flight"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert control.responses()[0]["status"] == "cancelled"
    assert http.get(f"/responses/{response_id}").status_code == 404


# --- with streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "last", "status"),
    [
        ("fails", "response.failed", "cancelled"),
        ("continues", "response.completed", "completed"),
        ("ends", None, None),
    ],
)
def test_a_stream_ends_as_its_setting_says(
    http: httpx.Client, stopped: RemoteControl, setting: str, last: str | None, status: str | None
) -> None:
    stopped.change_settings(cancelled_stream=setting)
    with opened(http, json=STREAMED) as events:
        response_id = next(events)["response"]["id"]
        stopped.advance(6)
        assert [next(events)["sequence_number"] for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        assert cancel(http, response_id) == (200, "cancelled")
        stopped.advance(10)
        rest = list(events)

    replayed = events_of(resume(http, response_id, 6).content)
    assert rest == replayed
    ending = (rest[-1]["type"], rest[-1]["response"]["status"]) if rest else (None, None)
    assert ending == (last, status)
    assert http.get(f"/responses/{response_id}").json()["status"] == "cancelled"


def test_a_cancel_wakes_a_stream_at_once(http: httpx.Client, control: RemoteControl) -> None:
    control.set_latency("constant:600")
    with opened(http, json=STREAMED) as events:
        response_id = next(events)["response"]["id"]
        cancel(http, response_id)
        assert [e["type"] for e in events] == ["response.queued", "response.failed"]


def test_a_cancelled_stream_may_complete_anyway(http: httpx.Client, stopped: RemoteControl) -> None:
    stopped.add_fault("cancel_then_completes", after_cancel=3)
    with opened(http, json=STREAMED) as events:
        response_id = next(events)["response"]["id"]
        stopped.advance(1)
        assert cancel(http, response_id) == (200, "cancelled")
        last = list(events)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "cancelled")

    stopped.advance(3)
    assert http.get(f"/responses/{response_id}").json()["status"] == "completed"
    late = events_of(resume(http, response_id, last["sequence_number"]).content)
    assert [(e["type"], e["response"]["status"]) for e in late] == [
        ("response.completed", "completed")
    ]


@pytest.mark.parametrize(
    ("stream", "answer"),
    [(True, (400, "Cannot cancel a completed response.")), (False, (200, "completed"))],
)
def test_cancelling_a_completed_one_may_depend_on_its_stream(
    http: httpx.Client, control: RemoteControl, *, stream: bool, answer: tuple[int, str]
) -> None:
    control.change_settings(cancel_completed="by_stream")
    http.post("/responses", json=STREAMED | {"stream": stream})

    assert cancel(http, control.responses()[0]["id"]) == answer
