"""The frozen record of one durable call of create, and the small values around it.

All times are seconds since the epoch, UTC. Nothing here knows a driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect_responses.statuses import (
    ANSWERED,
    AttemptState,
    CancelAnswer,
    CancelReason,
    Outcome,
    ResponseStatus,
)

if TYPE_CHECKING:
    from prefect_responses.charges import Charge


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Name where a request goes, without any secret.

    Args:
        base_url: the API's root, such as `https://api.openai.com/v1`, without a trailing slash.
        organization: the organisation billed, or empty.
        project: the project billed, or empty.
    """

    base_url: str
    organization: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One enclosing run of a call: a task run or a flow run, and the attempt at it.

    Args:
        run_id: ID of the task run or flow run.
        number: its run count; a higher number under the same ID is a later attempt.
    """

    run_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Say who calls: within which scope, which execution of it, enclosed by which runs.

    Args:
        scope: within which keys are told apart (a flow run ID, or a name given by the user).
        execution: one attempt at running the scope; the same in all its processes.
        chain: the enclosing task and flow runs, outermost first.
        run: the run counts of the enclosing flow runs, outermost first; a lexicographically
            later one means that somebody asked to run again (Retry, flow retry).
        flow_run_id: the flow run to show the response under, if any.
        task_run_id: the task run to show the response under, if any.
    """

    scope: str
    execution: str
    chain: tuple[Link, ...] = ()
    run: tuple[int, ...] = ()
    flow_run_id: str | None = None
    task_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What is written down when an attempt is planned.

    Args:
        scope: see `Origin`.
        name: the request digest, the user's key, or a row key (`identity.py` forms it).
        digest: digest of what the caller asked for, tagged with its version.
        endpoint: where it will be sent.
        credentials: a reference to the credentials (block name or environment), never the key.
        request: canonical JSON of the request as the caller gave it.
        ordinal: fixed where the caller told identical requests apart; None lets the ledger count.
        run: see `Origin`.
        flow_run_id: see `Origin`.
        task_run_id: see `Origin`.
        deadline_at: when the response must have ended, or None.
        not_before: earliest time to send, or None.
        resubmissions: how many in-doubt attempts this one follows directly.
        model: the model that is asked, if the request names one.
    """

    scope: str
    name: str
    digest: str
    endpoint: Endpoint
    credentials: str
    request: bytes
    ordinal: int | None = None
    run: tuple[int, ...] = ()
    flow_run_id: str | None = None
    task_run_id: str | None = None
    deadline_at: float | None = None
    not_before: float | None = None
    resubmissions: int = 0
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of the ledger, without the bodies.

    `number` counts attempts of one (scope, name, ordinal) from 1. `fence` grows with each claim.
    `error` is a JSON object: what a person needs to know of the last refusal, doubt or failure.
    `streamed` tells whether its events can be followed: None where nobody tried, False for good.
    `watch_until` is until when a response that is `cancelled` is watched for a late completion.
    `orphaned_at` is when it was reported as nobody's, and `warned_at` when it was warned that it
    expires unread. `latency` is the seconds from its acceptance to its end, as well as is known.
    `row_class` is what came of a job's row; `replay` is why one is sent with a request of its own.
    `charge` is what it reserves; once it is sent and settled, `cost` is its nano-USD, None where no
    price is known.
    """

    id: str
    scope: str
    name: str
    ordinal: int
    number: int
    digest: str
    endpoint: Endpoint
    credentials: str
    state: AttemptState
    planned_at: float
    outcome: Outcome | None = None
    response_id: str | None = None
    remote_status: ResponseStatus | None = None
    client_request_id: str | None = None
    server_request_id: str | None = None
    owner_id: str | None = None
    fence: int = 0
    run: tuple[int, ...] = ()
    flow_run_id: str | None = None
    task_run_id: str | None = None
    resubmissions: int = 0
    not_before: float | None = None
    deadline_at: float | None = None
    expires_at: float | None = None
    submitting_at: float | None = None
    submitted_at: float | None = None
    settled_at: float | None = None
    delivered_at: float | None = None
    rejected: str | None = None
    polls: int = 0
    usage: dict[str, Any] | None = field(default=None, hash=False)
    error: dict[str, Any] | None = field(default=None, hash=False)
    model: str | None = None
    streamed: bool | None = None
    cancel_reason: CancelReason | None = None
    cancel_wanted_at: float | None = None
    cancel_answer: CancelAnswer | None = None
    cancel_answered_at: float | None = None
    watch_until: float | None = None
    orphaned_at: float | None = None
    warned_at: float | None = None
    latency: float | None = None
    row_class: str | None = None
    charge: Charge | None = None
    cost: int | None = None
    replay: str | None = None

    @property
    def key(self) -> str:
        """Return the key that is sent as metadata: it finds this attempt again, and is not secret.

        The API allows 512 characters; the attempt's ID is stable and short.
        """
        return self.id

    @property
    def is_answered(self) -> bool:
        """Tell whether an answer is stored that was not rejected."""
        return self.outcome in ANSWERED and self.rejected is None

    @property
    def is_settled(self) -> bool:
        """Tell whether an outcome is recorded."""
        return self.state is AttemptState.SETTLED

    @property
    def owes_cancel(self) -> bool:
        """Tell whether a cancel is wanted that the API has not answered and that can do something.

        A wanted cancel of an attempt without a response ID is owed as soon as its ID lands.
        """
        wanted = self.cancel_wanted_at is not None and self.cancel_answer is None
        running = self.state is AttemptState.SUBMITTED or self.outcome is Outcome.SURPLUS
        return wanted and running and self.response_id is not None
