"""Show the text of a response in Prefect's UI while it is made, in one Markdown artifact.

Best effort: Prefect's API is asked beside the following of the response, and what cannot be shown
is not worth a failure.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.context import FlowRunContext, TaskRunContext

from prefect_responses.decisions.output_texts import PieceKind
from prefect_responses.decisions.stream_fold import Fold
from prefect_responses.engine.report_text import escaped
from prefect_responses.host.foreign_markdown import defused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from typing import Any
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import Artifact

    from prefect_responses.decisions.stream_fold import Change
    from prefect_responses.engine.listening import Listener
    from prefect_responses.wire.stream_events import StreamEvent

#: Seconds between two updates.
EVERY = 3.0
#: How often that doubles at most while Prefect's API fails.
_MOST_DOUBLINGS = 4
#: Seconds in which Prefect's API must have answered.
_PATIENCE = 5.0
#: Seconds that the last update may take. What an API has been silent for before counts too.
_LAST_WORD = 1.0
_LAST_WORD_OF_THE_SILENT = 0.25
#: Characters that are shown at most: the last ones.
LONGEST = 200_000
_RESPONSE_ID = "response_id"


@asynccontextmanager
async def live_text(title: str) -> AsyncIterator[Listener]:
    """Show the text so far of the response that the listener hears of, until the block is left.

    A process that goes on with the same response in the same flow run goes on with its artifact.
    Outside a flow run nothing is shown.

    Args:
        title: what the response is called; the artifact's key is made of it.
    """
    heard = _Heard()
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        yield heard
        return
    task = TaskRunContext.get()
    page = _Page(title, context.flow_run.id, task.task_run.id if task is not None else None)
    writer = _Writer(heard, page)
    writing = asyncio.create_task(writer.write_all())
    try:
        yield heard
    finally:
        await writer.end(writing)


class _Heard:
    """Keep what was heard last; a listener."""

    def __init__(self) -> None:
        self.is_new = asyncio.Event()
        self.is_over = asyncio.Event()
        self._state = Fold()
        self._response: Mapping[str, Any] = {}
        self._started = time.monotonic()

    def began(self, state: Fold) -> None:
        """Take what an earlier process kept."""
        self._take(state)

    def heard(self, event: StreamEvent, changes: tuple[Change, ...], state: Fold) -> None:
        """Take what is known after *event*."""
        self._response = event.response or self._response
        if changes or state.response is not None:
            self._take(state)

    def voided(self, changes: tuple[Change, ...], state: Fold) -> None:
        """Take it that a text begins again."""
        del changes
        self._take(state)

    def end(self) -> None:
        """Take it that nothing will come any more."""
        self.is_over.set()
        self.is_new.set()

    def _take(self, state: Fold) -> None:
        self._state = state
        self.is_new.set()

    @property
    def has_text(self) -> bool:
        """Tell whether there is something to show."""
        return any(part.kind in _SHOWN for part in self._state.parts)

    @property
    def response_id(self) -> str | None:
        """Return the response's ID, if the server has said it."""
        return self._state.response_id

    def as_markdown(self) -> str:
        """Return what is to be shown now."""
        text = "".join(self._state.joined(kind) for kind in _SHOWN)
        facts = " · ".join(self._facts(len(text)))
        if len(text) > LONGEST:
            facts += f" · only the last {LONGEST:,} are shown"
            text = "…" + text[-LONGEST:]
        return f"**{facts}**\n\n{defused(text)}"

    def _facts(self, length: int) -> Iterator[str]:
        if isinstance(model := self._response.get("model"), str):
            yield escaped(model)
        yield f"{length:,} characters"
        yield f"{time.monotonic() - self._started:,.0f} s"
        yield self._stage()

    def _stage(self) -> str:
        if self._state.response is not None:
            return escaped(str(self._state.response.get("status") or "ended"))
        return "no longer followed" if self.is_over.is_set() else "being written"


_SHOWN = (PieceKind.TEXT, PieceKind.REFUSAL)


