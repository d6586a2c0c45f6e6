"""The handle of a submitted response: it survives its process, and can be made from an ID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.blocks.abstract import JobRun
from pydantic import BaseModel, PrivateAttr

from prefect_responses.attempt import Draft
from prefect_responses.blocks.response_ledger import ResponseLedger
from prefect_responses.blocks.responses_credentials import ResponsesCredentials, connection_of
from prefect_responses.client.endpoints import path_segment
from prefect_responses.decisions.policies import PollPolicy
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.host.origins import Host, read_waiter
from prefect_responses.host.prefect_internals import saved_name
from prefect_responses.identity import named_scope, request_digest, request_name
from prefect_responses.statuses import CancelReason
from prefect_responses.tasks.asking import open_engine
from prefect_responses.tasks.limits import timeout_of
from prefect_responses.tasks.response_result import (
    ResponseResult,
    load_ledger,
    without_blocks,
)
from prefect_responses.tasks.waiting import Waiting

if TYPE_CHECKING:
    from prefect_responses.attempt import Attempt
    from prefect_responses.engine.calls import Settled
    from prefect_responses.engine.connections import Connection
    from prefect_responses.engine.durable_responses import DurableResponses

#: The scope of responses that were created elsewhere and are only waited for here.
ATTACHED = named_scope("attached")


class ResponseRun(BaseModel, JobRun[ResponseResult]):
    """A response under way.

    It holds IDs and block names, no secrets, so it can be stored, passed between tasks and made
    again in any process that reaches the same ledger.

    Args:
        attempt_id: the ledger's ID.
        response_id: the API's ID.
        credentials_block: name of the credentials block, or None for the environment's.
        ledger_block: name of the ledger block, or None for the default ledger.
    """

    attempt_id: str
    response_id: str | None = None
    credentials_block: str | None = None
    ledger_block: str | None = None
    _credentials: ResponsesCredentials | None = PrivateAttr(default=None)
    _ledger: ResponseLedger | None = PrivateAttr(default=None)

    @classmethod
    def of(
        cls,
        attempt: Attempt,
        credentials: ResponsesCredentials | None,
        ledger: ResponseLedger | None,
    ) -> ResponseRun:
        """Make the handle of *attempt*, which was submitted through these blocks."""
        run = cls(
            attempt_id=attempt.id,
            response_id=attempt.response_id,
            credentials_block=saved_name(credentials),
            ledger_block=saved_name(ledger),
        )
        run._credentials, run._ledger = credentials, ledger
        return run

    def __getstate__(self) -> dict[Any, Any]:
        return without_blocks(super().__getstate__())

    @classmethod
    def attach(
        cls,
        response_id: str,
        *,
        credentials: ResponsesCredentials | None = None,
        ledger: ResponseLedger | None = None,
    ) -> ResponseRun:
        """Make the handle of a response by its ID, whoever created it.

        Args:
            response_id: the API's ID.
            credentials: the account that created it.
            ledger: where to record it, if it is not recorded yet.
        """
        return current_runtime().run(cls.find(response_id, credentials, ledger))

    @classmethod
    async def aattach(
        cls,
        response_id: str,
        *,
        credentials: ResponsesCredentials | None = None,
        ledger: ResponseLedger | None = None,
    ) -> ResponseRun:
        """Make the handle of a response by its ID; see `attach`."""
        return await current_runtime().arun(cls.find(response_id, credentials, ledger))

    def wait_for_completion(self, poll: PollPolicy | None = None) -> None:  # type: ignore[override]
        """Wait until the response has ended, however it ended; see `fetch_result`."""
        current_runtime().run(self.end(_waiting(poll)))

    async def await_for_completion(self, poll: PollPolicy | None = None) -> None:
        """Wait until the response has ended; see `wait_for_completion`."""
        await current_runtime().arun(self.end(_waiting(poll)))

    def fetch_result(self, poll: PollPolicy | None = None) -> ResponseResult:  # type: ignore[override]
        """Wait until the response has ended and return the answer.

        Raises:
            ResponseUnsuccessful: it failed, was cancelled or is gone.
        """
        return current_runtime().run(self.settle(_waiting(poll)))

    async def afetch_result(self, poll: PollPolicy | None = None) -> ResponseResult:
        """Wait until the response has ended and return the answer; see `fetch_result`."""
        return await current_runtime().arun(self.settle(_waiting(poll)))

    @classmethod
    async def find(
        cls,
        response_id: str,
        credentials: ResponsesCredentials | None,
        ledger: ResponseLedger | None,
    ) -> ResponseRun:
        """Do what `attach` does, in the runtime's loop."""
        path_segment(response_id)  # refuse what is no ID before it is written down
        connection = connection_of(credentials)
        host = await read_waiter()
        responses = await open_engine(connection, ledger, host)
        draft = _attached(response_id, connection, host)
        return cls.of(await responses.attach(draft, response_id), credentials, ledger)

    def cancel(self) -> ResponseRun:
        """Cancel the response upstream and read it once more; a late answer is kept.

        After a crash the cancel is owed, and delivered by whoever finds it.

        Returns:
            This handle: `fetch_result()` says how the response ended.
        """
        return current_runtime().run(self._cancel())

    async def acancel(self) -> ResponseRun:
        """Cancel the response upstream; see `cancel`."""
        return await current_runtime().arun(self._cancel())

    async def _cancel(self) -> ResponseRun:
        responses, _ = await self._open(await read_waiter())
        attempt = await responses.ledger.attempt(self.attempt_id)
        wanted = await responses.want_cancel(attempt, CancelReason.ASKED)
        await responses.deliver_cancel(wanted)
        return self

    async def settle(self, waiting: Waiting) -> ResponseResult:
        """Do what `fetch_result` does, in the runtime's loop."""
        return ResponseResult.of(*await self.end(waiting))

    async def end(self, waiting: Waiting) -> tuple[Settled, ResponseLedger | None]:
        """Wait, in the runtime's loop, until the response has ended, however it ended."""
        host = await read_waiter()
        responses, ledger = await self._open(host)
        async with waiting.listening(self.attempt_id) as listeners:
            settled = await responses.wait(
                self.attempt_id, waiting.policy(), host.origin, listeners
            )
        return settled, ledger

    async def _open(self, host: Host) -> tuple[DurableResponses, ResponseLedger | None]:
        ledger = self._ledger or await load_ledger(self.ledger_block)
        return await self._engine(ledger, host), ledger

    async def _engine(self, ledger: ResponseLedger | None, host: Host) -> DurableResponses:
        credentials = self._credentials
        if credentials is None and self.credentials_block is not None:
            credentials = await ResponsesCredentials.aload(self.credentials_block)
        return await open_engine(connection_of(credentials), ledger, host)


def _waiting(poll: PollPolicy | None) -> Waiting:
    return Waiting(timeout=timeout_of(None), poll=poll)


async def settled_result(
    response: ResponseRun | str,
    credentials: ResponsesCredentials | None,
    ledger: ResponseLedger | None,
    waiting: Waiting,
) -> ResponseResult:
    """Wait for the end of *response*, a handle or the API's ID, and return the answer."""
    if isinstance(response, str):
        response = await ResponseRun.find(response, credentials, ledger)
    return await response.settle(waiting)


def _attached(response_id: str, connection: Connection, host: Host) -> Draft:
    digest = request_digest({"attached": response_id}, connection.endpoint)
    return Draft(
        scope=ATTACHED,
        name=request_name(digest),
        digest=digest,
        endpoint=connection.endpoint,
        credentials=connection.reference,
        request=b"{}",
        flow_run_id=host.origin.flow_run_id,
        task_run_id=host.origin.task_run_id,
    )
