"""A replay from end to end: a dead row, its mark, its turn, its answer; and after a kill."""

from __future__ import annotations

from dataclasses import replace

import orjson
from engine_bench import policy
from pydantic import BaseModel

from prefect_responses.attempt import Draft, Origin
from prefect_responses.charges import AccountLimit, Charge, Price
from prefect_responses.decisions.policies import OnChange
from prefect_responses.decisions.replays import REPLAY_TURNS
from prefect_responses.decisions.row_outcomes import RowOutcome
from prefect_responses.engine.calls import Call
from prefect_responses.engine.in_flight import InFlight
from prefect_responses.engine.shards import RowCall, drive_shard
from prefect_responses.enrichment.output_types import OutputType
from prefect_responses.enrichment.replaying import find_replay, mark_for_replay, request_again
from prefect_responses.enrichment.validation import read_row
from prefect_responses.identity import canonical_json, job_scope, request_digest, row_name
from prefect_responses.ledger import Bodies, Classify, PlanNext


class Review(BaseModel):
    stars: int


OUTPUT = OutputType(Review)
TEXT = {"format": OUTPUT.format}


def row(bench, run=(1,), **more):
    """A row of a job, asked by a model that says what the test wants."""
    request = {"model": "script", "input": "How many stars?", "instructions": "Count."}
    request |= {"text": TEXT, **more}
    draft = Draft(
        scope=job_scope("reviews"),
        name=row_name("r1"),
        digest=request_digest(request, bench.endpoint),
        endpoint=bench.endpoint,
        credentials="environment",
        request=canonical_json(request),
        ordinal=0,
        run=run,
    )
    origin = Origin(draft.scope, "e1", (), run)
    return Call(draft, request, origin, policy(), OnChange.RESUBMIT)


async def drive(bench, call):
    """Drive one row; return its attempt and its result."""
    ends = []
    await drive_shard(bench.responses, [RowCall(call)], gate=InFlight(1), ended=ends.append)
    attempt = ends[0].settled.attempt
    body = (await bench.ledger.bodies([attempt.id]))[attempt.id].response
    return attempt, read_row(orjson.loads(body), OUTPUT, "r1")


async def died(bench, call, row_class):
    """Drive a row that dies, and store its class."""
    attempt, result = await drive(bench, call)
    assert result.outcome is row_class
    await bench.ledger.do(Classify(attempt.id, result.outcome.value, bench.clock.now()))
    return attempt


async def marked(bench, row_class):
    plan = await find_replay(bench.ledger, "reviews", {row_class})
    assert await mark_for_replay(bench.ledger, plan, bench.clock.now()) == len(plan.rows)
    return plan


async def planned(bench, dead, call, row_class):
    """Plan the replay as a later pass does; return the call with what is sent."""
    bodies = (await bench.ledger.bodies([dead.id]))[dead.id]
    request = request_again(row_class, bodies, OUTPUT)
    draft = replace(call.draft, request=canonical_json(request))
    turn = REPLAY_TURNS[row_class]
    await bench.ledger.do(PlanNext(dead.id, draft, bench.clock.now(), replay=turn.value))
    return replace(call, draft=draft, request=request)


def asked(bench):
    return [entry["body"] for entry in bench.posts()]


async def test_an_invalid_answer_is_repaired(bench):
    bench.control.add_replies({"text": '{"stars": "many"}'}, {"text": '{"stars": 4}'})
    dead = await died(bench, row(bench), RowOutcome.SCHEMA)

    await marked(bench, RowOutcome.SCHEMA)
    call = await planned(bench, dead, row(bench, run=(2,)), RowOutcome.SCHEMA)
    attempt, result = await drive(bench, call)

    assert result.parsed == {"stars": 4}
    assert (attempt.replay, attempt.digest, attempt.number) == ("repair", dead.digest, 2)
    first, second = asked(bench)
    assert second["input"][:2] == [
        {"role": "user", "content": "How many stars?"},
        {"role": "assistant", "content": '{"stars": "many"}'},
    ]
    assert "stars: Input should be a valid integer" in second["input"][2]["content"]
    for kept in ("instructions", "text", "model"):
        assert second[kept] == first[kept]