@dataclass(slots=True)
class _Page:
    """One artifact, made once and then written anew in place.

    Args:
        title: what the response is called.
        flow_run_id: the flow run that it belongs to.
        task_run_id: the task run that it belongs to, if any.
    """

    title: str
    flow_run_id: UUID
    task_run_id: UUID | None
    id: UUID | None = None

    async def put(self, client: PrefectClient, markdown: str, response_id: str | None) -> None:
        """Show *markdown*, in the artifact that the response has already if there is one."""
        if self.id is None:
            self.id = await self._find(client, response_id)
        if self.id is None:
            self.id = await self._create(client, markdown, response_id)
            return
        # The client's own method would send the whole text as an event too, each time.
        update = ArtifactUpdate(data=markdown).model_dump(mode="json", exclude_unset=True)
        await client.request("PATCH", "/artifacts/{id}", path_params={"id": self.id}, json=update)

    @property
    def key(self) -> str:
        """The artifact's key: lower-case letters, digits and dashes, the same in a re-run."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:100]
        return f"live-{words or 'response'}"

    async def _find(self, client: PrefectClient, response_id: str | None) -> UUID | None:
        """Find what an earlier process made, or what was made and not answered."""
        if response_id is None:
            return None
        asked = ArtifactFilter(
            key=ArtifactFilterKey(any_=[self.key]),
            flow_run_id=ArtifactFilterFlowRunId(any_=[self.flow_run_id]),
        )
        found: list[Artifact] = await client.read_artifacts(artifact_filter=asked)
        same = (
            each.id for each in found if (each.metadata_ or {}).get(_RESPONSE_ID) == response_id
        )
        return next(same, None)

    async def _create(self, client: PrefectClient, markdown: str, response_id: str | None) -> UUID:
        artifact = ArtifactCreate(
            key=self.key,
            type="markdown",
            description=f"Live text of {escaped(self.title)}",
            data=markdown,
            metadata_={_RESPONSE_ID: response_id} if response_id is not None else {},
            flow_run_id=self.flow_run_id,
            task_run_id=self.task_run_id,
        )
        return (await client.create_artifact(artifact)).id


class _Writer:
    """Write what was heard onto the page: the first text at once, then no more often than `EVERY`.

    Args:
        heard: what was heard.
        page: where it is shown.
    """

    def __init__(self, heard: _Heard, page: _Page) -> None:
        self._heard = heard
        self._page = page
        self._failures = 0
        self._silent_since: float | None = None

    async def write_all(self) -> None:
        """Write until nothing will come any more."""
        # A process whose console is gone gets SystemExit from its console handler.
        with suppress(Exception, SystemExit):
            async with get_client() as client:
                while not self._heard.is_over.is_set():
                    await self._heard.is_new.wait()
                    await self._write(client)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._pause()):
                            await self._heard.is_over.wait()
                await self._write(client)

    def _pause(self) -> float:
        return EVERY * 2.0 ** min(self._failures, _MOST_DOUBLINGS)

    async def end(self, writing: asyncio.Task[None]) -> None:
        """Let the last text be written, if Prefect's API takes it now."""
        self._heard.end()
        try:
            await asyncio.wait({writing}, timeout=self._last_word())
        finally:
            writing.cancel()

    def _last_word(self) -> float:
        if self._silent_since is None:
            return _LAST_WORD
        silence = time.monotonic() - self._silent_since
        return max(_LAST_WORD_OF_THE_SILENT, _LAST_WORD - silence)

    async def _write(self, client: PrefectClient) -> None:
        if not self._heard.is_new.is_set() or not (self._heard.has_text or self._page.id):
            self._heard.is_new.clear()
            return
        self._heard.is_new.clear()
        self._silent_since = self._silent_since or time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._page.put(client, self._heard.as_markdown(), self._heard.response_id)
        except (Exception, SystemExit):  # noqa: BLE001 - nothing that only shows something may fail
            self._failures += 1
            self._heard.is_new.set()
        else:
            self._failures, self._silent_since = 0, None
