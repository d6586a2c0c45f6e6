"""Searching the list of a server for a response whose POST was in doubt."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from engine_bench import EmulatorsClock, policy
from pydantic import SecretStr

from prefect_responses.attempt import Endpoint
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.decisions.policies import InDoubtMode
from prefect_responses.decisions.searching import CannotList, NotThere
from prefect_responses.engine.searching import ARRIVAL_SECONDS, MAX_PAGES, Found, Searching
from prefect_responses.errors import (
    AnswerUnreadable,
    CredentialsRefused,
    RefusedForNow,
    RequestRefused,
    SubmissionInDoubt,
)
from prefect_responses.ledger import ResolveDoubt
from prefect_responses.statuses import AttemptState, Outcome
from prefect_responses.testing import ManualClock
from prefect_responses.wire.requests import outgoing

GETS = {"method": "GET"}
POSTS = {"method": "POST"}


@pytest.fixture
async def listing(bench):
    """An engine on a server that lists its responses; both have one clock."""
    bench.control.change_settings(list_responses=True)
    return await bench.again(clock=EmulatorsClock(bench.control))


@pytest.fixture
def searching(listing):
    return Searching(listing.ledger, listing.api, listing.clock)


async def doubted(bench, kind="accept_then_drop", **call):
    """Leave an attempt in doubt whose POST came to *kind*."""
    bench.control.add_fault(kind, match=POSTS)
    with pytest.raises(SubmissionInDoubt) as raised:
        await bench.responses.create(bench.call(policy=policy(InDoubtMode.FAIL), **call))
    bench.clock.slept.clear()
    return await bench.ledger.attempt(raised.value.attempt_id)


async def others(bench, count):
    """Let somebody else create so many responses."""
    request = {"model": "echo", "input": "Say ho.", "background": True}
    await asyncio.gather(
        *(bench.api.create(request, client_request_id=f"other-{n}") for n in range(count))
    )


async def test_what_was_accepted_is_found_and_recorded(listing, searching):
    attempt = await doubted(listing)
    (lost,) = listing.control.responses()
    found = await searching.search(attempt)

    assert isinstance(found, Found)
    assert (found.attempt.state, found.attempt.response_id) == (AttemptState.SUBMITTED, lost["id"])
    assert found.attempt == await listing.ledger.attempt(attempt.id)
    assert (listing.reads(), listing.clock.slept) == (1, [])


async def test_it_is_found_behind_later_ones(listing, searching):
    attempt = await doubted(listing)
    await others(listing, 103)
    found = await searching.search(attempt)

    assert isinstance(found, Found)
    assert found.attempt.state is AttemptState.SUBMITTED
    assert listing.reads() == 2


async def test_what_was_never_accepted_is_looked_for_twice(listing, searching):
    attempt = await doubted(listing, "drop_before")
    await others(listing, 2)
    assert await searching.search(attempt) == NotThere()

    assert listing.clock.slept == [ARRIVAL_SECONDS]
    assert listing.clock.now() == attempt.submitting_at + ARRIVAL_SECONDS
    assert listing.reads() == 2
    assert (await listing.ledger.attempt(attempt.id)).state is AttemptState.IN_DOUBT


async def test_an_old_doubt_is_looked_at_again_after_a_moment(listing, searching):
    attempt = await doubted(listing, "drop_before")
    await listing.clock.sleep(3600)
    listing.clock.slept.clear()
    assert await searching.search(attempt) == NotThere()
    assert listing.clock.slept == [5.0]


async def test_what_arrives_between_the_two_looks_is_found(listing):
    attempt = await doubted(listing, "drop_before")
    clock = ManualClock(listing.clock.now())
    searching = Searching(listing.ledger, listing.api, clock)
    search = asyncio.create_task(searching.search(attempt))
    await clock.until_asleep()

    body = outgoing({"model": "echo", "input": "Say hi."}, key=attempt.key)
    await listing.api.create(body, client_request_id="late")
    await clock.advance(ARRIVAL_SECONDS)
    found = await search
    assert isinstance(found, Found)
    assert [found.attempt.response_id] == [one["id"] for one in listing.control.responses()]


async def test_only_pages_that_may_hold_it_are_read(listing, searching):
    await others(listing, 120)
    await listing.clock.sleep(3600)
    await others(listing, 1)
    attempt = await doubted(listing, "drop_before")
    assert await searching.search(attempt) == NotThere()
    assert listing.reads() == 2


async def test_the_response_of_another_attempt_of_the_same_call_is_not_taken(listing, searching):
    call = listing.call(policy=policy(InDoubtMode.RESUBMIT))
    listing.control.add_fault("drop_before", match=POSTS)
    settled = await listing.responses.respond(call)
    first, _ = await listing.ledger.history(call.draft.scope, call.draft.name, 0)
    assert settled.attempt.number == 2
    assert await searching.search(first) == NotThere()


async def test_a_doubt_that_somebody_ended_meanwhile_stays_ended(listing, searching):
    attempt = await doubted(listing)
    await listing.ledger.do(ResolveDoubt(attempt.id, None, listing.clock.now()))
    found = await searching.search(attempt)
    assert isinstance(found, Found)
    assert found.attempt.outcome is Outcome.ABANDONED


# --- servers that cannot say ----------------------------------------------------------------------


async def test_a_server_without_a_list_leaves_it_to_a_person(listing, searching):
    attempt = await doubted(listing)
    listing.control.change_settings(list_responses=False)
    end = await searching.search(attempt)

    assert isinstance(end, CannotList)
    assert isinstance(end.error, RequestRefused)
    assert (listing.reads(), listing.clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("fault", "error", "reads"),
    [
        ({"status": 401}, CredentialsRefused, 1),
        ({"status": 500}, AnswerUnreadable, 3),
        ({"status": 429, "retry_after": 7200}, RefusedForNow, 3),
    ],
    ids=str,
)
async def test_a_list_that_stays_unread_leaves_it_to_a_person(
    listing, searching, fault, error, reads
):
    attempt = await doubted(listing)
    listing.control.add_fault("status", match=GETS, times=None, **fault)
    end = await searching.search(attempt)

    assert isinstance(end, CannotList)
    assert isinstance(end.error, error)
    assert listing.reads() == reads
    waits = [fault.get("retry_after", 1.0 * tries) for tries in (1, 2)]
    assert listing.clock.slept == waits[: reads - 1]


async def test_a_passing_failure_is_outlasted(listing, searching):
    attempt = await doubted(listing)
    listing.control.add_fault("status", match=GETS, status=429, retry_after=3600)
    assert isinstance(await searching.search(attempt), Found)
    assert listing.clock.slept == [3600.0]


async def test_a_second_look_that_fails_is_no_second_look(listing, searching):
    attempt = await doubted(listing, "drop_before")
    listing.control.add_fault("status", match=GETS, status=403, after=1)
    assert isinstance(await searching.search(attempt), CannotList)


# --- lists without an end -------------------------------------------------------------------------


@pytest.fixture
async def endless(listing, opened):
    """Start a server whose list goes on after whatever `last_id` makes of the page's number."""
    servers = []

    async def start(last_id):
        pages = 0

        async def answer(reader, writer):
            nonlocal pages
            while await reader.readuntil(b"\r\n\r\n"):
                pages += 1
                rows = [{"id": "resp_1", "created_at": 9e9, "metadata": {}}]
                body = orjson.dumps({"data": rows, "has_more": True, "last_id": last_id(pages)})
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        servers.append(server)
        host, port = server.sockets[0].getsockname()
        api = HttpResponsesApi(Endpoint(f"http://{host}:{port}/v1"), SecretStr("sk"))
        opened.append(api)
        return Searching(listing.ledger, api, listing.clock), lambda: pages

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("last_id", "pages", "why"),
    [
        (lambda _: "resp_1", 2, "it repeats a page"),
        (lambda page: f"resp_{page}", MAX_PAGES, "longer than 50 pages"),
        (lambda _: "../responses", 1, "no response ID"),
    ],
    ids=["the same page", "for ever", "after no ID"],
)
async def test_a_list_without_an_end_leaves_it_to_a_person(listing, endless, last_id, pages, why):
    attempt = await doubted(listing)
    searching, read = await endless(last_id)
    end = await searching.search(attempt)

    assert isinstance(end, CannotList)
    assert why in str(end.error)
    assert read() == pages
