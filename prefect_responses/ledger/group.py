"""One transaction for a group of verbs: lock and read their calls, decide, write what changed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from prefect_responses.errors import ResponsesError
from prefect_responses.ledger import job_statements, statements
from prefect_responses.ledger.accounts import NO_ACCOUNT
from prefect_responses.ledger.bulk import write_rows
from prefect_responses.ledger.decide import decide
from prefect_responses.ledger.picture import Picture
from prefect_responses.ledger.tables import accounts
from prefect_responses.ledger.verbs import Attach, Claim, DropClaim, Plan, Take

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from prefect_responses.ledger.dialects import Dialect
    from prefect_responses.ledger.picture import Owner
    from prefect_responses.ledger.verbs import Verb, Verdict


async def commit_group(
    connection: AsyncConnection, dialect: Dialect, owner: Owner, verbs: Sequence[Verb]
) -> list[Verdict | ResponsesError]:
    """Decide *verbs* in their order and write what they change, all in the open transaction.

    A verb that is refused with an error has changed nothing and leaves the others alone. Anything
    else that goes wrong fails the group as a whole.
    """
    picture = Picture(owner)
    await _Reader(connection, dialect, picture).read(verbs)
    answers = [_decided(picture, verb) for verb in verbs]
    await _write(connection, picture)
    return answers


def _decided(picture: Picture, verb: Verb) -> Verdict | ResponsesError:
    try:
        return decide(picture, verb)
    except ResponsesError as exc:
        return exc


class _Reader:
    """Read what a group needs to know, and lock it where writers run side by side."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, picture: Picture) -> None:
        self._connection = connection
        self._dialect = dialect
        self._picture = picture

    async def read(self, verbs: Sequence[Verb]) -> None:
        named = [verb for verb in verbs if isinstance(verb, Take | Plan | Attach)]
        dropped = [verb for verb in verbs if isinstance(verb, DropClaim)]
        ids = {id_ for verb in verbs if (id_ := getattr(verb, "attempt_id", None))}
        if ids:
            await self._see(statements.siblings_of(), ids=list(ids))
        if named:
            calls = {(verb.draft.scope, verb.draft.name) for verb in named}
            apart = _apart(calls, "scopes", "names")
            await self._see(statements.attempts_named(), calls=list(calls), **apart)
            await self._see_carriers(verb for verb in named if isinstance(verb, Attach))
        takes = [verb for verb in named if isinstance(verb, Take)]
        if takes or dropped:
            await self._see_claims(takes, dropped)
        await self._see_accounts(verbs)

    async def _see_accounts(self, verbs: Sequence[Verb]) -> None:
        """Read the accounts last: who has locked them asks for nothing more."""
        charges = [verb.charge for verb in verbs if isinstance(verb, Claim) and verb.charge]
        names = {limit.name for charge in charges for limit in charge.accounts}
        names |= self._picture.charged_accounts()
        if not names:
            return
        rows = await self._accounts(names)
        if len(rows) < len(names):
            new = [NO_ACCOUNT | {"name": name} for name in sorted(names)]
            adding = job_statements.add_unless_there(self._dialect, accounts)
            await self._connection.execute(adding, new)
            rows = await self._accounts(names)
        self._picture.accounts.see(rows)

    async def _accounts(self, names: set[str]) -> Sequence[Any]:
        reading = job_statements.accounts_named()
        found = await self._connection.execute(reading, {"names": sorted(names)})
        return list(found)

    async def _see(self, statement: Select[Any], **parameters: list[Any]) -> None:
        if self._dialect.locks_rows:
            await self._connection.execute(statements.locking(statement), parameters)
        found = await self._connection.execute(statement, parameters)
        self._picture.see_attempts(found.all())

    async def _see_carriers(self, attaches: Iterable[Attach]) -> None:
        carried = {(verb.draft.endpoint.base_url, verb.response_id) for verb in attaches}
        if carried:
            apart = _apart(carried, "base_urls", "response_ids")
            await self._see(statements.carriers_of(), responses=list(carried), **apart)

    async def _see_claims(self, takes: list[Take], dropped: list[DropClaim]) -> None:
        ids = {verb.claim_id for verb in takes} | {verb.claim_id for verb in dropped}
        calls = {(verb.draft.scope, verb.draft.name, verb.execution) for verb in takes}
        parameters = {"ids": list(ids), "calls": list(calls)}
        parameters |= _apart(calls, "scopes", "names", "executions")
        found = await self._connection.execute(statements.claims_under(), parameters)
        claims = found.mappings().all()
        self._picture.see_claims(claims)
        if asked := {claim["id"] for claim in claims} & ids:
            await self._see(statements.attempts_claimed(), ids=list(asked))


def _apart(rows: Collection[tuple[str, ...]], *names: str) -> dict[str, list[Any]]:
    return {name: list({row[i] for row in rows}) for i, name in enumerate(names)}


async def _write(connection: AsyncConnection, picture: Picture) -> None:
    for rows in _by_columns(picture.new_attempts).values():
        await write_rows(connection, statements.add_attempts(), rows)
    if picture.new_bodies:
        await write_rows(connection, statements.add_bodies(), picture.new_bodies)
    changed = [{"attempt": id_, **values} for id_, values in picture.changed.items()]
    for columns, rows in _by_columns(changed).items():
        await write_rows(connection, statements.change_attempts(columns - {"attempt"}), rows)
    if picture.responses:
        bodies = [{"attempt": id_, "body": body} for id_, body in picture.responses.items()]
        await write_rows(connection, statements.keep_responses(), bodies)
    await _write_streams(connection, picture)
    if moved := picture.accounts.changed():
        columns = frozenset(NO_ACCOUNT)
        await write_rows(connection, job_statements.keep_accounts(columns), moved)
    if picture.new_claims:
        await write_rows(connection, statements.add_claims(), picture.new_claims)
    if picture.dropped:
        drops = [{"claim": id_, "at": at} for id_, at in picture.dropped.items()]
        await write_rows(connection, statements.drop_claims(), drops)


async def _write_streams(connection: AsyncConnection, picture: Picture) -> None:
    if picture.new_streams:
        streams = [{"attempt_id": id_} for id_ in picture.new_streams]
        await write_rows(connection, statements.add_streams(), streams)
    if picture.progress:
        noted = [
            {"attempt": id_, "to": one.cursor, "fold": one.snapshot, "at": one.at}
            for id_, one in picture.progress.items()
        ]
        await write_rows(connection, statements.keep_progress(), noted)
    if picture.ended_streams:
        ended = [{"attempt": id_} for id_ in picture.ended_streams]
        await write_rows(connection, statements.drop_streams(), ended)


def _by_columns(rows: Iterable[dict[str, Any]]) -> dict[frozenset[str], list[dict[str, Any]]]:
    """Gather rows by which columns they give: each set is one statement."""
    groups: dict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[frozenset(row)].append(row)
    return groups
