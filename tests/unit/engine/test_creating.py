"""Create, adopt, wait: one POST for one call, whoever comes back for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import orjson
import pytest
from engine_bench import SCOPE, EmulatorsClock, policy

from prefect_responses.attempt import Draft, Link
from prefect_responses.decisions.policies import OnChange
from prefect_responses.engine.calls import Found
from prefect_responses.engine.durable_responses import DurableResponses
from prefect_responses.engine.outcomes import failure_of
from prefect_responses.errors import (
    AttemptUnknown,
    IllegalMove,
    RequestChanged,
    RequestRefused,
    ResponseCancelled,
    ResponseExpired,
    ResponseFailed,
    SubmissionInDoubt,
)
from prefect_responses.identity import METADATA_KEY
from prefect_responses.ledger import ResolveDoubt
from prefect_responses.statuses import AttemptState, Outcome
from prefect_responses.wire.requests import OPENAI


async def test_a_created_response_is_recorded_with_its_id(bench):
    attempt = await bench.responses.create(bench.call())

    (post,) = bench.posts()
    assert attempt.response_id == post["response_id"]
    assert post["body"]["metadata"] == {METADATA_KEY: attempt.id}
    assert (post["body"]["background"], post["body"]["store"]) == (True, True)
    assert post["headers"]["idempotency-key"] == attempt.id
    assert post["headers"]["x-client-request-id"] == attempt.client_request_id
    assert attempt.client_request_id.startswith(attempt.id)
    assert attempt.delivered_at is not None
    assert attempt.number == 1


async def test_an_answer_holds_what_was_sent_and_what_came_back(bench):
    settled = await bench.responses.respond(bench.call("Two plus two."))

    body = orjson.loads(settled.body)
    assert settled.attempt.outcome is Outcome.COMPLETED
    assert settled.found is Found.NOTHING
    assert body["id"] == settled.attempt.response_id
    assert settled.attempt.usage == body["usage"]
    bodies = (await bench.ledger.bodies([settled.attempt.id]))[settled.attempt.id]
    assert orjson.loads(bodies.request) == {"model": "echo", "input": "Two plus two."}
    assert failure_of(settled.attempt) is None


async def test_the_next_process_adopts_what_this_one_submitted(bench):
    bench.control.set_latency("constant:600")
    clock = EmulatorsClock(bench.control)
    first = await (await bench.again(clock=clock)).responses.create(bench.call())

    successor = await bench.again(clock=clock)
    settled = await successor.responses.respond(bench.call(execution="e2", run=(2,)))

    assert settled.attempt.response_id == first.response_id
    assert settled.found is Found.IN_FLIGHT
    assert len(bench.posts()) == 1
    assert bench.cancels() == []


async def test_an_answer_is_returned_again_without_a_request(bench):
    first = await bench.responses.respond(bench.call())
    requests = len(bench.control.journal())

    again = await (await bench.again()).responses.respond(bench.call(execution="e2", run=(2,)))

    assert (again.attempt.id, again.body) == (first.attempt.id, first.body)
    assert again.found is Found.ANSWER
    assert len(bench.control.journal()) == requests


async def test_identical_requests_of_one_execution_are_told_apart(bench):
    attempts = [await bench.responses.create(bench.call()) for _ in range(3)]
    again = [await bench.responses.create(bench.call(execution="e2")) for _ in range(3)]

    assert [attempt.ordinal for attempt in attempts] == [0, 1, 2]
    assert [attempt.id for attempt in again] == [attempt.id for attempt in attempts]
    assert len(bench.posts()) == 3


async def test_identical_requests_at_once_are_told_apart(bench):
    attempts = await asyncio.gather(*(bench.responses.create(bench.call()) for _ in range(8)))

    assert sorted(attempt.ordinal for attempt in attempts) == list(range(8))
    assert len({attempt.response_id for attempt in attempts}) == 8


async def test_a_task_retry_finds_its_own_response(bench):
    flow, task = Link("flow", 1), Link("task", 1)
    first = await bench.responses.create(bench.call(chain=(flow, task)))
    retried = await bench.responses.create(bench.call(chain=(flow, replace(task, number=2))))

    assert retried.id == first.id
    assert len(bench.posts()) == 1


async def test_one_key_is_one_response_even_at_once(bench):
    attempts = await asyncio.gather(
        *(bench.responses.create(bench.call(key="summary")) for _ in range(8))
    )
    assert len({attempt.response_id for attempt in attempts}) == 1
    assert len(bench.posts()) == 1


# --- a key with another request -------------------------------------------------------------------


async def test_a_changed_request_under_a_key_is_an_error_that_names_the_paths(bench):
    await bench.responses.respond(bench.call("old secret text", key="k", temperature=0.1))
    with pytest.raises(RequestChanged) as raised:
        await bench.responses.create(bench.call("new", key="k", temperature=0.1, top_p=1))

    assert raised.value.paths == ("$.input", "$.top_p")
    assert "secret" not in str(raised.value)
    assert len(bench.posts()) == 1


async def test_an_endpoint_that_changed_is_named_too(bench):
    await bench.responses.create(bench.call(key="k"))
    call = bench.call(key="k")
    moved = replace(call, draft=replace(call.draft, digest="r1:sha256:other"))
    with pytest.raises(RequestChanged, match="endpoint"):
        await bench.responses.create(moved)


async def test_adopting_keeps_the_earlier_response(bench):
    first = await bench.responses.respond(bench.call("old", key="k"))
    kept = await bench.responses.respond(bench.call("new", key="k", on_change=OnChange.ADOPT))

    assert kept.attempt.id == first.attempt.id
    assert len(bench.posts()) == 1


async def test_adopting_sends_what_the_key_was_first_used_for(bench):
    bench.control.add_fault("status", status=401)
    with pytest.raises(Exception, match="refused the credentials"):
        await bench.responses.create(bench.call("old", key="k"))

    await bench.responses.create(bench.call("new", key="k", on_change=OnChange.ADOPT))
    assert [post["body"]["input"] for post in bench.posts()] == ["old", "old"]


@pytest.mark.parametrize("on_change", [OnChange.RESUBMIT])
async def test_resubmitting_pays_for_the_changed_request_once(bench, on_change):
    await bench.responses.respond(bench.call("old", key="k"))
    for execution in ("e1", "e2"):
        call = bench.call("new", key="k", on_change=on_change, execution=execution)
        settled = await bench.responses.respond(call)

    assert settled.attempt.number == 2
    assert [post["body"]["input"] for post in bench.posts()] == ["old", "new"]


async def test_resubmitting_cancels_what_is_in_flight(bench):
    bench.control.set_latency("constant:600")
    clock = EmulatorsClock(bench.control)
    first = await (await bench.again(clock=clock)).responses.create(bench.call("old", key="k"))
    await bench.responses.create(bench.call("new", key="k", on_change=OnChange.RESUBMIT))

    assert bench.cancels() == [f"/v1/responses/{first.response_id}/cancel"]
    history = await bench.ledger.history(SCOPE, "key:k", 0)
    assert [one.outcome for one in history] == [Outcome.CANCELLED, None]


# --- how a response can end -----------------------------------------------------------------------


async def test_a_refused_request_is_settled_and_not_sent_again_in_this_run(bench):
    bench.control.add_fault("status", status=400, code="invalid_value", param="input")
    refused = await bench.responses.create(bench.call())

    assert (refused.state, refused.outcome) == (AttemptState.SETTLED, Outcome.REFUSED)
    assert refused.response_id is None
    failure = failure_of(refused)
    assert isinstance(failure, RequestRefused)
    assert (failure.status, failure.code, failure.param) == (400, "invalid_value", "input")

    again = await bench.responses.create(bench.call(execution="e2"))
    assert again.id == refused.id
    assert len(bench.posts()) == 1


async def test_a_refused_request_is_sent_again_in_a_later_run(bench):
    bench.control.add_fault("status", status=400)
    await bench.responses.create(bench.call())
    settled = await bench.responses.respond(bench.call(execution="e2", run=(2,)))

    assert (settled.attempt.number, settled.attempt.outcome) == (2, Outcome.COMPLETED)
    assert len(bench.posts()) == 2


async def test_a_failed_response_is_returned_as_it_was_within_a_run(bench):
    bench.control.add_fault("fail", code="server_error", message="Overheated.")
    failed = await bench.responses.respond(bench.call(key="k"))
    again = await bench.responses.respond(bench.call(key="k"))

    assert again.attempt.id == failed.attempt.id
    failure = failure_of(again.attempt)
    assert isinstance(failure, ResponseFailed)
    assert failure.code == "server_error"
    assert "Overheated." in str(failure)
    assert len(bench.posts()) == 1


@pytest.mark.parametrize(("max_attempts", "failures", "posts"), [(1, 1, 1), (2, 1, 2), (3, 9, 3)])
async def test_a_budget_of_attempts_is_kept(bench, max_attempts, failures, posts):
    bench.control.add_fault("fail", times=failures, code="server_error")
    call = bench.call(policy=policy(max_attempts=max_attempts))
    settled = await bench.responses.respond(call)

    assert len(bench.posts()) == posts
    recovered = failures < max_attempts
    assert settled.attempt.outcome is (Outcome.COMPLETED if recovered else Outcome.FAILED)
    assert settled.attempt.number == posts


async def test_a_failure_that_no_retry_helps_costs_one_attempt(bench):
    bench.control.add_fault("fail", times=None, code="invalid_prompt")
    await bench.responses.respond(bench.call(policy=policy(max_attempts=5)))
    assert len(bench.posts()) == 1


async def test_an_incomplete_response_is_an_answer(bench):
    bench.control.add_fault("incomplete", reason="max_output_tokens")
    settled = await bench.responses.respond(bench.call())

    assert settled.attempt.outcome is Outcome.INCOMPLETE
    assert settled.attempt.error["code"] == "max_output_tokens"
    assert failure_of(settled.attempt) is None


async def test_a_response_that_somebody_cancelled_is_no_result(bench):
    bench.control.set_latency("constant:600")
    attempt = await bench.responses.create(bench.call(key="k"))
    await bench.api.cancel(attempt.response_id)

    settled = await bench.responses.wait(attempt.id, policy())
    assert settled.attempt.outcome is Outcome.CANCELLED
    assert isinstance(failure_of(settled.attempt), ResponseCancelled)


# --- waiting, attaching, rejecting ----------------------------------------------------------------


async def test_waiting_by_the_ledgers_id(bench):
    attempt = await bench.responses.create(bench.call())
    settled = await (await bench.again()).responses.wait(attempt.id, policy())
    assert settled.attempt.outcome is Outcome.COMPLETED


async def test_waiting_for_an_attempt_that_nobody_knows(bench):
    with pytest.raises(AttemptUnknown, match="01J"):
        await bench.responses.wait("01J", policy())


def attached(bench, response_id):
    return Draft("scope:a", "request:a", response_id, bench.endpoint, "environment", b"{}")


async def test_a_response_created_elsewhere_can_be_waited_for(bench):
    created = await bench.api.create({"model": "echo", "input": "x"}, client_request_id="mine")
    response_id = orjson.loads(created.body)["id"]
    for _ in range(2):
        attempt = await bench.responses.attach(attached(bench, response_id), response_id)
        settled = await bench.responses.wait(attempt.id, policy())

    assert settled.attempt.response_id == response_id
    assert settled.attempt.outcome is Outcome.COMPLETED
    assert len(await bench.attempts()) == 1
    assert len(bench.posts()) == 1


async def test_attaching_one_of_ours_finds_its_attempt(bench):
    ours = await bench.responses.create(bench.call())
    found = await bench.responses.attach(attached(bench, ours.response_id), ours.response_id)
    assert found.id == ours.id


async def test_a_response_that_the_api_does_not_know_is_expired(bench):
    attempt = await bench.responses.attach(attached(bench, "resp_none"), "resp_none")
    settled = await bench.responses.wait(attempt.id, policy())

    assert settled.attempt.outcome is Outcome.EXPIRED
    assert isinstance(failure_of(settled.attempt), ResponseExpired)
    assert bench.posts() == []


async def test_a_rejected_answer_is_asked_for_again_once(bench):
    first = await bench.responses.respond(bench.call(key="k"))
    await bench.responses.reject(first.attempt.id, "wrong tone")
    second = await bench.responses.respond(bench.call(key="k"))
    third = await bench.responses.respond(bench.call(key="k"))

    assert second.attempt.number == 2
    assert third.attempt.id == second.attempt.id
    assert len(bench.posts()) == 2
    assert (await bench.ledger.attempt(first.attempt.id)).rejected == "wrong tone"


async def test_only_an_ended_response_can_be_rejected(bench):
    bench.control.set_latency("constant:600")
    attempt = await bench.responses.create(bench.call())
    with pytest.raises(IllegalMove, match="submitted"):
        await bench.responses.reject(attempt.id, "too slow")


async def test_what_a_person_gave_up_is_said_so(bench):
    bench.control.add_fault("accept_then_drop")
    with pytest.raises(SubmissionInDoubt) as raised:
        await bench.responses.create(bench.call(policy=policy("fail")))
    await bench.ledger.do(ResolveDoubt(raised.value.attempt_id, None, bench.clock.now()))

    ended = await bench.responses.create(bench.call(execution="e2", policy=policy("fail")))
    assert ended.outcome is Outcome.ABANDONED
    assert "given up" in str(failure_of(ended))
    assert len(bench.posts()) == 1


# --- observers ------------------------------------------------------------------------------------


async def test_an_observer_hears_what_was_committed(bench):
    bench.control.set_latency("constant:5")
    bench.control.add_fault("accept_then_drop")
    other = await bench.again(clock=EmulatorsClock(bench.control))
    settled = await other.responses.respond(bench.call())

    first, second = await bench.ledger.history(SCOPE, settled.attempt.name, 0)
    assert other.observer.heard == [
        ("resubmitted", f"{first.id} {second.id}"),
        ("submitted", second.id),
        ("settled", second.id),
    ]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "vendor", "background_ignored": True}, ["submitted", "settled"]),
        ({"kind": "fail"}, ["submitted", "settled"]),
        ({"kind": "status", "status": 400}, ["settled"]),
    ],
    ids=str,
)
async def test_an_observer_hears_of_every_end(bench, fault, told):
    bench.control.add_fault(**fault)
    settled = await bench.responses.respond(bench.call())
    assert bench.observer.heard == [(word, settled.attempt.id) for word in told]


async def test_an_observer_hears_of_an_expired_response(bench):
    attempt = await bench.responses.attach(attached(bench, "resp_none"), "resp_none")
    await bench.responses.wait(attempt.id, policy())
    assert bench.observer.heard == [("settled", attempt.id)]


async def test_an_observer_hears_nothing_of_what_others_did(bench):
    await bench.responses.respond(bench.call(key="k"))
    successor = await bench.again()
    await successor.responses.respond(bench.call(key="k", execution="e2"))
    assert successor.observer.heard == []


@pytest.mark.parametrize("error", [OSError("The pipe is gone."), SystemExit(1)], ids=repr)
async def test_an_observer_that_raises_fails_nothing(bench, error):
    told = []

    def raising(*attempts):
        told.append(len(attempts))
        raise error

    observer = SimpleNamespace(submitted=raising, resubmitted=raising, settled=raising)
    bench.control.add_fault("accept_then_drop")
    responses = DurableResponses(bench.ledger, bench.api, bench.clock, OPENAI, observer)
    settled = await responses.respond(bench.call())

    assert settled.attempt.outcome is Outcome.COMPLETED
    assert told == [2, 1, 1]
