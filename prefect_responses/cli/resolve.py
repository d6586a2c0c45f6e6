"""`prefect-responses resolve`: end a doubt by what a person found on the server."""

import time

from prefect_responses.attempt import Attempt
from prefect_responses.cli import printing
from prefect_responses.cli.finding import DEFAULT, Flag, Where, ledger_to_write
from prefect_responses.client.endpoints import path_segment
from prefect_responses.errors import IllegalMove, RequestInvalid
from prefect_responses.ledger import Ledger, MarkInDoubt, ResolveDoubt
from prefect_responses.statuses import AttemptState


async def resolve(
    attempt_id: str,
    /,
    *,
    created: str | None = None,
    not_created: Flag = False,
    where: Where = DEFAULT,
) -> None:
    """Say what was found on the server of an attempt that is in doubt.

    The response to look for carries the attempt's ID as metadata prefect_responses_key.

    Args:
        attempt_id: The attempt; `audit` names those in doubt.
        created: The response ID that was found on the server.
        not_created: The server has no such response, so the call may be sent again.
        where: Which ledger.
    """
    if (created is None) is not not_created:
        raise RequestInvalid("Give --created RESP_ID or --not-created, one of them.")
    if created is not None:
        path_segment(created)
    async with ledger_to_write(where) as ledger:
        await _make_sure_of_doubt(ledger, await ledger.attempt(attempt_id))
        verdict = await ledger.do(ResolveDoubt(attempt_id, created, time.time()))
    attempt = verdict.attempt
    standing = printing.standing_of(attempt)
    if not verdict.moved:
        raise IllegalMove(f"Attempt {attempt_id} is {standing}, not in doubt; nothing was changed.")
    printing.console().print(printing.plain(f"Attempt {attempt_id} is {standing} now."))


async def _make_sure_of_doubt(ledger: Ledger, attempt: Attempt) -> None:
    """Mark the attempt of a process that died while it was submitting.

    Raises:
        IllegalMove: its process lives and may still get the answer.
    """
    if attempt.state is not AttemptState.SUBMITTING:
        return
    owner = attempt.owner_id or ""
    if await ledger.owner_is_alive(owner):
        raise IllegalMove(
            f"Attempt {attempt.id} is being submitted by a process that lives; wait for its answer."
        )
    error = {"error": "OwnerDied", "message": "Its process died while it was submitting."}
    await ledger.do(MarkInDoubt(attempt.id, owner, attempt.fence, error, time.time()))
