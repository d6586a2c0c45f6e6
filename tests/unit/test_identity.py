"""What is stored under a name, held literally: a changed value would pay for everything again."""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses import identity
from prefect_responses.attempt import Endpoint
from prefect_responses.errors import RequestInvalid
from prefect_responses.wire import requests as wire_requests

GOLDEN = json.loads(
    Path(__file__).parent.parent.joinpath("golden", "identity.json").read_text("utf-8")
)
HERE = Endpoint("https://api.openai.com/v1")

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | texts
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


# --- the golden file ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN["requests"], ids=lambda case: case["what"])
def test_a_digest_never_changes(case):
    assert f"r1:sha256:{hashlib.sha256(case['canonical'].encode()).hexdigest()}" == case["digest"]
    assert (
        identity.request_digest(
            case["request"], Endpoint(**case["endpoint"]), version=case["version"]
        )
        == case["digest"]
    )


def test_pinned_words():
    assert GOLDEN["digest_version"] == identity.DIGEST_VERSION
    assert GOLDEN["metadata_key"] == identity.METADATA_KEY
    assert GOLDEN["metadata_key"] == wire_requests.METADATA_KEY
    assert GOLDEN["ledger_input_key"] == identity.LEDGER_INPUT_KEY
    assert GOLDEN["ledger_block_input_key"] == identity.LEDGER_BLOCK_INPUT_KEY


def test_pinned_task_names():
    pinned = {name: getattr(identity, name) for name in dir(identity) if name.startswith("TASK_")}
    assert pinned == GOLDEN["task_names"]


@pytest.mark.parametrize(("form", "pair"), list(GOLDEN["names"].items()))
def test_pinned_forms_of_names(form, pair):
    given_text, written = pair
    assert getattr(identity, form)(given_text) == written


def test_every_form_of_a_name_is_in_the_golden_file():
    forms = {name for name in vars(identity) if name.endswith(("_name", "_scope"))}
    assert forms == set(GOLDEN["names"])


def test_forms_of_names_cannot_be_mistaken_for_each_other():
    for forms in (("request_name", "sample_name", "key_name", "row_name"), ("job_scope",)):
        written = [getattr(identity, form)("x") for form in forms]
        assert len({text.split(":")[0] for text in written}) == len(forms)


def test_an_empty_key_is_refused():
    with pytest.raises(RequestInvalid, match="key= is empty"):
        identity.key_name("")


# --- canonical JSON -------------------------------------------------------------------------------


@given(documents)
def test_canonical_json_says_the_same_thing(document):
    assert json.loads(identity.canonical_json(document)) == document


@given(documents)
def test_canonical_json_is_stable(document):
    once = identity.canonical_json(document)
    assert identity.canonical_json(json.loads(once)) == once


@given(st.dictionaries(texts, documents, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(document, random):
    shuffled = list(document.items())
    random.shuffle(shuffled)
    assert identity.canonical_json(dict(shuffled)) == identity.canonical_json(document)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.0, b"1"),
        (-0.0, b"0"),
        (1e15, b"1000000000000000"),
        (float(2**53), b"9007199254740992.0"),
        (1e300, b"1e+300"),
        (0.1, b"0.1"),
        (True, b"true"),
        (None, b"null"),
        ("µ\u2028\n", '"µ\u2028\\n"'.encode()),
        ((1, [2]), b"[1,[2]]"),
        (range(3), b"[0,1,2]"),
        (MappingProxyType({"b": 1, "a": OrderedDict(z=1)}), b'{"a":{"z":1},"b":1}'),
    ],
    ids=str,
)
def test_canonical_forms(value, written):
    assert identity.canonical_json(value) == written


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (math.nan, r"^\$ is nan"),
        ({"a": [math.inf]}, r"^\$\.a\[0\] is inf"),
        ({"a": b"x"}, r"^\$\.a is a bytes"),
        ([bytearray(b"x")], r"^\$\[0\] is a bytearray"),
        ([memoryview(b"x")], r"^\$\[0\] is a memoryview"),
        ({"a": {1: 2}}, r"^\$\.a has the key 1"),
        ({"a": object()}, r"^\$\.a is a object"),
        ({"a": {"x"}}, r"^\$\.a is a set"),
        ({"a": "\ud800"}, "half a character"),
        ({"a": 2**64}, r"^\$\.a is beyond 64 bits"),
        ({"a": -(2**63) - 1}, r"^\$\.a is beyond 64 bits"),
    ],
)
def test_what_json_cannot_say_is_refused(value, complaint):
    with pytest.raises(RequestInvalid, match=complaint):
        identity.canonical_json(value)


