"""Follow a response while it is made: its events as they come, or its text piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import orjson

from prefect_responses.decisions.stream_fold import Fold, Piece, fold
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.statuses import Outcome
from prefect_responses.tasks.limits import timeout_of
from prefect_responses.tasks.response_result import ResponseResult
from prefect_responses.tasks.response_run import ResponseRun
from prefect_responses.tasks.waiting import Waiting
from prefect_responses.wire.stream_events import EventType, StreamEvent, read_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from prefect_responses.blocks.response_ledger import ResponseLedger
    from prefect_responses.blocks.responses_credentials import ResponsesCredentials
    from prefect_responses.decisions.policies import TimeoutPolicy
    from prefect_responses.decisions.stream_fold import Change
    from prefect_responses.engine.calls import Settled

T = TypeVar("T")

_EVENT_OF_OUTCOME = {
    Outcome.COMPLETED: EventType.COMPLETED,
    Outcome.INCOMPLETE: EventType.INCOMPLETE,
}


class _Mailbox:
    """What was heard and not yet fetched; filled and emptied in the runtime's loop."""

    def __init__(self) -> None:
        self._heard: deque[tuple[StreamEvent | None, tuple[Change, ...]]] = deque()
        self._news = asyncio.Event()
        self._state = Fold()
        self._is_closed = False

    def began(self, state: Fold) -> None:
        """Tell all that an earlier process has kept: this one's consumer has seen none of it."""
        self._state = state
        kept = tuple(
            Piece(*part, offset=0, text=str(text), cursor=state.cursor)
            for part, text in sorted(state.parts.items())
        )
        if kept:
            self._put(None, kept)

    def heard(self, event: StreamEvent, changes: tuple[Change, ...], state: Fold) -> None:
        """Tell one event."""
        self._state = state
        self._put(event, changes)

    def voided(self, changes: tuple[Change, ...], state: Fold) -> None:
        """Tell that a text begins again."""
        self._state = state
        self._put(None, changes)

    def end(self, settled: Settled | None) -> None:
        """Tell what the end says that no event had said, and that nothing follows."""
        if settled is not None and settled.body and self._state.response is None:
            kind = _EVENT_OF_OUTCOME.get(settled.attempt.outcome or Outcome.FAILED)
            document = {"type": kind or EventType.FAILED, "response": orjson.loads(settled.body)}
            event = read_event(document)
            self._state, changes = fold(self._state, event)
            self._put(event, changes)
        self._is_closed = True
        self._news.set()

    def _put(self, event: StreamEvent | None, changes: tuple[Change, ...]) -> None:
        self._heard.append((event, changes))
        self._news.set()

    async def fetch(self) -> list[tuple[StreamEvent | None, tuple[Change, ...]]]:
        """Wait for news and return all of it; an empty list says that nothing follows."""
        if not self._heard and not self._is_closed:
            self._news.clear()
            await self._news.wait()
        fetched = list(self._heard)
        self._heard.clear()
        return fetched


class Followed(Generic[T]):
    """What is heard of a response: iterate over it with `for` or with `async for`.

    Each iteration follows anew, and leaving one ends none but that; the response goes on.

    Args:
        follower: whose response it is.
        pick: takes from what was heard what is yielded.
    """

    def __init__(
        self,
        follower: Follower,
        pick: Callable[[StreamEvent | None, tuple[Change, ...]], tuple[T, ...]],
    ) -> None:
        self._follower = follower
        self._pick = pick

    def __iter__(self) -> Iterator[T]:
        runtime, mailbox = current_runtime(), _Mailbox()
        following = runtime.start(self._follower.follow(mailbox))
        try:
            while heard := runtime.run(mailbox.fetch()):
                for event, changes in heard:
                    yield from self._pick(event, changes)
            following.result()
        finally:
            following.cancel()

    async def __aiter__(self) -> AsyncIterator[T]:
        runtime, mailbox = current_runtime(), _Mailbox()
        following = runtime.start(self._follower.follow(mailbox))
        try:
            while heard := await runtime.arun(mailbox.fetch()):
                for event, changes in heard:
                    for each in self._pick(event, changes):
                        yield each
            await asyncio.wrap_future(following)
        finally:
            following.cancel()


class Follower(Followed[StreamEvent]):
    """Follow one response; made by `follow`.

    Iterating over it gives the events. Where they cannot be followed, the response is polled, and
    its end is told as one event.
    """

    def __init__(
        self,
        response: ResponseRun | str,
        credentials: ResponsesCredentials | None,
        ledger: ResponseLedger | None,
        timeout: TimeoutPolicy,
    ) -> None:
        super().__init__(self, lambda event, _: () if event is None else (event,))
        self._response = response
        self._credentials = credentials
        self._ledger = ledger
        self._timeout = timeout

    def text(self) -> Followed[Change]:
        """Return the text, piece by piece, each with its offset; see `Piece` and `Restarted`.

        After a crash all that was kept comes first, as one piece of each part, from offset 0: who
        has stored the offset up to which the text was used skips what lies before it.
        """
        return Followed(self, lambda _, changes: changes)

    def result(self) -> ResponseResult:
        """Wait until the response has ended and return the answer.

        Raises:
            ResponseUnsuccessful: it failed, was cancelled or is gone.
        """
        return current_runtime().run(self._result())

    async def aresult(self) -> ResponseResult:
        """Wait until the response has ended and return the answer; see `result`."""
        return await current_runtime().arun(self._result())

    async def _result(self) -> ResponseResult:
        return await (await self._run()).settle(Waiting(timeout=self._timeout))

    async def follow(self, mailbox: _Mailbox) -> None:
        """Follow for one iteration: what is heard comes into its *mailbox*.

        Raises:
            ResponsesError: the response could not be found, or how it ended not be read.
        """
        settled = None
        try:
            run = await self._run()
            settled, _ = await run.end(Waiting(timeout=self._timeout, listeners=(mailbox,)))
        finally:
            mailbox.end(settled)

    async def _run(self) -> ResponseRun:
        if isinstance(self._response, str):
            self._response = await ResponseRun.find(self._response, self._credentials, self._ledger)
        return self._response


def follow(
    response: ResponseRun | str,
    *,
    cancel_on_timeout: float | None = None,
    credentials: ResponsesCredentials | None = None,
    ledger: ResponseLedger | None = None,
) -> Follower:
    """Follow a response while it is made.

    Iterate over what is returned, or over its `text()`, with `for` or `async for`. The response
    must have been created with `stream=True`; any other is polled, and told at its end.

    Args:
        response: what `create_response` returned, or the API's response ID.
        cancel_on_timeout: seconds of wall time from now that it may take.
        credentials: the account that created it, where *response* is an ID.
        ledger: where it is recorded, where *response* is an ID.

    Examples:
        ```python
        run = create_response(model="gpt-5-mini", input="Tell me a story.", stream=True)
        for piece in follow(run).text():
            print(piece.text, end="")
        ```
    """
    return Follower(response, credentials, ledger, timeout_of(cancel_on_timeout))
