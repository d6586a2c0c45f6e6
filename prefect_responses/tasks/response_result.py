"""What a caller gets when a response has ended well."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel, Field, PrivateAttr

from prefect_responses.blocks.response_ledger import ResponseLedger, address_of
from prefect_responses.decisions.timeouts import timeout_outcome
from prefect_responses.engine.calls import Settled
from prefect_responses.engine.connections import open_ledger
from prefect_responses.engine.outcomes import failure_of
from prefect_responses.engine.runtime import current_runtime
from prefect_responses.host.prefect_internals import saved_name
from prefect_responses.ledger import DropClaim, Reject, Verb
from prefect_responses.wire.responses import read_response_object


class ResponseResult(BaseModel):
    """The answer, JSON-serialisable.

    Args:
        attempt_id: the ledger's ID.
        response_id: the API's ID.
        status: `completed` or `incomplete`.
        output_text: the text of the answer, joined.
        usage: tokens as the API counted them.
        response: the whole response object, as the API sent it.
        timeout: `completed` if the answer came although its deadline had passed, else None.
        ledger_block: the ledger's block name, or None for the default ledger.
    """

    attempt_id: str
    response_id: str
    status: str
    output_text: str = ""
    usage: dict[str, Any] | None = None
    response: dict[str, Any] = Field(default_factory=dict, repr=False)
    timeout: str | None = None
    ledger_block: str | None = None
    _ledger: ResponseLedger | None = PrivateAttr(default=None)
    _claim_id: str | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, settled: Settled, ledger: ResponseLedger | None) -> ResponseResult:
        """Build the result of a settled call.

        Raises:
            ResponseUnsuccessful: the response failed, was cancelled or is gone.
            RequestRefused: the API refused the request.
        """
        attempt = settled.attempt
        if (failure := failure_of(attempt)) is not None:
            raise failure
        document = orjson.loads(settled.body or b"{}")
        status = attempt.remote_status or ""
        text = read_response_object(document).output_text if document else ""
        result = cls(
            attempt_id=attempt.id,
            response_id=attempt.response_id or "",
            status=str(status),
            output_text=text,
            usage=attempt.usage,
            response=document,
            timeout=timeout_outcome(attempt),
            ledger_block=saved_name(ledger),
        )
        result._ledger, result._claim_id = ledger, settled.claim_id
        return result

    def __getstate__(self) -> dict[Any, Any]:
        return without_blocks(super().__getstate__())

    def reject(self, reason: str) -> None:
        """Mark this answer as not wanted, durably: the same call submits again next time.

        Args:
            reason: why, for the audit.
        """
        current_runtime().run(self._reject(reason))

    async def areject(self, reason: str) -> None:
        """Mark this answer as not wanted, durably; see `reject`."""
        await current_runtime().arun(self._reject(reason))

    async def _reject(self, reason: str) -> None:
        block = self._ledger or await load_ledger(self.ledger_block)
        runtime = current_runtime()
        ledger = await open_ledger(runtime, address_of(block, deployed=False))
        verbs: list[Verb] = [Reject(self.attempt_id, reason, runtime.now())]
        if self._claim_id is not None:
            # Or the next call of this run would take another ordinal than it will in a re-run.
            verbs.append(DropClaim(self._claim_id, runtime.now()))
        await ledger.do_all(verbs)


def without_blocks(state: dict[Any, Any]) -> dict[Any, Any]:
    """Return what is pickled of a model without the blocks that it holds: they have secrets.

    The process that loads it finds them again by their names, or in its environment.
    """
    private = dict.fromkeys(state["__pydantic_private__"] or ())
    return {**state, "__pydantic_private__": private}


async def load_ledger(name: str | None) -> ResponseLedger | None:
    """Load the ledger block of that name, or None for the default ledger."""
    if name is None:
        return None
    return await ResponseLedger.aload(name)
