"""What a group of verbs sees of the ledger, and what it changes there.

A picture is read within the transaction that will write it, with all the calls concerned locked, so
that deciding verb after verb in memory comes to the same as one transaction a verb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from uuid import uuid4

from prefect_responses.attempt import Attempt
from prefect_responses.decisions.ordinals import ClaimView, rival_of, speaking_attempt
from prefect_responses.errors import AttemptUnknown
from prefect_responses.ledger.accounts import NOTHING, Accounts, cost_of, share_of
from prefect_responses.ledger.rows import (
    attempt_of,
    chain_text,
    claim_of,
    evolve,
    stored,
    values_of,
)
from prefect_responses.statuses import AttemptState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prefect_responses.attempt import Draft
    from prefect_responses.ledger.verbs import RecordProgress, Take

#: Scope and name.
Name: TypeAlias = tuple[str, str]


class Owner(Protocol):
    """Whoever submits: a process with a lease."""

    @property
    def id(self) -> str:
        """Return the ID of the owner's row."""

    def holds_lease(self) -> bool:
        """Tell whether no one can have taken this owner for dead."""


def is_further(cursor: int | None, than: int | None) -> bool:
    """Tell whether a cursor replaces another one."""
    return than is None or (cursor is not None and cursor > than)


class Picture:
    """The attempts and claims that a group of verbs is about, as they stand verb after verb.

    Args:
        owner: the process that decides.
    """

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.new_attempts: list[dict[str, Any]] = []
        self.new_bodies: list[dict[str, Any]] = []
        self.new_claims: list[dict[str, Any]] = []
        self.changed: dict[str, dict[str, Any]] = {}
        self.responses: dict[str, bytes] = {}
        self.new_streams: list[str] = []
        self.progress: dict[str, RecordProgress] = {}
        self.ended_streams: list[str] = []
        self.dropped: dict[str, float] = {}
        self.accounts = Accounts()
        self._attempts: dict[str, Attempt] = {}
        self._names: dict[Name, dict[int, dict[int, str]]] = {}
        self._claims: dict[str, dict[str, Any]] = {}

    # --- what was read ----------------------------------------------------------------------------

    def charged_accounts(self) -> set[str]:
        """Return the accounts that the attempts seen are charged to."""
        charges = [one.charge for one in self._attempts.values() if one.charge is not None]
        return {limit.name for charge in charges for limit in charge.accounts}

    def see_attempts(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take in rows of `attempts`; one that is known already is left as it is."""
        for row in rows:
            if row[0] not in self._attempts:
                self._place(attempt_of(row))

    def see_claims(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in rows of `claims`."""
        for row in rows:
            self._claims.setdefault(row["id"], dict(row))

    def _place(self, attempt: Attempt) -> None:
        self._attempts[attempt.id] = attempt
        ordinals = self._names.setdefault((attempt.scope, attempt.name), {})
        ordinals.setdefault(attempt.ordinal, {})[attempt.number] = attempt.id

    # --- questions --------------------------------------------------------------------------------

    def attempt(self, attempt_id: str) -> Attempt:
        """Return an attempt as it stands now.

        Raises:
            AttemptUnknown: the ledger has none of this ID.
        """
        attempt = self._attempts.get(attempt_id)
        if attempt is None:
            raise AttemptUnknown(f"The ledger has no attempt {attempt_id}.")
        return attempt

    def siblings(self, scope: str, name: str, ordinal: int) -> list[Attempt]:
        """Return all attempts of an ordinal, by number."""
        numbers = self._names.get((scope, name), {}).get(ordinal, {})
        return [self._attempts[numbers[number]] for number in sorted(numbers)]

    def speaker(self, attempt: Attempt) -> Attempt:
        """Return the attempt that speaks for the ordinal of *attempt*."""
        return speaking_attempt(self.siblings(attempt.scope, attempt.name, attempt.ordinal))

    def rival(self, attempt: Attempt) -> Attempt | None:
        """Return another accepted attempt at the same request, if there is one."""
        siblings = self.siblings(attempt.scope, attempt.name, attempt.ordinal)
        return rival_of(attempt, siblings)

    def delivered(self, name: Name) -> dict[int, bool]:
        """Return the ordinals of a name, and whether each has been delivered."""
        return {
            ordinal: speaking_attempt(self.siblings(*name, ordinal)).delivered_at is not None
            for ordinal in self._names.get(name, {})
        }

    def carriers(self, base_url: str, response_id: str) -> list[Attempt]:
        """Return the attempts that carry a response ID, the first one first."""
        found = [
            attempt
            for attempt in self._attempts.values()
            if attempt.response_id == response_id and attempt.endpoint.base_url == base_url
        ]
        return sorted(found, key=lambda attempt: (attempt.planned_at, attempt.id))

    def claim(self, claim_id: str) -> Mapping[str, Any] | None:
        """Return a claim's row, if there is one."""
        return self._claims.get(claim_id)

    def claims_of(self, name: Name, execution: str) -> list[ClaimView]:
        """Return what one execution claimed under a name."""
        return [
            claim_of(claim["ordinal"], claim["chain"], claim["dropped_at"])
            for claim in self._claims.values()
            if (claim["scope"], claim["name"], claim["execution"]) == (*name, execution)
        ]

    # --- changes ----------------------------------------------------------------------------------

    def plan(self, draft: Draft, ordinal: int, at: float, **facts: Any) -> Attempt:
        """Add the next attempt of an ordinal, planned unless *facts* say otherwise."""
        taken = self._names.get((draft.scope, draft.name), {}).get(ordinal, {})
        attempt = Attempt(
            id=str(uuid4()),
            scope=draft.scope,
            name=draft.name,
            ordinal=ordinal,
            number=max(taken, default=0) + 1,
            digest=draft.digest,
            endpoint=draft.endpoint,
            credentials=draft.credentials,
            state=AttemptState.PLANNED,
            planned_at=at,
            run=draft.run,
            flow_run_id=draft.flow_run_id,
            task_run_id=draft.task_run_id,
            resubmissions=draft.resubmissions,
            not_before=draft.not_before,
            deadline_at=draft.deadline_at,
            model=draft.model,
        )
        return self.insert(evolve(attempt, facts) if facts else attempt, draft.request)

    def insert(self, attempt: Attempt, request: bytes) -> Attempt:
        """Add *attempt* with the request that it was made for."""
        if attempt.charge is not None:
            self.accounts.move(NOTHING, share_of(attempt), attempt.charge)
            attempt = evolve(attempt, {"cost": cost_of(attempt)})
        self.new_attempts.append(values_of(attempt))
        self.new_bodies.append(
            {"attempt_id": attempt.id, "request": request or None, "response": None}
        )
        self._place(attempt)
        return attempt

    def change(self, attempt: Attempt, **facts: Any) -> Attempt:
        """Replace *facts* of an attempt, and move the accounts that it is charged to."""
        if attempt.row_class is not None and "outcome" in facts:
            facts["row_class"] = None  # it was said of another outcome
        changed = evolve(attempt, facts)
        if changed.charge is not None and "state" in facts:
            self.accounts.move(share_of(attempt), share_of(changed), changed.charge)
            facts["cost"] = cost_of(changed)
            changed = evolve(changed, {"cost": facts["cost"]})
        self._attempts[attempt.id] = changed
        self.changed.setdefault(attempt.id, {}).update(stored(facts))
        return changed

    def keep_response(self, attempt: Attempt, response: bytes) -> None:
        """Store the body of the terminal response."""
        self.responses[attempt.id] = response

    def begin_stream(self, attempt: Attempt) -> None:
        """Make room for the progress of an attempt."""
        self.new_streams.append(attempt.id)

    def note_progress(self, verb: RecordProgress) -> None:
        """Keep the progress that got furthest of this group; the stored one may be further."""
        known = self.progress.get(verb.attempt_id)
        if known is None or is_further(verb.cursor, known.cursor):
            self.progress[verb.attempt_id] = verb

    def end_stream(self, attempt: Attempt) -> None:
        """Let go of the progress of an attempt."""
        self.ended_streams.append(attempt.id)

    def take(self, take: Take, ordinal: int) -> None:
        """Add the claim of a call."""
        draft = take.draft
        claim = {
            "id": take.claim_id,
            "scope": draft.scope,
            "name": draft.name,
            "execution": take.execution,
            "ordinal": ordinal,
            "chain": chain_text(take.chain),
            "claimed_at": take.at,
            "dropped_at": None,
        }
        self._claims[take.claim_id] = claim
        self.new_claims.append(claim)

    def drop(self, claim_id: str, at: float) -> None:
        """Mark a claim as dropped."""
        self._claims[claim_id]["dropped_at"] = at
        self.dropped[claim_id] = at
