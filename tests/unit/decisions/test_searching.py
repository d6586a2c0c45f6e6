"""What a page of a list says of a response in doubt; what leaves it open is never "not there"."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.decisions.searching import (
    CLOCK_MARGIN,
    CannotList,
    FoundIt,
    NextPage,
    NotThere,
    read_page,
)
from prefect_responses.errors import (
    AnswerUnreadable,
    CredentialsRefused,
    EndpointUnreachable,
    RefusedForNow,
    RequestRefused,
)
from prefect_responses.wire.answers import Answer, TransportFailure

KEY = "att_1"
SENT = 10_000.0
OLD = SENT - CLOCK_MARGIN - 1


def row(number=1, key=None, created_at=SENT, **fields):
    metadata = {"row": "7"} if key is None else {"prefect_responses_key": key}
    facts = {"id": f"resp_{number}", "object": "response", "status": "queued"}
    return {**facts, "created_at": created_at, "metadata": metadata, **fields}


def rows(*times):
    return [row(number, created_at=time) for number, time in enumerate(times)]


def without(name, one):
    return {key: value for key, value in one.items() if key != name}


def page(data, **envelope):
    body = {"object": "list", "data": data, "has_more": True, **envelope}
    return Answer(status=200, body=orjson.dumps(body), server_request_id="req_1")


def read(answer):
    return read_page(answer, KEY, SENT)


# --- found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("created_at", [SENT, SENT - 3600, None])
def test_it_is_found_by_its_metadata_wherever_it_stands(created_at):
    found = read(page([row(1), row(2, KEY, created_at), row(3, "att_2")], has_more=False))
    assert isinstance(found, FoundIt)
    assert found.response.id == "resp_2"


def test_it_is_found_among_rows_that_show_no_metadata():
    assert isinstance(read(page([without("metadata", row(1)), row(2, KEY)])), FoundIt)


def test_it_is_found_where_a_server_writes_little():
    assert isinstance(
        read(page([{"id": "r", "status": "", "metadata": row(1, KEY)["metadata"]}])), FoundIt
    )


@pytest.mark.parametrize("lost", ["id", "status"])
def test_one_that_cannot_be_read_is_neither_found_nor_missing(lost):
    broken = {**without(lost, row(1, KEY)), "object": "thing"}
    assert isinstance(read(page([broken], has_more=False)), CannotList)


@pytest.mark.parametrize("metadata", [None, [], "att_1", {"prefect_responses_key": None}])
def test_metadata_of_others_may_be_anything(metadata):
    assert read(page([row(1, metadata=metadata)], has_more=False)) == NotThere()


# --- not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        page([], has_more=False),
        page([], has_more=None),
        Answer(status=200, body=b'{"data":[]}'),
        page(rows(SENT, SENT - 1), has_more=False),
        page(rows(SENT, OLD), has_more=False),
        page(rows(SENT, OLD)),
        page(rows(OLD, OLD - 1)),
        page(rows(OLD + 0.5, OLD)),
        page(rows(OLD, OLD, OLD - 1)),
    ],
    ids=str,
)
def test_the_end_of_the_list_and_a_page_that_is_old_enough_end_the_search(answer):
    assert read(answer) == NotThere()


# --- on another page ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        page(rows(SENT + 9, SENT)),
        page(rows(SENT, SENT - CLOCK_MARGIN), last_id="resp_1"),
        page(rows(SENT, SENT), last_id=None),
        # An order that was ignored, and times that are not said, are no reason to stop.
        page(rows(OLD - 9, OLD)),
        page(rows(OLD, OLD)),
        page([row(5), row(6, created_at=OLD), row(1)]),
        # Some servers leave out what is empty.
        page([without("metadata", row(0)), row(1)]),
        page([row(0, created_at="late"), row(1, created_at=OLD)]),
        page([row(0), without("created_at", row(1))]),
        Answer(status=200, body=orjson.dumps({"data": rows(SENT, SENT)})),
    ],
    ids=str,
)
def test_the_search_goes_on_after_the_last_row(answer):
    assert read(answer) == NextPage("resp_1")


def test_an_empty_page_may_say_itself_how_the_list_goes_on():
    assert read(page([], last_id="resp_9")) == NextPage("resp_9")


# --- nobody can tell ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=200, body=b""),
        Answer(status=200, body=b"<html>"),
        Answer(status=200, body=b"[]"),
        Answer(status=200, body=b'{"data":{}}'),
        Answer(status=200, body=b'{"object":"response","id":"resp_1"}'),
        Answer(status=200, body=b'{"data":[1]}'),
        Answer(200, b'{"object":"list","da', failure=TransportFailure.AFTER_SENDING),
        page([without("metadata", row(1))], has_more=False),
        page([without("metadata", row(1)), without("metadata", row(2))]),
        page([without("id", row(1))]),
        page([]),
    ],
    ids=str,
)
def test_a_list_that_leaves_it_open_is_not_read_as_an_empty_one(answer):
    verdict = read(answer)
    assert isinstance(verdict, CannotList)
    assert isinstance(verdict.error, AnswerUnreadable)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, RequestRefused),
        (400, RequestRefused),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (404, RequestRefused),
        (405, RequestRefused),
        (408, AnswerUnreadable),
        (425, AnswerUnreadable),
        (429, RefusedForNow),
        (500, AnswerUnreadable),
        (501, RequestRefused),
        (503, AnswerUnreadable),
        (600, AnswerUnreadable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":{"message":"No list."}}'])
def test_a_refusal_is_told_with_what_it_says(status, error, body):
    verdict = read(Answer(status, body, retry_after=7.0, server_request_id="req_1"))

    assert isinstance(verdict, CannotList)
    assert type(verdict.error) is error
    told = verdict.error
    assert (told.status, told.retry_after, told.server_request_id) == (status, 7.0, "req_1")
    assert f"HTTP {status}" in str(told)
    assert ("No list." in str(told)) is (b"No list." in body)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (TransportFailure.NOT_SENT, EndpointUnreachable),
        (TransportFailure.AFTER_SENDING, AnswerUnreadable),
    ],
)
def test_no_answer_is_no_list(failure, error):
    verdict = read(Answer(failure=failure, note="ConnectError: no route"))
    assert isinstance(verdict, CannotList)
    assert type(verdict.error) is error
    assert "no route" in str(verdict.error)


json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "has_more", "last_id", "id", "metadata", "created_at", "x"]),
            inner,
            max_size=5,
        )
    ),
)


@given(json, st.none() | st.integers(100, 599))
def test_whatever_a_server_writes_is_one_of_the_four(document, status):
    verdict = read(Answer(status, orjson.dumps(document)))
    assert isinstance(verdict, FoundIt | NextPage | NotThere | CannotList)
    if isinstance(verdict, NotThere):
        assert status // 100 == 2
        assert isinstance(document["data"], list)
