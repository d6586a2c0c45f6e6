"""Compare what the API saw, what the ledger says and what was delivered.

Creates are counted by request body as the API saw it, without our metadata and never by our keys.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect_responses.statuses import AttemptState, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prefect_responses.attempt import Attempt


@dataclass(frozen=True)
class AtTheKill:
    """What the ledger said between the kill and the second run.

    Args:
        in_flight: attempts that were accepted and not settled.
        on_the_wire: attempts whose POST was between intent and ID.
    """

    in_flight: frozenset[str]
    on_the_wire: frozenset[str]

    @classmethod
    def of(cls, attempts: Sequence[Attempt]) -> AtTheKill:
        """Read it from the ledger's attempts."""
        by_state: dict[AttemptState, set[str]] = {}
        for attempt in attempts:
            by_state.setdefault(attempt.state, set()).add(attempt.id)
        return cls(
            frozenset(by_state.get(AttemptState.SUBMITTED, ())),
            frozenset(by_state.get(AttemptState.SUBMITTING, ())),
        )


@dataclass
class Proof:
    """Claims, each with what was expected and what was seen."""

    checks: list[tuple[str, Any, Any, bool]] = field(default_factory=list)
    summary: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether every claim does."""
        return all(check[-1] for check in self.checks)

    def claim(self, what: str, expected: Any, seen: Any, *, holds: bool | None = None) -> None:
        """Note a claim; by default it holds if what was seen is what was expected."""
        self.checks.append((what, expected, seen, expected == seen if holds is None else holds))


def prove(  # noqa: PLR0913 - the witnesses, all named
    *,
    rows: int,
    results: Path,
    attempts: Sequence[Attempt],
    killed: AtTheKill,
    adopted: int,
    journal: Sequence[dict[str, Any]] | None,
) -> Proof:
    """Make every claim of the demo.

    Args:
        rows: rows of the table.
        results: the result table.
        attempts: all attempts of the job, from the ledger, after the second run.
        killed: what the ledger said at the kill.
        adopted: rows that the second run says it adopted.
        journal: the API's journal, or None where there is none (the real API).
    """
    proof = Proof()
    written = _written(results)
    answered = [attempt for attempt in attempts if attempt.outcome is Outcome.COMPLETED]
    given_up = [attempt for attempt in attempts if attempt.outcome is Outcome.ABANDONED]
    proof.claim("results written", rows, len(written))
    proof.claim("answers in the ledger", rows, len(answered))
    proof.claim("response IDs, all different", rows, len({a.response_id for a in answered}))
    proof.claim("adopted by the second run", len(killed.in_flight), adopted)
    proof.claim("adopted IDs kept", killed.in_flight, _ids(answered) & killed.in_flight)
    named = _ids(given_up)
    proof.claim(
        "in doubt, all on the wire at the kill",
        f"at most {len(killed.on_the_wire)}",
        len(named),
        holds=named <= killed.on_the_wire,
    )
    proof.summary = (
        f"{len(answered)} answers; {adopted} were in flight at the kill and were adopted; "
        f"{len(named)} were in doubt at the kill, are named in the ledger, and were sent again."
    )
    if journal is not None:
        _prove_from_journal(proof, rows, given_up, journal)
    return proof


def _prove_from_journal(
    proof: Proof, rows: int, given_up: Sequence[Attempt], journal: Sequence[dict[str, Any]]
) -> None:
    creates = [
        entry for entry in journal if entry["method"] == "POST" and entry["path"] == "/v1/responses"
    ]
    bodies = Counter(entry["body_digest"] for entry in creates)
    twice = sum(bodies.values()) - len(bodies)
    reached = _reached(creates, given_up)
    cancels = sum(entry["path"].endswith("/cancel") for entry in journal)
    proof.claim("distinct bodies at the API", rows, len(bodies))
    proof.claim("creates: rows and the named ones in doubt", rows + reached, len(creates))
    proof.claim("creates beyond one a body", reached, twice)
    proof.claim("cancels", 0, cancels)


def _reached(creates: Sequence[dict[str, Any]], given_up: Sequence[Attempt]) -> int:
    """Count the attempts in doubt whose POST had reached the API when the process died."""
    sent = {entry["headers"].get("x-client-request-id") for entry in creates}
    return sum(attempt.client_request_id in sent for attempt in given_up)


def _ids(attempts: Sequence[Attempt]) -> frozenset[str]:
    return frozenset(attempt.id for attempt in attempts)


def _written(results: Path) -> list[dict[str, str]]:
    with results.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["status"] == "ok"]