async def test_after_a_kill_the_planned_turn_is_sent_and_not_the_rows_own_request(bench):
    bench.control.add_replies({"text": "no JSON"}, {"text": '{"stars": 4}'})
    dead = await died(bench, row(bench), RowOutcome.INVALID_JSON)
    await marked(bench, RowOutcome.INVALID_JSON)
    await planned(bench, dead, row(bench, run=(2,)), RowOutcome.INVALID_JSON)

    after = await bench.again()
    _, result = await drive(after, row(after, run=(2,)))
    _, again = await drive(after, row(after, run=(2,)))

    assert result.parsed == again.parsed == {"stars": 4}
    assert [type(body["input"]) for body in asked(bench)] == [str, list]


async def test_a_truncated_answer_gets_twice_the_room(bench):
    cut = {"text": '{"stars":', "incomplete": "max_output_tokens"}
    bench.control.add_replies(cut, {"text": '{"stars": 4}'})
    dead = await died(bench, row(bench, max_output_tokens=50), RowOutcome.TRUNCATED)

    await marked(bench, RowOutcome.TRUNCATED)
    mine = row(bench, run=(2,), max_output_tokens=50)
    call = await planned(bench, dead, mine, RowOutcome.TRUNCATED)
    _, result = await drive(bench, call)

    assert result.parsed == {"stars": 4}
    assert [body["max_output_tokens"] for body in asked(bench)] == [50, 100]


async def test_a_row_is_marked_once_and_found_no_more_when_it_has_its_answer(bench):
    bench.control.add_replies({"text": "no JSON"}, {"text": '{"stars": 4}'})
    dead = await died(bench, row(bench), RowOutcome.INVALID_JSON)

    first = await marked(bench, RowOutcome.INVALID_JSON)
    second = await find_replay(bench.ledger, "reviews", {RowOutcome.INVALID_JSON})
    call = await planned(bench, dead, row(bench, run=(2,)), RowOutcome.INVALID_JSON)
    await drive(bench, call)
    third = await find_replay(bench.ledger, "reviews", {RowOutcome.INVALID_JSON})

    assert (len(first.rows), first.marked) == (1, 0)
    assert (len(second.rows), second.marked) == (0, 1)
    assert (len(third.rows), third.marked) == (0, 0)


async def test_a_replay_is_charged_like_any_row(bench):
    bench.control.add_replies({"text": "no JSON"}, {"text": '{"stars": 4}'})
    price = Price(input=1_000_000, cached_input=1_000_000, output=4_000_000)
    charge = Charge((AccountLimit(job_scope("reviews")),), usd=10**9, tokens=1000, price=price)
    dead = await died(bench, replace(row(bench), charge=charge), RowOutcome.INVALID_JSON)
    await marked(bench, RowOutcome.INVALID_JSON)
    call = await planned(bench, dead, row(bench, run=(2,)), RowOutcome.INVALID_JSON)
    await drive(bench, replace(call, charge=charge))

    attempts = await bench.attempts()
    account = await bench.ledger.account(job_scope("reviews"))
    assert len(attempts) == 2
    assert account.spent_tokens == sum(one.usage["total_tokens"] for one in attempts)
    assert account.spent_usd == sum(price.cost(one.usage) for one in attempts)
    assert account.spent_usd == sum(one.cost for one in attempts)
    assert (account.in_flight, account.reserved_usd, account.reserved_tokens) == (0, 0, 0)


def test_a_row_whose_request_was_pruned_is_asked_as_it_stands_now():
    assert request_again(RowOutcome.SCHEMA, Bodies(None, b"{}"), OUTPUT) is None
