"""The API takes nothing: wait as told, stop for a person, or never ask again; lose no attempt."""

from __future__ import annotations

import socket

import pytest
from engine_bench import API_KEY, open_bench, policy

from prefect_responses.errors import (
    CredentialsRefused,
    EndpointUnreachable,
    ModelNotFound,
    QuotaExhausted,
    RequestInvalid,
)
from prefect_responses.statuses import AttemptState, Outcome

RATE_LIMIT = {"kind": "status", "status": 429, "code": "rate_limit_exceeded", "retry_after": 30}


@pytest.mark.parametrize("times", [1, 3])
async def test_a_rate_limit_is_waited_for_as_told(bench, times):
    bench.control.add_fault(**RATE_LIMIT, times=times)
    settled = await bench.responses.respond(bench.call())

    assert bench.clock.slept[:times] == [pytest.approx(30.0)] * times
    assert (len(bench.posts()), bench.accepted()) == (1 + times, 1)
    (attempt,) = await bench.attempts()
    assert (attempt.id, attempt.number) == (settled.attempt.id, 1)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "body": "html"},
        {"status": 429, "code": "rate_limit_exceeded"},
        {"status": 503},
        {"status": 409, "code": "conversation_locked"},
        {"status": 400, "code": "conversation_locked"},
    ],
    ids=str,
)
async def test_where_no_time_is_named_the_waits_grow(bench, fault):
    bench.control.add_fault("status", times=4, **fault)
    await bench.responses.respond(bench.call())

    assert bench.clock.slept[:4] == pytest.approx([1.0, 2.0, 4.0, 8.0])
    assert [attempt.number for attempt in await bench.attempts()] == [1]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 401}, CredentialsRefused),
        ({"status": 403, "code": "unsupported_country_region_territory"}, CredentialsRefused),
        ({"status": 404, "code": "model_not_found", "param": "model"}, ModelNotFound),
        ({"status": 429, "code": "insufficient_quota"}, QuotaExhausted),
        ({"status": 402}, QuotaExhausted),
    ],
    ids=str,
)
async def test_a_parked_call_consumes_nothing_and_resumes(bench, fault, error):
    bench.control.add_fault("status", **fault)
    with pytest.raises(error) as raised:
        await bench.responses.create(bench.call())

    (parked,) = await bench.attempts()
    assert (parked.state, parked.response_id) == (AttemptState.PLANNED, None)
    assert parked.error["error"] == error.__name__
    assert raised.value.status == fault["status"]
    assert bench.clock.slept == []

    resumed = await (await bench.again()).responses.respond(bench.call(execution="e2"))
    assert (resumed.attempt.id, resumed.attempt.number) == (parked.id, 1)
    assert (len(bench.posts()), bench.accepted()) == (2, 1)


async def test_a_rotated_key_resumes_what_the_old_one_parked(bench):
    bench.control.change_settings(rejected_keys=[API_KEY])
    with pytest.raises(CredentialsRefused, match="check the key"):
        await bench.responses.create(bench.call())

    rotated = await bench.again(api_key="sk-rotated-0123456789")
    settled = await rotated.responses.respond(bench.call(execution="e2"))
    assert settled.attempt.number == 1


async def test_a_model_that_does_not_exist(bench):
    with pytest.raises(ModelNotFound):
        await bench.responses.create(bench.call(model="no/such-model"))
    assert bench.accepted() == 0


async def test_an_endpoint_that_is_away_is_tried_a_few_times(bench):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    nobody = f"http://127.0.0.1:{port}/v1"
    away = await bench.again(base_url=nobody)
    with pytest.raises(EndpointUnreachable, match="check the base URL"):
        await away.responses.create(bench.call())

    assert bench.clock.slept == pytest.approx([1.0, 2.0, 4.0])
    (attempt,) = await bench.attempts()
    assert (attempt.state, attempt.number) == (AttemptState.PLANNED, 1)

    back = await bench.responses.respond(bench.call(execution="e2"))
    assert (back.attempt.id, back.attempt.outcome) == (attempt.id, Outcome.COMPLETED)


async def test_a_request_that_cannot_be_written_leaves_nothing_under_way(bench):
    # Refused before this by the tasks; here it must at least not look like a doubt.
    call = bench.call()
    with pytest.raises(RequestInvalid):
        await bench.responses.create(replace_request(call, {"model": "echo", "input": {1, 2}}))

    assert bench.posts() == []
    assert [attempt.state for attempt in await bench.attempts()] == [AttemptState.PLANNED]
    settled = await bench.responses.respond(bench.call(execution="e2"))
    assert settled.attempt.outcome is Outcome.COMPLETED


async def test_an_unknown_option_leaves_nothing_under_way(bench):
    call = bench.call(policy=policy())
    with pytest.raises(RequestInvalid, match="temprature"):
        await bench.responses.create(
            replace_request(call, {"model": "echo", "input": "x", "temprature": 1})
        )
    assert bench.posts() == []
    assert [attempt.state for attempt in await bench.attempts()] == [AttemptState.PLANNED]


def replace_request(call, request):
    from dataclasses import replace  # noqa: PLC0415 - only here

    return replace(call, request=request)


async def test_posts_under_way_are_bounded(emulator, empty_ledger, tmp_path, opened):
    import asyncio  # noqa: PLC0415 - only here
    import shutil  # noqa: PLC0415 - only here

    from prefect_responses.clock import SystemClock  # noqa: PLC0415 - only here

    shutil.copy(empty_ledger, tmp_path / "ledger.db")
    url = f"sqlite:///{tmp_path}/ledger.db"
    bench = await open_bench(url, emulator, SystemClock(), opened, on_the_wire=2)
    bench.control.add_fault("delay", seconds=0.05, times=None)
    await asyncio.gather(*(bench.responses.create(bench.call(f"{n}")) for n in range(8)))

    times = [(post["time"], post["ended_at"]) for post in bench.posts()]
    at_once = [sum(a <= began < b for a, b in times) for began, _ in times]
    assert max(at_once) == 2
