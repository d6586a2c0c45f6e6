"""The control plane steers the emulator and refuses what it does not understand."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from prefect_responses.emulator.remote_control import ControlRefusedError
from prefect_responses.emulator.server import EmulatorThread

if TYPE_CHECKING:
    from prefect_responses.emulator.remote_control import RemoteControl

BODY = {"model": "echo", "input": "Hi.", "background": True}


def test_equal_seeds_give_equal_runs(http: httpx.Client, control: RemoteControl) -> None:
    def play(seed: int, polls: int) -> list[Any]:
        control.reset(seed)
        control.stop_clock(now=1000.0)
        control.set_latency("uniform:1,30")
        for row in range(3):
            created = http.post("/responses", json=BODY | {"input": str(row)}).json()
            for _ in range(polls):
                http.get(f"/responses/{created['id']}")
        control.advance(100)
        return [(r["id"], r["terminal_at"]) for r in control.responses()]

    assert play(1, polls=0) == play(1, polls=2)
    assert play(1, polls=0) != play(2, polls=0)


def test_reset_forgets_all_but_the_seed(http: httpx.Client, control: RemoteControl) -> None:
    first = http.post("/responses", json=BODY).json()["id"]
    control.stop_clock()
    control.add_fault("status", times=None)
    control.add_replies({"text": "x"})
    state = control.reset()

    assert (state["seed"], state["accepted"], control.journal()) == (7, 0, [])
    assert http.get(f"/responses/{first}").status_code == 404
    assert http.post("/responses", json=BODY).json()["id"] == first


def test_a_response_is_summed_up(http: httpx.Client, control: RemoteControl) -> None:
    control.stop_clock(now=1000.0)
    control.set_latency("constant:10")
    http.post("/responses", json=BODY | {"metadata": {"row": "1"}})
    control.advance(10)
    summary = control.responses()[0]

    assert summary["status"] == "completed"
    assert (summary["accepted_at"], summary["terminal_at"]) == (1000.0, 1010.0)
    assert (summary["metadata"], summary["background"]) == ({"row": "1"}, True)
    assert len(summary["input_digest"]) == 64


def test_a_synchronous_create_follows_the_virtual_clock(emulator: EmulatorThread) -> None:
    control = emulator.control
    control.reset()
    control.stop_clock()
    control.set_latency("constant:3600")
    answers = []

    def ask() -> None:
        body = {"model": "echo", "input": "Hi."}
        headers = {"authorization": "Bearer k"}
        answers.append(httpx.post(f"{emulator.url}/responses", json=body, headers=headers))

    asking = threading.Thread(target=ask)
    asking.start()
    while not control.state()["in_flight"]:
        time.sleep(0.01)
    assert answers == []
    control.advance(3600)
    asking.join(5)

    assert answers[0].json()["status"] == "completed"


@pytest.mark.parametrize(
    ("order", "body"),
    [
        ("faults", {"rules": [{"fault": {"kind": "explode"}}]}),
        ("faults", {"rules": [{"fault": {"kind": "delay", "seconds": 1, "colour": 1}}]}),
        ("faults", {"rules": [{"fault": {"kind": "gone"}, "match": {"colour": 1}}]}),
        ("latency", {"profile": "slow"}),
        ("settings", {"latency": "slow"}),
        ("settings", {"colour": 1}),
        ("settings", {"cancel_completed": 500}),
        ("clock", {"advance": -1}),
        ("scripts", {"replies": [{"say": "x"}]}),
    ],
)
def test_an_order_it_does_not_understand_is_refused(
    emulator: EmulatorThread, order: str, body: dict[str, Any]
) -> None:
    assert httpx.post(f"{emulator.control_url}/{order}", json=body).status_code == 422


def test_the_remote_control_says_why_it_was_refused(control: RemoteControl) -> None:
    with pytest.raises(ControlRefusedError, match="latency profile"):
        control.set_latency("slow")


def test_scripts_are_listed_and_cleared(emulator: EmulatorThread, control: RemoteControl) -> None:
    listed = control.add_replies({"text": "One."}, {"match": "x", "value": {"a": 1}})["replies"]

    assert [(r["text"], r["match"], r["times"]) for r in listed] == [
        (None, "x", None),
        ("One.", None, 1),
    ]
    cleared = httpx.delete(f"{emulator.control_url}/scripts").json()
    assert cleared == {"replies": []}


def test_time_can_be_started_again(control: RemoteControl) -> None:
    control.stop_clock(now=1000.0)

    assert control.start_clock()["now"] >= 1000.0


def test_settings_never_show_keys(control: RemoteControl) -> None:
    control.change_settings(rejected_keys=["sk-revoked"])

    assert control.change_settings(cancel_completed=200)["rejected_keys"] == 1


def test_a_large_body_is_read_whole(http: httpx.Client) -> None:
    text = "word " * 100_000
    answer = http.post("/responses", json={"model": "echo", "input": text}).json()

    assert answer["output"][0]["content"][0]["text"] == text


def test_headers_of_an_answer(http: httpx.Client) -> None:
    headers = http.get("/models").headers

    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-version"] == "2020-10-01"
    assert int(headers["openai-processing-ms"]) >= 0
    assert headers["x-ratelimit-reset-requests"] == "6ms"


def test_a_thread_can_be_started_again_and_again() -> None:
    for _ in range(2):
        with EmulatorThread() as emulator:
            assert emulator.control.state()["accepted"] == 0
