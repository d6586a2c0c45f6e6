"""The responses that the emulator has accepted, and how long it keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator.envelopes import response_not_found
from prefect_responses.emulator.lifecycle import TERMINAL, Status, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.emulator.models.answers import ModelAnswer
    from prefect_responses.emulator.streaming.stream_plans import StreamPlan


@dataclass(slots=True)
class StoredResponse:
    """One accepted response: what was asked, what is answered, and when."""

    id: str
    parameters: dict[str, Any]
    input: str | list[dict[str, Any]] | None
    input_digest: str
    answer: ModelAnswer
    output: list[dict[str, Any]]
    usage: dict[str, Any]
    timeline: Timeline
    gone_at: float
    stream: StreamPlan | None = None

    @property
    def background(self) -> bool:
        """Tell whether the client asked to poll for it."""
        return bool(self.parameters["background"])

    def status_at(self, now: float) -> Status:
        """Tell the status at a moment."""
        return self.timeline.status_at(now)

    def is_retrievable(self, now: float) -> bool:
        """Tell whether retrieve finds it: not past its time, nor while its creator still waits."""
        if now >= self.gone_at:
            return False
        return self.background or now >= self.timeline.ends_at


class ResponseStore:
    """Find responses by ID."""

    def __init__(self) -> None:
        self._by_id: dict[str, StoredResponse] = {}

    def __iter__(self) -> Iterator[StoredResponse]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, response: StoredResponse) -> None:
        """Keep a response."""
        self._by_id[response.id] = response

    def clear(self) -> None:
        """Forget all."""
        self._by_id.clear()

    def find(self, response_id: str, now: float) -> StoredResponse:
        """Return a response that can be retrieved now; raise the API's 404 for any other."""
        response = self._by_id.get(response_id)
        if response is None or not response.is_retrievable(now):
            raise response_not_found(response_id)
        return response

    def known(self, response_id: str) -> StoredResponse | None:
        """Return a response whether or not it can be retrieved."""
        return self._by_id.get(response_id)

    def terminal_count(self, now: float) -> int:
        """Count the responses that have ended."""
        return sum(response.status_at(now) in TERMINAL for response in self)