def test_a_document_that_holds_itself_is_refused():
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(RequestInvalid, match="nested too deeply"):
        identity.canonical_json(endless)


@given(documents)
def test_what_is_accepted_can_be_sent(document):
    # The client writes with orjson; a digest of something that cannot be sent would be worthless.
    import orjson  # noqa: PLC0415 - only here

    assert orjson.loads(orjson.dumps(json.loads(identity.canonical_json(document)))) == document


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delivery",
    [
        {"background": True},
        {"background": False},
        {"stream": True},
        {"stream_options": {"include_obfuscation": False}},
        {"store": False},
        {"temperature": None},
        {"metadata": {}},
        {"metadata": {identity.METADATA_KEY: "01J"}},
        {"metadata": None},
    ],
    ids=str,
)
def test_how_an_answer_is_delivered_is_not_asked(delivery):
    asked = {"model": "m", "input": "x"}
    assert identity.what_is_asked(asked | delivery) == asked
    assert identity.request_digest(asked | delivery, HERE) == identity.request_digest(asked, HERE)


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0},
        {"instructions": ""},
        {"tools": []},
        {"metadata": {"team": "a"}},
        {"metadata": "no mapping"},
        {"parallel_tool_calls": False},
    ],
    ids=str,
)
def test_everything_else_is_asked(more):
    asked = {"model": "m", "input": "x"}
    assert identity.what_is_asked(asked | more) == asked | more
    assert identity.request_digest(asked | more, HERE) != identity.request_digest(asked, HERE)


def test_our_own_metadata_is_left_out_beside_the_users():
    metadata = {"team": "a", identity.METADATA_KEY: "01J"}
    assert identity.what_is_asked({"metadata": metadata}) == {"metadata": {"team": "a"}}
    assert identity.METADATA_KEY in metadata


@pytest.mark.parametrize(
    "elsewhere",
    [
        Endpoint("https://eu.api.openai.com/v1"),
        Endpoint("https://api.openai.com/v1", organization="org-1"),
        Endpoint("https://api.openai.com/v1", project="proj-1"),
    ],
    ids=repr,
)
def test_another_account_is_another_answer(elsewhere):
    request = {"model": "m", "input": "x"}
    assert identity.request_digest(request, elsewhere) != identity.request_digest(request, HERE)


def test_a_prompt_version_counts_and_its_absence_is_no_version():
    request = {"model": "m"}
    digests = {
        identity.request_digest(request, HERE, version=version) for version in (None, "", "1", "2")
    }
    assert len(digests) == 4


# --- what changed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({}, {}, ()),
        ({"a": 1}, {"a": 2}, ("$.a",)),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, ("$.a", "$.b")),
        ({"a": 1}, {}, ("$.a",)),
        ({}, {"a": {"b": 1}}, ("$.a",)),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 1}}, ("$.a.b",)),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ("$.a[1].b",)),
        ({"a": [1]}, {"a": [1, 2]}, ("$.a",)),
        ({"a": [1]}, {"a": {"0": 1}}, ("$.a",)),
        ({"a": {"b": 1}}, {"a": "b"}, ("$.a",)),
        ([1, 2], [3, 4], ("$[0]", "$[1]")),
        ("secret", "other", ("$",)),
    ],
    ids=str,
)
def test_changed_paths(before, after, paths):
    assert identity.changed_paths(before, after) == paths


@given(documents)
def test_nothing_changed_between_equals(document):
    assert identity.changed_paths(document, document) == ()


@given(st.dictionaries(texts, documents), st.dictionaries(texts, documents))
def test_differing_requests_have_differing_paths(before, after):
    assert bool(identity.changed_paths(before, after)) == (before != after)
