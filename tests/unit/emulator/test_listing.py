"""What can be listed of a response, what can be deleted, and the list that only vendors have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from prefect_responses.emulator.remote_control import RemoteControl

BODY = {"model": "echo", "input": "Hi."}
TURNS = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "input_text", "text": "One."}]},
    {"role": "assistant", "content": "Two."},
    {"type": "function_call_output", "call_id": "call_1", "output": "{}"},
]


def create(http: httpx.Client, **changes: Any) -> str:
    return str(http.post("/responses", json=BODY | changes).json()["id"])


def items_of(http: httpx.Client, response_id: str, **query: Any) -> dict[str, Any]:
    page: dict[str, Any] = http.get(f"/responses/{response_id}/input_items", params=query).json()
    return page


def test_a_text_is_listed_as_a_message(http: httpx.Client) -> None:
    page = items_of(http, create(http, background=True))
    item = page["data"][0]

    assert (item["type"], item["role"], item["status"]) == ("message", "user", "completed")
    assert item["content"] == [{"type": "input_text", "text": "Hi."}]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (item["id"], item["id"], False)
    assert item["id"].startswith("msg_")


def test_the_newest_item_comes_first(http: httpx.Client) -> None:
    response_id = create(http, input=TURNS)
    newest_first = items_of(http, response_id)["data"]

    assert newest_first[0]["type"] == "function_call_output"
    assert items_of(http, response_id, order="asc")["data"] == newest_first[::-1]
    assert newest_first[1]["content"][0]["type"] == "output_text"


def test_pages_go_on_after_an_item(http: httpx.Client) -> None:
    response_id = create(http, input=TURNS)
    first = items_of(http, response_id, limit=3, order="asc", **{"include[]": "x"})
    second = items_of(http, response_id, limit=3, order="asc", after=first["last_id"])

    assert (len(first["data"]), first["has_more"]) == (3, True)
    assert (len(second["data"]), second["has_more"]) == (1, False)


def test_earlier_turns_are_inherited(http: httpx.Client) -> None:
    first = create(http, input="One.")
    second = create(http, input="Two.", previous_response_id=first)
    third = create(http, input="Three.", previous_response_id=second)

    def texts() -> list[str]:
        page = items_of(http, third, order="asc")
        return [item["content"][0]["text"] for item in page["data"]]

    assert texts() == ["One.", "One.", "Two.", "Two.", "Three."]
    http.delete(f"/responses/{first}")
    assert texts() == ["Two.", "Two.", "Three."]


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"order": "up"}, {"after": "msg_0"}]
)
def test_a_page_that_makes_no_sense_is_refused(http: httpx.Client, query: dict[str, Any]) -> None:
    answer = http.get(f"/responses/{create(http)}/input_items", params=query)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(query)))


def test_the_items_of_nothing_are_not_found(http: httpx.Client) -> None:
    assert http.get("/responses/resp_0/input_items").status_code == 404


def test_what_is_deleted_is_gone(http: httpx.Client) -> None:
    response_id = create(http)
    deleted = http.delete(f"/responses/{response_id}")

    assert (deleted.status_code, deleted.json()) == (
        200,
        {"id": response_id, "object": "response", "deleted": True},
    )
    for answer in (
        http.get(f"/responses/{response_id}"),
        http.delete(f"/responses/{response_id}"),
        http.post(f"/responses/{response_id}/cancel"),
    ):
        assert answer.status_code == 404


def test_what_is_in_flight_cannot_be_deleted(http: httpx.Client, control: RemoteControl) -> None:
    control.set_latency("constant:60")
    response_id = create(http, background=True)
    refused = http.delete(f"/responses/{response_id}")

    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "Cannot delete an in-flight response."
    http.post(f"/responses/{response_id}/cancel")
    assert http.delete(f"/responses/{response_id}").status_code == 200


def test_responses_are_listed_only_where_a_vendor_does(
    http: httpx.Client, control: RemoteControl
) -> None:
    ids = [create(http, background=True, metadata={"row": str(row)}) for row in range(3)]
    create(http, background=True, store=False)
    assert http.get("/responses").status_code == 405

    control.change_settings(list_responses=True)
    page = http.get("/responses", params={"limit": 2}).json()
    rest = http.get("/responses", params={"after": page["last_id"]}).json()

    assert [row["metadata"] for row in page["data"]] == [{"row": "2"}, {"row": "1"}]
    assert (page["has_more"], [row["id"] for row in rest["data"]]) == (True, [ids[0]])
