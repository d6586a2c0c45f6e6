"""Drive the rows of a shard: choose what each needs, do it, and count what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from prefect_responses.attempt import Draft
from prefect_responses.decisions.replays import REPLAY_TURNS, replay_reason, replayed_class
from prefect_responses.decisions.row_selection import (
    DRIVEN,
    FORCE_REASON,
    RowChoice,
    choose,
    row_class,
)
from prefect_responses.engine.calls import Call, Found
from prefect_responses.engine.shards import RowCall, drive_shard
from prefect_responses.enrichment.readings import classify, key_of, result_of
from prefect_responses.enrichment.replaying import request_again
from prefect_responses.enrichment.reports import ShardCounts
from prefect_responses.enrichment.rows import DEAD, OVER_BUDGET, RowOutcome, RowResult
from prefect_responses.errors import ResponsesError, SubmissionInDoubt
from prefect_responses.identity import canonical_json, row_name
from prefect_responses.job_errors import AccountFull
from prefect_responses.ledger import PlanNext, Reject
from prefect_responses.statuses import ANSWERED, AttemptState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prefect_responses.attempt import Attempt, Endpoint, Origin
    from prefect_responses.charges import AccountLimit
    from prefect_responses.decisions.policies import CallPolicy
    from prefect_responses.engine.durable_responses import DurableResponses
    from prefect_responses.engine.in_flight import InFlight
    from prefect_responses.engine.shards import RowEnd
    from prefect_responses.enrichment.charging import Charging
    from prefect_responses.enrichment.job import EnrichJob
    from prefect_responses.enrichment.row_requests import RowRequests
    from prefect_responses.enrichment.rows import Row
    from prefect_responses.enrichment.surveys import PassTerms
    from prefect_responses.ledger import RowStanding

#: Bodies that are read from the ledger at a time.
_PAGE = 500
#: Rows that were sent, or may have been, hold their room already: they wait for none.
_SENT = frozenset({RowChoice.ADOPT, RowChoice.DOUBT})
#: What was written down for these rows goes on, whatever would be asked of them now.
_BEGUN = _SENT | {RowChoice.RESUME}


@dataclass(frozen=True, slots=True)
class Drive:
    """What all shards of one run share.

    Args:
        job: what is asked.
        responses: the engine.
        requests: forms the requests of rows.
        endpoint: where they go.
        credentials: how another process finds the same key again.
        origin: who asks; its run is that of the pass.
        terms: which rows the pass is about.
        gate: bounds the rows under way.
        charging: what rows reserve.
        policy: what governs a row's call.
        now: reads the time, in seconds since the epoch.
        ended: is told of each row that ends, and how, as soon as that is known.
    """

    job: EnrichJob
    responses: DurableResponses
    requests: RowRequests
    endpoint: Endpoint
    credentials: str
    origin: Origin
    terms: PassTerms
    gate: InFlight
    charging: Charging
    policy: CallPolicy
    now: Callable[[], float]
    ended: Callable[[RowResult], None]


@dataclass(frozen=True, slots=True)
class Todo:
    """One row that has to be driven.

    Args:
        row: the row.
        choice: why.
        standing: how it stood when it was chosen, or None if nothing was ever asked for it.
        digest: digest of what would be asked of it now.
    """

    row: Row
    choice: RowChoice
    standing: RowStanding | None
    digest: str


@dataclass(frozen=True, slots=True)
class _Stored:
    """A request that is sent for a row in place of its own, and the digest that goes with it."""

    request: dict[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """What came of a shard.

    Args:
        counts: of the rows that this run drove.
        stopped: what stopped it before its end, or None.
    """

    counts: ShardCounts
    stopped: ResponsesError | None = None


async def choose_rows(drive: Drive, rows: Sequence[Row]) -> list[Todo]:
    """Return those of *rows* that have to be driven now; those that were sent come first."""
    wants, terms, job = drive.terms.wants(), drive.terms, drive.job
    wanted = [row for row in rows if wants(row)]
    names = [row_name(row.key) for row in wanted]
    standings = await drive.responses.ledger.row_standings(job.scope, names)
    todos = []
    for row, name in zip(wanted, names, strict=True):
        standing = standings.get(name)
        digest = drive.requests.digest(job.prompt.render(row))
        run = drive.origin.run
        choice = choose(standing, digest, terms.selection, run, terms.max_attempts)
        if choice in DRIVEN:
            todos.append(Todo(row, choice, standing, digest))
    return sorted(todos, key=lambda todo: todo.choice not in _SENT)


async def drive_rows(drive: Drive, todos: Sequence[Todo]) -> ShardEnd:
    """Drive rows to their ends; return counts, not bodies.

    After a crash, the next run of the job finds each of them where it was.
    """
    tally = _Tally(drive, todos)
    stopped: ResponsesError | None = None
    try:
        stored = await _stored(drive, todos)
        await _reject_forced(drive, todos)
        calls = _calls(drive, todos, stored)
        await drive_shard(drive.responses, calls, gate=drive.gate, ended=tally.row_ended)
    except ResponsesError as error:
        stopped = error
    try:
        await tally.read_the_rest()
    except ResponsesError as error:
        stopped = stopped or error
    return ShardEnd(tally.counts(), stopped)


# --- from rows to calls ---------------------------------------------------------------------------


def _calls(drive: Drive, todos: Sequence[Todo], stored: dict[str, _Stored]) -> Iterator[RowCall]:
    for todo in todos:
        accounts = drive.charging.accounts(drive.now())
        call = _call(drive, todo, stored.get(todo.row.key), accounts)
        yield RowCall(call, in_flight=todo.choice in _SENT)


def _call(
    drive: Drive,
    todo: Todo,
    stored: _Stored | None,
    accounts: tuple[AccountLimit, ...] = (),
) -> Call:
    """Return the durable call that asks for a row; it is charged for what it sends."""
    job, origin = drive.job, drive.origin
    text = job.prompt.render(todo.row)
    request = drive.requests.request(text) if stored is None else stored.request
    draft = Draft(
        scope=job.scope,
        name=row_name(todo.row.key),
        digest=todo.digest if stored is None else stored.digest,
        endpoint=drive.endpoint,
        credentials=drive.credentials,
        request=drive.requests.as_json(text) if stored is None else canonical_json(request),
        ordinal=0,
        run=origin.run,
        flow_run_id=origin.flow_run_id,
        task_run_id=origin.task_run_id,
        model=job.model,
    )
    size, charging = len(draft.request), drive.charging
    return Call(
        draft,
        request,
        origin,
        drive.policy,
        job.on_change,
        charge=charging.charge(accounts, request, size),
        tokens=charging.tokens(request, size),
    )


async def _reject_forced(drive: Drive, todos: Sequence[Todo]) -> None:
    """Mark the answers that a forced pass replaces; a kill after it forces them no second time."""
    now = drive.now()
    verbs = [
        Reject(todo.standing.attempt_id, FORCE_REASON, now)
        for todo in todos
        if todo.choice is RowChoice.FORCE
        and todo.standing is not None
        and todo.standing.rejected is None
        and todo.standing.outcome in ANSWERED
    ]
    if verbs:
        await drive.responses.ledger.do_all(verbs)


async def _stored(drive: Drive, todos: Sequence[Todo]) -> dict[str, _Stored]:
    """Return the stored requests that are sent in place of rows' own, by key; plan the replays.

    A replay that an earlier process planned is sent as it was planned, and so is a request that was
    written down before it changed, if the change is adopted.
    """
    storing = [todo for todo in todos if _has_stored(todo)]
    ids = [todo.standing.attempt_id for todo in storing if todo.standing is not None]
    bodies = await drive.responses.ledger.bodies(ids)
    found: dict[str, _Stored] = {}
    for todo in storing:
        standing = todo.standing
        if standing is None or standing.attempt_id not in bodies:
            continue
        body = bodies[standing.attempt_id]
        if todo.choice is RowChoice.REPLAY:
            outcome = replayed_class(standing.rejected) or row_class(standing)
            request = request_again(outcome, body, drive.job.output_type)
        else:
            request = orjson.loads(body.request or b"{}")
        # It answers what it was made of, whatever is asked of the row by now.
        stored = None if request is None else _Stored(request, standing.digest)
        if stored is not None:
            found[todo.row.key] = stored
        if todo.choice is RowChoice.REPLAY:
            await _plan_replay(drive, todo, outcome, stored)
    return found


def _has_stored(todo: Todo) -> bool:
    standing, is_begun = todo.standing, todo.choice in _BEGUN
    if standing is None or not is_begun:
        return todo.choice is RowChoice.REPLAY
    return standing.replay is not None or standing.digest != todo.digest


async def _plan_replay(
    drive: Drive, todo: Todo, outcome: RowOutcome, stored: _Stored | None
) -> None:
    ledger, standing, now = drive.responses.ledger, todo.standing, drive.now()
    if standing is None:
        return
    if standing.rejected is None:
        await ledger.do(Reject(standing.attempt_id, replay_reason(outcome), now))
    turn = None if stored is None else REPLAY_TURNS[outcome].value
    draft = _call(drive, todo, stored).draft
    await ledger.do(PlanNext(standing.attempt_id, draft, now, replay=turn))


# --- what came of them ----------------------------------------------------------------------------


class _Tally:
    """Count the rows of a shard as they end, and read the answers of those."""

    def __init__(self, drive: Drive, todos: Sequence[Todo]) -> None:
        self._drive = drive
        self._superseding = {
            row_name(todo.row.key)
            for todo in todos
            if todo.choice in {RowChoice.CHANGED, RowChoice.KNOWN}
            and todo.standing is not None
            and todo.standing.state is AttemptState.SUBMITTED
        }
        self._known = {row_name(todo.row.key) for todo in todos if todo.choice is RowChoice.KNOWN}
        self._found = dict.fromkeys(Found, 0)
        self._counts = ShardCounts()
        self._results: list[RowResult] = []
        self._superseded: list[str] = []
        self._over_budget: list[str] = []
        self._dead: list[tuple[Attempt, RowResult]] = []
        self._unread: list[Attempt] = []

    def row_ended(self, end: RowEnd) -> None:
        """Take in the end of one row."""
        if end.settled is not None:
            size, usage = len(end.call.draft.request), end.settled.attempt.usage
            self._drive.charging.learned.learn(size, usage)
            self._settled(end.settled.attempt, end.settled.body, end.settled.found)
        elif isinstance(end.error, SubmissionInDoubt):
            self._keep(RowResult(key_of(end.call.draft.name), RowOutcome.IN_DOUBT))
        elif isinstance(end.error, AccountFull):
            key = key_of(end.call.draft.name)
            self._over_budget.append(key)
            self._keep(RowResult(key, RowOutcome.BUDGET, error=OVER_BUDGET))

    def _settled(self, attempt: Attempt, body: bytes | None, found: Found) -> None:
        is_known = found is Found.ANSWER and attempt.name in self._known
        if attempt.response_id is not None and not is_known:
            self._found[found] += 1
        if attempt.name in self._superseding:
            self._superseded.append(key_of(attempt.name))
        if body is None and attempt.response_id is not None:
            self._unread.append(attempt)
            return
        self._read(attempt, body)

    def _read(self, attempt: Attempt, body: bytes | None) -> None:
        result = result_of(self._drive.job, attempt, body)
        if result.outcome in DEAD:
            self._dead.append((attempt, result))
        self._keep(result)

    def _keep(self, result: RowResult) -> None:
        self._results.append(replace(result, parsed=None))
        self._drive.ended(result)

    async def read_the_rest(self) -> None:
        """Read the answers that were not at hand, and store the classes of dead rows."""
        ledger = self._drive.responses.ledger
        for start in range(0, len(self._unread), _PAGE):
            page = self._unread[start : start + _PAGE]
            bodies = await ledger.bodies([attempt.id for attempt in page])
            for attempt in page:
                self._read(attempt, bodies[attempt.id].response if attempt.id in bodies else None)
        await classify(ledger, self._dead)

    def counts(self) -> ShardCounts:
        """Return what the rows come to."""
        did = {
            "adopted": self._found[Found.IN_FLIGHT],
            "submitted": self._found[Found.NOTHING],
            "by_others": self._found[Found.ANSWER],
            "superseded": tuple(self._superseded),
            "over_budget": tuple(self._over_budget),
        }
        return ShardCounts.of_results(self._results).model_copy(update=did)
