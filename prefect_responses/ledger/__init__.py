"""The only door to SQL: attempts, who claimed them, who owns them, and what came back."""

from prefect_responses.ledger.audit import Abandoned, Duplicate, LedgerAudit
from prefect_responses.ledger.durability import LedgerNotDurableWarning, check_default_location
from prefect_responses.ledger.ledger import Bodies, Ledger
from prefect_responses.ledger.opening import upgrade
from prefect_responses.ledger.verbs import (
    Attach,
    Claim,
    Deliver,
    DropClaim,
    MarkInDoubt,
    Observe,
    Plan,
    PlanNext,
    RecordAccepted,
    Reject,
    Release,
    ResolveDoubt,
    Resubmit,
    Settle,
    Take,
    Verb,
    Verdict,
)

__all__ = [
    "Abandoned",
    "Attach",
    "Bodies",
    "Claim",
    "Deliver",
    "DropClaim",
    "Duplicate",
    "Ledger",
    "LedgerAudit",
    "LedgerNotDurableWarning",
    "MarkInDoubt",
    "Observe",
    "Plan",
    "PlanNext",
    "RecordAccepted",
    "Reject",
    "Release",
    "ResolveDoubt",
    "Resubmit",
    "Settle",
    "Take",
    "Verb",
    "Verdict",
    "check_default_location",
    "upgrade",
]
