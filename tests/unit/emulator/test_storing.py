"""What is stored can be retrieved for as long as the API keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from prefect_responses.emulator.remote_control import RemoteControl

_MINUTE = 60
_DAY = 24 * 60 * 60


def create(http: httpx.Client, **changes: Any) -> str:
    return str(
        http.post("/responses", json={"model": "echo", "input": "Hi."} | changes).json()["id"]
    )


@pytest.mark.parametrize(
    ("store", "background", "kept_for"),
    [
        (True, False, 30 * _DAY),
        (None, False, 30 * _DAY),
        (True, True, 30 * _DAY),
        (None, True, 30 * _DAY),
        (False, True, 10 * _MINUTE),
        (False, False, 0),
    ],
)
def test_how_long_a_response_is_kept(
    http: httpx.Client, control: RemoteControl, store: Any, background: Any, kept_for: float
) -> None:
    control.stop_clock()
    response_id = create(http, store=store, background=background)
    statuses = []
    for step in (max(kept_for - 1, 0), 1):
        control.advance(step)
        statuses.append(http.get(f"/responses/{response_id}").status_code)

    assert statuses == ([200, 404] if kept_for else [404, 404])


def test_unstored_background_can_be_refused(http: httpx.Client, control: RemoteControl) -> None:
    control.change_settings(unstored_background="reject")
    refused = http.post(
        "/responses", json={"model": "echo", "input": "Hi.", "background": True, "store": False}
    )

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "background"
    assert control.state()["accepted"] == 0


def test_a_stored_and_finished_response_can_be_continued(
    http: httpx.Client, control: RemoteControl
) -> None:
    control.stop_clock()
    control.set_latency("constant:10")
    running = create(http, background=True)
    unstored = create(http, background=True, store=False)
    wanted = {"model": "echo", "input": "More.", "background": True}

    def go_on(previous: str) -> tuple[int, Any]:
        answer = http.post("/responses", json=wanted | {"previous_response_id": previous})
        return answer.status_code, (answer.json()["error"] or {}).get("code")

    assert go_on(running) == (400, "previous_response_not_found")
    control.advance(10)
    assert go_on(running) == (200, None)
    assert go_on(unstored) == (400, "previous_response_not_found")
    assert go_on("resp_0") == (400, "previous_response_not_found")


@pytest.mark.parametrize(("background", "flag"), [(True, "stream"), (False, "background")])
def test_what_was_not_streamed_cannot_be_streamed_later(
    http: httpx.Client, *, background: bool, flag: str
) -> None:
    response_id = create(http, background=background)
    refused = http.get(f"/responses/{response_id}", params={"stream": "true"})

    assert refused.status_code == 400
    assert f"not created with {flag}=true" in refused.json()["error"]["message"]
