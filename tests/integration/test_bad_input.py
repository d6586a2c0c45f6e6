"""Bad input gets a clear error before anything is sent, and leaves nothing in the ledger."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import date
from types import MappingProxyType

import pytest
from pydantic import BaseModel

from prefect_responses import CreateResponse, ResponseLedger, ResponsesCredentials, enrich, respond
from prefect_responses.errors import (
    ColumnMissing,
    CredentialsMissing,
    EndpointInvalid,
    EndpointUnreachable,
    KeyRequired,
    LedgerLocked,
    LedgerNewer,
    LedgerUnavailable,
    OptionUnknown,
    OutputTypeUnsupported,
    RequestInvalid,
    RowKeyDuplicate,
    TableEmpty,
    TableInvalid,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Product(BaseModel):
    name: str


class Loose(BaseModel):
    anything: dict[str, object]


def endless():
    document: list[object] = []
    document.append(document)
    return document


def ask(world, **changes):
    asked = {"model": "echo", "input": "x", "scope": "s", "key": "k", **world.blocks, **changes}
    return respond.fn(**{name: value for name, value in asked.items() if value is not ...})


def account(**fields):
    return ResponsesCredentials(**{"api_key": "sk-x-0123456789", **fields})


#: What is asked, the error, and a word of its message that helps.
ASKS = {
    "no API key": ({"credentials": account(api_key="")}, CredentialsMissing, "OPENAI_API_KEY"),
    "a key that is no header": (
        {"credentials": account(api_key="sk-x\n0123456789", base_url="http://127.0.0.1:1/v1")},
        RequestInvalid,
        "printable ASCII",
    ),
    "http off this machine": (
        {"credentials": account(base_url="http://models.internal/v1")},
        EndpointInvalid,
        "https",
    ),
    "no URL": ({"credentials": account(base_url="models")}, EndpointInvalid, "https://host"),
    "a URL with a password": (
        {"credentials": account(base_url="https://me:hunter2@host/v1")},
        EndpointInvalid,
        "API key",
    ),
    "an unknown option": ({"temprature": 1}, OptionUnknown, "'temperature'"),
    "two unknown options": ({"foo_bar": 1, "toolz": []}, OptionUnknown, "'tools'"),
    "no model": ({"model": ...}, RequestInvalid, "model="),
    "key and sample": ({"sample": 1}, RequestInvalid, "not both"),
    "an empty key": ({"key": ""}, RequestInvalid, "key= is empty"),
    "a blank key": ({"key": " "}, RequestInvalid, "key= is empty"),
    "an empty scope": ({"scope": ""}, RequestInvalid, "scope= is empty"),
    "a key with a NUL": ({"key": "a\0b"}, RequestInvalid, "NUL"),
    "a key with half a character": ({"key": "\ud800"}, RequestInvalid, "half a character"),
    "no scope": ({"scope": ...}, KeyRequired, "scope="),
    "no key": ({"key": ...}, KeyRequired, "key="),
    "a negative sample": ({"key": ..., "sample": -1}, RequestInvalid, "from 0"),
    "no attempts": ({"max_attempts": 0}, RequestInvalid, "at least 1"),
    "an unknown policy": ({"in_doubt": "panic"}, RequestInvalid, "'resubmit'"),
    "an unknown change": ({"on_change": "panic"}, RequestInvalid, "'adopt'"),
    "bytes": ({"input": b"x"}, RequestInvalid, "convert it to text"),
    "a date": ({"input": [{"when": date(2026, 1, 1)}]}, RequestInvalid, "$.input[0].when"),
    "not a number": ({"temperature": float("nan")}, RequestInvalid, "$.temperature is nan"),
    "a huge number": ({"max_output_tokens": 2**70}, RequestInvalid, "64 bits"),
    "half a character": ({"input": "\ud83d"}, RequestInvalid, "half a character"),
    "a list that holds itself": ({"input": endless()}, RequestInvalid, "nested too deeply"),
    "a stream that dies": ({"stream": True, "background": False}, RequestInvalid, "stream"),
    "no mode": ({"mode": "webhook"}, RequestInvalid, "mode= takes one of"),
    "no time": ({"cancel_on_timeout": 0}, RequestInvalid, "more than 0"),
    "metadata of numbers": ({"metadata": {"a": 1}}, RequestInvalid, "convert its value"),
    "metadata that is a text": ({"metadata": "a"}, RequestInvalid, "dict of texts"),
    "too much metadata": (
        {"metadata": {f"m{n}": "x" for n in range(16)}},
        RequestInvalid,
        "16 pairs",
    ),
    "long metadata": ({"metadata": {"a": "x" * 513}}, RequestInvalid, "too long"),
    "our own metadata": ({"metadata": {"prefect_responses_key": "x"}}, RequestInvalid, "taken"),
}


@pytest.mark.parametrize(("changes", "error", "word"), list(ASKS.values()), ids=list(ASKS))
def test_a_bad_request(world, changes, error, word):
    with pytest.raises(error) as raised:
        ask(world, **changes)

    assert word in str(raised.value)
    assert not raised.value.retryable
    assert_nothing_happened(world)


def test_a_bad_block(world):
    block = CreateResponse(
        model="echo", options={"temprature": 1}, scope="s", key="k", **world.blocks
    )
    with pytest.raises(OptionUnknown, match="temperature"):
        block.trigger()
    assert_nothing_happened(world)


def test_what_python_takes_for_lists_and_mappings_can_be_sent(world):
    items = ({"role": "user", "content": "A tuple."},)
    result = ask(world, input=items, metadata=MappingProxyType({"a": "b"}), text={})
    assert "A tuple." in result.output_text


# --- tables ---------------------------------------------------------------------------------------

TABLE = "id,text\n1,one\n2,two\n"
TABLES = {
    "no rows": ({"rows": "id,text\n"}, TableEmpty, "rows"),
    "nothing at all": ({"rows": ""}, TableEmpty, ""),
    "no such file": ({"rows": None}, TableInvalid, "There is no file"),
    "two rows of one key": ({"rows": "id,text\n1,one\n1,two\n"}, RowKeyDuplicate, "1"),
    "an empty key": ({"rows": "id,text\n,one\n"}, TableInvalid, "key"),
    "no key column": ({"key": "sku"}, ColumnMissing, "sku"),
    "a column that the prompt misses": ({"prompt": "{test}"}, ColumnMissing, "text"),
    "a ragged row": ({"rows": "id,text\n1\n"}, TableInvalid, "Line 2"),
    "a prompt of braces": ({"prompt": "{"}, RequestInvalid, ""),
    "no job": ({"job": ""}, RequestInvalid, "name"),
    "an unknown option": ({"options": {"temprature": 1}}, OptionUnknown, "temperature"),
    "no one in flight": ({"max_in_flight": 0}, RequestInvalid, "at least 1"),
    "a type that strict schemas cannot express": (
        {"output_type": Loose},
        OutputTypeUnsupported,
        "anything",
    ),
    "a type that is none": ({"output_type": str}, OutputTypeUnsupported, "field of a model"),
    "an unknown policy": ({"in_doubt": "panic"}, RequestInvalid, "'resubmit'"),
    "no API key": ({"credentials": account(api_key="")}, CredentialsMissing, "OPENAI_API_KEY"),
}


@pytest.mark.parametrize(("changes", "error", "word"), list(TABLES.values()), ids=list(TABLES))
def test_a_bad_table(world, tmp_path, changes, error, word):
    text = changes.get("rows", TABLE)
    rows = tmp_path / "rows.csv"
    if text is not None:
        rows.write_text(text)
    asked = {
        "job": "products",
        "key": "id",
        "prompt": "Describe {text}.",
        "output_type": Product,
        "model": "extract",
        "sink": tmp_path / "out.csv",
        **world.blocks,
        **changes,
        "rows": rows,
    }
    with pytest.raises(error) as raised:
        enrich(**asked)

    assert word in str(raised.value)
    assert not (tmp_path / "out.csv").exists()
    assert_nothing_happened(world)


# --- endpoints and ledgers ------------------------------------------------------------------------


def test_an_endpoint_that_is_away(world):
    away = account(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(EndpointUnreachable, match="check the base URL") as raised:
        ask(world, credentials=away)
    assert raised.value.retryable
    assert world.requests() == 0


def test_a_ledger_in_no_folder(world):
    with pytest.raises(LedgerUnavailable, match="correct the URL"):
        ask(world, ledger=ResponseLedger(url="sqlite:////proc/none/ledger.db"))
    assert world.requests() == 0


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "sqlite:///"),
        ("ledger.db", "sqlite:///"),
        ("mysql://host/db", "SQLite or PostgreSQL"),
        ("sqlite://", "file's path"),
    ],
)
def test_a_ledger_url_that_is_none(world, url, word):
    with pytest.raises(LedgerUnavailable, match=word):
        ask(world, ledger=ResponseLedger(url=url))
    assert world.requests() == 0


def test_a_file_that_is_no_ledger(world, tmp_path):
    (tmp_path / "notes.db").write_text("My notes.")
    with pytest.raises(LedgerUnavailable):
        ask(world, ledger=ResponseLedger(url=f"sqlite:///{tmp_path}/notes.db"))
    assert (tmp_path / "notes.db").read_text() == "My notes."
    assert world.requests() == 0


def test_a_database_of_something_else(world, tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("create table invoices (id)")
    connection.close()
    with pytest.raises(LedgerUnavailable, match="something else"):
        ask(world, ledger=ResponseLedger(url=f"sqlite:///{tmp_path}/other.db"))
    assert world.requests() == 0


def test_a_ledger_that_needs_newer_code(world):
    with sqlite3.connect(world.ledger_file) as connection:
        connection.execute("update ledger set min_reader = 999")
    connection.close()
    with pytest.raises(LedgerNewer, match="newer prefect-responses"):
        ask(world)
    assert world.requests() == 0


def assert_nothing_happened(world):
    assert world.requests() == 0
    with sqlite3.connect(world.ledger_file) as connection:
        (attempts,) = connection.execute("select count(*) from attempts").fetchone()
    connection.close()
    assert attempts == 0


async def test_a_ledger_that_another_process_keeps_locked(world):
    # The patience of the default ledger is many seconds, so it is asked with less.
    from prefect_responses.clock import SystemClock  # noqa: PLC0415 - only here
    from prefect_responses.ledger import Ledger  # noqa: PLC0415 - only here

    connection = sqlite3.connect(world.ledger_file, isolation_level=None)
    connection.execute("begin exclusive")
    try:
        with pytest.raises(LedgerLocked, match="lock for too long"):
            async with asyncio.timeout(20):
                await Ledger.open(world.ledger_url, clock=SystemClock(), patience=0.2)
    finally:
        connection.close()


def test_a_mistyped_option_of_ours_is_recognised(world):
    with pytest.raises(RequestInvalid, match="did you mean 'key'"):
        ask(world, kee="a")
    assert world.requests() == 0
