"""Lists: the input items of a response, and the stored responses where a vendor lists them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator import envelopes
from prefect_responses.emulator.answer import Answer
from prefect_responses.emulator.parameter_rules import Kind, chosen, ranged
from prefect_responses.emulator.query_reading import read_integer, read_text
from prefect_responses.emulator.response_objects import response_body

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prefect_responses.emulator.emulation import Emulation
    from prefect_responses.emulator.exchange_handling import Call
    from prefect_responses.emulator.stored_responses import StoredResponse

_LONGEST_PAGE = 100
_USUAL_PAGE = 20


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    after: str | None
    limit: int
    newest_first: bool

    def of(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Write the part of a list, oldest row first, in the API's envelope."""
        ordered = list(reversed(rows)) if self.newest_first else list(rows)
        rest = ordered if self.after is None else ordered[_place(ordered, self.after) + 1 :]
        data = rest[: self.limit]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(rest) > len(data),
        }


def read_page(query: str) -> Page:
    """Read `after`, `limit` and `order`; refuse what the API refuses."""
    limit, order = read_integer(query, "limit"), read_text(query, "order")
    ranged(Kind.INTEGER, 1, _LONGEST_PAGE)("limit", limit)
    chosen("asc", "desc")("order", order)
    return Page(read_text(query, "after"), limit or _USUAL_PAGE, order != "asc")


def _place(rows: Sequence[dict[str, Any]], row_id: str) -> int:
    for place, row in enumerate(rows):
        if row["id"] == row_id:
            return place
    raise envelopes.ApiError(400, f"Item with id '{row_id}' not found.", param="after")


async def list_input_items(emulation: Emulation, call: Call) -> Answer:
    """List what a response was asked, with what the responses before it were asked and said."""
    page = read_page(call.exchange.query)
    response = emulation.responses.find(call.response_id, emulation.clock.now())
    call.exchange.response_id = response.id
    return Answer(200, page.of(_history(emulation, response)))


def _history(emulation: Emulation, response: StoredResponse) -> list[dict[str, Any]]:
    """Collect the turns, oldest first; a turn that is gone takes those before it along."""
    turns = [list(input_items(response))]
    now = emulation.clock.now()
    while (previous_id := response.parameters["previous_response_id"]) is not None:
        try:
            response = emulation.responses.find(previous_id, now)
        except envelopes.ApiError:
            break
        turns.append([*input_items(response), *response.output])
    return [item for turn in reversed(turns) for item in turn]


def input_items(response: StoredResponse) -> Iterator[dict[str, Any]]:
    """Write the input of one response as items with IDs: the same ones always."""
    given = response.input
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    for index, item in enumerate(items):
        name = hashlib.sha256(f"{response.id}:{index}".encode()).hexdigest()[:48]
        yield _message(item, name) if "role" in item else {"id": f"item_{name}", **item}


def _message(item: dict[str, Any], name: str) -> dict[str, Any]:
    content = item["content"]
    if isinstance(content, str):
        spoken = item["role"] == "assistant"
        part = {"type": "output_text" if spoken else "input_text", "text": content}
        content = [{**part, "annotations": []} if spoken else part]
    named = {"id": f"msg_{name}", "type": "message", "status": "completed", **item}
    return {**named, "content": content}


async def list_responses(emulation: Emulation, call: Call) -> Answer:
    """List the stored responses of a vendor that does; elsewhere there is no such list."""
    if not emulation.settings.list_responses:
        raise envelopes.wrong_method(call.exchange.method, call.exchange.path)
    page = read_page(call.exchange.query)
    now = emulation.clock.now()
    stored = [r for r in emulation.responses if r.is_retrievable(now) and r.parameters["store"]]
    rows = [response_body(response, response.status_at(now)) for response in stored]
    return Answer(200, page.of(rows))
