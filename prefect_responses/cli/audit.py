"""`prefect-responses audit`: what the ledger proves."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console

from prefect_responses.attempt import Attempt
from prefect_responses.cli import printing
from prefect_responses.cli.finding import ALL, DEFAULT, Flag, Where, Which, ledger_to_read
from prefect_responses.ledger import LedgerAudit
from prefect_responses.statuses import AttemptState

#: The exit code that says that something is in doubt.
IN_DOUBT = 3


async def audit(
    *,
    which: Which = ALL,
    json: Flag = False,
    where: Where = DEFAULT,
) -> None:
    """Count what was sent and recorded, and name what is in doubt.

    The exit code is 0 if nothing is in doubt and 3 if something is.

    Args:
        which: Which attempts.
        json: Print JSON.
        where: Which ledger.
    """
    async with ledger_to_read(where) as ledger:
        found = await ledger.audit(which.chosen())
    if json:
        printing.print_json(_document(found))
    else:
        _print(printing.console(), found)
    if is_doubtful(found):
        sys.exit(IN_DOUBT)


def is_doubtful(found: LedgerAudit) -> bool:
    """Tell whether the record leaves open what was accepted."""
    return bool(found.in_doubt or sending(found) or found.duplicates)


def sending(found: LedgerAudit) -> tuple[Attempt, ...]:
    """Return the attempts that are being sent, or whose process died while it sent them."""
    return tuple(one for one in found.unsettled if one.state is AttemptState.SUBMITTING)


def what_is_proven(found: LedgerAudit) -> str:
    """Say in one sentence what the record proves."""
    if not found.states:
        return "Nothing is recorded here, so nothing is proven."
    recorded = (
        f"{_counted(found.posts_accepted, 'POST')} accepted = "
        f"{_counted(found.response_ids, 'response ID')} recorded"
    )
    if open_ := len(found.in_doubt) + len(sending(found)):
        return (
            f"Not proven: whether the API accepted {_counted(open_, 'POST')} is not known; "
            f"besides, {recorded}."
        )
    if found.duplicates:
        return "Not proven: attempts share a response ID, so the IDs do not tell what was paid."
    rest = (
        f"besides, {_counted(given_up, 'POST')} given up in doubt may have been accepted"
        if (given_up := found.posts_possible)
        else "no other POST can have been accepted"
    )
    return f"Proven: {recorded}, for {_counted(found.keys, 'key')}; {rest}."


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _counts(found: LedgerAudit) -> dict[str, int]:
    return {
        "attempts": sum(found.states.values()),
        "posts_accepted": found.posts_accepted,
        "posts_possible": found.posts_possible,
        "response_ids": found.response_ids,
        "keys": found.keys,
        "surplus": len(found.surplus),
    }


_TITLES = {
    "attempts": "attempts",
    "posts_accepted": "POSTs that were accepted",
    "posts_possible": "POSTs that may have been accepted",
    "response_ids": "response IDs",
    "keys": "keys",
    "surplus": "surplus responses",
}


def _print(console: Console, found: LedgerAudit) -> None:
    counts = ((_TITLES[name], f"{count:,}") for name, count in _counts(found).items())
    console.print(printing.table("what", "count", rows=counts))
    if found.outcomes:
        ended = ((outcome, f"{count:,}") for outcome, count in sorted(found.outcomes.items()))
        console.print(printing.table("outcome", "count", rows=ended))
    for title, lines in _named(found):
        console.print(printing.plain(title, "bold"))
        for line in lines:
            console.print(printing.plain(f"  {printing.one_line(line)}"))
    console.print(printing.plain(what_is_proven(found), "bold"))


def _named(found: LedgerAudit) -> Iterator[tuple[str, list[str]]]:
    named = {
        "In doubt (say what you find with `prefect-responses resolve`):": [
            _line(one) for one in found.in_doubt
        ],
        "Being sent, or left by a process that died:": [_line(one) for one in sending(found)],
        "Given up in doubt:": [
            f"{_line(one.attempt)}, followed by {_counted(one.followers, 'attempt')}"
            for one in found.abandoned
        ],
        "Surplus, accepted beside another:": [_line(one) for one in found.surplus],
        "Response IDs on several attempts:": [
            f"{one.response_id}: {', '.join(one.attempt_ids)}" for one in found.duplicates
        ],
    }
    return ((title, lines) for title, lines in named.items() if lines)


def _line(attempt: Attempt) -> str:
    response = f", {attempt.response_id}" if attempt.response_id else ""
    return f"{attempt.id}: {printing.name_of(attempt)} in {attempt.scope}{response}"


def _document(found: LedgerAudit) -> dict[str, Any]:
    return {
        "in_doubt": [printing.attempt_record(one) for one in found.in_doubt],
        "sending": [printing.attempt_record(one) for one in sending(found)],
        "abandoned": [asdict(one) for one in found.abandoned],
        "surplus_attempts": [printing.attempt_record(one) for one in found.surplus],
        "duplicates": [asdict(one) for one in found.duplicates],
        "outcomes": dict(found.outcomes),
        "states": dict(found.states),
        "counts": _counts(found),
        "is_doubtful": is_doubtful(found),
        "what_is_proven": what_is_proven(found),
    }
