from __future__ import annotations

import pytest

from prefect_responses.errors import OptionUnknown, RequestInvalid
from prefect_responses.wire.requests import (
    REQUEST_FIELDS,
    STORED_FOR,
    UNSTORED_FOR,
    ProviderProfile,
    check_options,
    expires_at,
    outgoing,
    without_stream,
)
from prefect_responses.wire.responses import read_response_object

DURABLE = {"background": True, "store": True, "metadata": {"prefect_responses_key": "k"}}


def test_what_makes_a_request_durable():
    assert outgoing({"model": "m", "input": "x"}, key="k") == DURABLE | {"model": "m", "input": "x"}


def test_the_request_that_was_given_is_left_alone():
    given = {"model": "m", "metadata": {"a": "b"}}
    outgoing(given, key="k")
    assert given == {"model": "m", "metadata": {"a": "b"}}


def test_none_is_left_out():
    sent = outgoing({"model": "m", "previous_response_id": None, "store": None}, key="k")
    assert sent == DURABLE | {"model": "m"}


def test_none_within_a_value_is_kept():
    schema = {"format": {"schema": {"enum": ["a", None]}}}
    assert outgoing({"text": schema}, key="k")["text"] == schema


@pytest.mark.parametrize("field", ["background", "store"])
def test_what_the_caller_says_wins(field):
    assert outgoing({field: False}, key="k")[field] is False


@pytest.mark.parametrize("field", ["background", "store", "metadata"])
def test_a_profile_leaves_out_what_its_server_refuses(field):
    profile = ProviderProfile(**{f"send_{field}": False})
    assert outgoing({}, key="k", profile=profile) == {
        name: value for name, value in DURABLE.items() if name != field
    }


def test_the_callers_metadata_is_sent_beside_ours():
    sent = outgoing({"metadata": {"a": "b"}}, key="k")
    assert sent["metadata"] == {"a": "b", "prefect_responses_key": "k"}
    kept = outgoing({"metadata": {"a": "b"}}, key="k", profile=ProviderProfile(send_metadata=False))
    assert kept["metadata"] == {"a": "b"}


def test_fifteen_pairs_of_metadata_leave_room_for_ours():
    assert len(outgoing({"metadata": pairs(15)}, key="k")["metadata"]) == 16
    with pytest.raises(RequestInvalid, match="remove 1"):
        outgoing({"metadata": pairs(16)}, key="k")
    without = ProviderProfile(send_metadata=False)
    assert len(outgoing({"metadata": pairs(16)}, key="k", profile=without)["metadata"]) == 16


def pairs(count):
    return {f"name-{n}": "value" for n in range(count)}


@pytest.mark.parametrize(
    "metadata",
    [
        "text",
        ["a"],
        {"a": 1},
        {1: "a"},
        {"a": None},
        {"n" * 65: "a"},
        {"a": "v" * 513},
        {"prefect_responses_key": "mine"},
    ],
)
def test_metadata_that_the_api_would_refuse(metadata):
    with pytest.raises(RequestInvalid, match="metadata"):
        outgoing({"metadata": metadata}, key="k")


def test_the_longest_metadata():
    outgoing({"metadata": {"n" * 64: "v" * 512}}, key="k" * 512)


def test_a_stream_that_would_die_with_its_connection_is_refused():
    assert outgoing({"stream": True}, key="k")["background"] is True
    with pytest.raises(RequestInvalid, match="stream"):
        outgoing({"stream": True, "background": False}, key="k")
    with pytest.raises(RequestInvalid, match="stream"):
        outgoing({"stream": True}, key="k", profile=ProviderProfile(send_background=False))
    assert outgoing({"stream": False}, key="k")["stream"] is False


def test_the_same_request_without_its_events():
    body = outgoing({"stream": True, "stream_options": {}, "input": "x"}, key="k")

    assert without_stream(body) == outgoing({"input": "x"}, key="k")


def test_an_unknown_option_names_what_was_meant():
    with pytest.raises(OptionUnknown, match="'max_output_tokens'"):
        check_options(["max_tokens", "model"])
    with pytest.raises(OptionUnknown, match="'zzz': leave it out"):
        outgoing({"zzz": 1}, key="k")
    with pytest.raises(OptionUnknown, match=r"'instruction'.*'temprature'"):
        check_options(["temprature", "instruction"])


def test_every_field_of_the_reference_is_known():
    check_options(REQUEST_FIELDS)
    check_options([])


@pytest.mark.parametrize(
    ("request_store", "echoed", "kept"),
    [
        ({}, None, STORED_FOR),
        ({}, True, STORED_FOR),
        ({}, False, UNSTORED_FOR),
        ({"store": True}, None, STORED_FOR),
        ({"store": True}, False, UNSTORED_FOR),
        ({"store": False}, None, UNSTORED_FOR),
        ({"store": False}, True, STORED_FOR),
    ],
)
def test_until_when_a_response_is_kept(request_store, echoed, kept):
    fields = {} if echoed is None else {"store": echoed}
    read = read_response_object({"id": "r", "status": "queued", **fields})
    assert expires_at(request_store, 1000.0, read) == 1000.0 + kept
    if echoed is None:
        assert expires_at(request_store, 1000.0, None) == 1000.0 + kept
