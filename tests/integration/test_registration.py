"""The package as Prefect finds it: registered, saved, loaded, with its secrets kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prefect.client.orchestration import get_client
from prefect.plugins import load_prefect_collections

import prefect_responses
from prefect_responses import (
    AwaitBackgroundResponse,
    CreateResponse,
    ResponseLedger,
    ResponsesCredentials,
    respond,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KEY = "sk-saved-secret-0123456789"
SLUGS = [
    "await-background-response",
    "create-response",
    "response-ledger",
    "responses-credentials",
]


def test_prefect_loads_the_collection():
    assert load_prefect_collections()["prefect_responses"] is prefect_responses


def test_blocks_are_registered_by_one_command(prefect_server):
    command = [sys.executable, "-m", "prefect", "block", "register", "-m", "prefect_responses"]
    registered = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, "PREFECT_API_URL": prefect_server, "COLUMNS": "200"},
    )

    assert registered.returncode == 0, registered.stderr
    names = ("Await Background Response", "Create Response", "Response Ledger")
    for name in (*names, "Responses Credentials"):
        assert name in registered.stdout
    with get_client(sync_client=True) as client:
        for slug in SLUGS:
            assert client.read_block_type_by_slug(slug).slug == slug


def test_saved_blocks_come_back_with_their_secrets(world):
    ResponsesCredentials(api_key=KEY, base_url=world.emulator.url, project="p").save(
        "account", overwrite=True
    )
    ResponseLedger(url=world.ledger_url, lease_seconds=30).save("record", overwrite=True)
    credentials = ResponsesCredentials.load("account")
    ledger = ResponseLedger.load("record")

    assert credentials.api_key.get_secret_value() == KEY
    assert credentials.connection().reference == "block:responses-credentials/account"
    assert (credentials.base_url, credentials.project) == (world.emulator.url, "p")
    assert ledger.address().url == world.ledger_url
    assert ledger.lease_seconds == 30
    for block in (credentials, ledger):
        assert KEY not in f"{block} {block!r} {block.model_dump()} {block.model_dump_json()}"


def test_a_saved_key_is_shown_to_those_who_ask_for_it_alone():
    ResponsesCredentials(api_key=KEY).save("sealed", overwrite=True)
    with get_client(sync_client=True) as client:
        seen = client.read_block_document_by_name(
            "sealed", "responses-credentials", include_secrets=False
        )
        assert KEY not in str(seen.data)
        seen = client.read_block_document_by_name(
            "sealed", "responses-credentials", include_secrets=True
        )
        assert KEY in str(seen.data)


def test_a_saved_job_runs_with_the_blocks_inside_it(world):
    world.blocks["credentials"].save("inner-account", overwrite=True)
    world.blocks["ledger"].save("inner-record", overwrite=True)
    CreateResponse(
        model="echo",
        prompt="Say hi.",
        key="greeting",
        scope="jobs",
        credentials=ResponsesCredentials.load("inner-account"),
        ledger=ResponseLedger.load("inner-record"),
    ).save("greeting", overwrite=True)
    AwaitBackgroundResponse(
        credentials=ResponsesCredentials.load("inner-account"),
        ledger=ResponseLedger.load("inner-record"),
    ).save("waiting", overwrite=True)

    handle = CreateResponse.load("greeting").trigger()
    result = AwaitBackgroundResponse.load("waiting").run(handle.response_id)

    assert result.output_text == handle.fetch_result().output_text
    assert (handle.credentials_block, handle.ledger_block) == ("inner-account", "inner-record")
    assert result.ledger_block == "inner-record"
    assert world.posts() == 1


def test_a_saved_account_can_be_changed_and_is_used_at_once(world):
    ResponsesCredentials(api_key="sk-old-0123456789", base_url=world.emulator.url).save(
        "rotating", overwrite=True
    )
    world.control.change_settings(rejected_keys=["sk-old-0123456789"])
    where = {"scope": "s", "key": "k", "ledger": world.blocks["ledger"]}
    with pytest.raises(prefect_responses.ResponsesError, match="check the key"):
        respond.fn(
            model="echo", input="x", credentials=ResponsesCredentials.load("rotating"), **where
        )

    ResponsesCredentials(api_key="sk-new-0123456789", base_url=world.emulator.url).save(
        "rotating", overwrite=True
    )
    result = respond.fn(
        model="echo", input="x", credentials=ResponsesCredentials.load("rotating"), **where
    )
    assert result.status == "completed"
