"""Which key an attempt was made with, found again from what the ledger holds of it."""

from __future__ import annotations

import socket

import pytest
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.dispatch import get_registry_for_type

from prefect_responses import ResponseLedger, ResponsesCredentials
from prefect_responses.attempt import Endpoint
from prefect_responses.blocks.response_ledger import ledger_block
from prefect_responses.blocks.responses_credentials import connection_for
from prefect_responses.errors import CredentialsMissing, LedgerUnavailable, PrefectUnavailable

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HERE = Endpoint("https://models.example/v1", "org-1", "proj-1")
KEY = "sk-found-again-0123456789"
BLOCK = "block:responses-credentials/"


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", HERE.base_url)
    monkeypatch.setenv("OPENAI_ORG_ID", HERE.organization)
    monkeypatch.setenv("OPENAI_PROJECT_ID", HERE.project)
    return monkeypatch


async def saved(name: str, **changes) -> str:
    given = {"api_key": KEY, "base_url": HERE.base_url, "organization": "org-1"}
    block = ResponsesCredentials(**{**given, "project": "proj-1", **changes})
    await block.asave(name, overwrite=True)
    return block.connection().reference


@pytest.mark.usefixtures("environment")
async def test_the_environments_key_is_found():
    connection = await connection_for("environment", HERE)

    assert connection.endpoint == HERE
    assert connection.api_key.get_secret_value() == KEY
    assert connection.reference == "environment"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OPENAI_BASE_URL", "https://other.example/v1", "https://other.example/v1"),
        ("OPENAI_ORG_ID", "org-2", "org-2"),
        ("OPENAI_PROJECT_ID", "", "org-1"),
    ],
)
async def test_an_environment_for_another_account_is_none(environment, name, value, told):
    environment.setenv(name, value)

    with pytest.raises(CredentialsMissing, match="OPENAI_BASE_URL") as caught:
        await connection_for("environment", HERE)

    assert told in str(caught.value)
    assert "models.example/v1 (org-1, proj-1)" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("OPENAI_API_KEY", "", "OPENAI_API_KEY"), ("OPENAI_BASE_URL", "http://far/v1", "https")],
)
async def test_an_environment_that_cannot_be_used_is_none(environment, name, value, told):
    environment.setenv(name, value)

    with pytest.raises(CredentialsMissing, match=told) as caught:
        await connection_for("environment", HERE)

    assert "the environment of this process" in str(caught.value)


async def test_a_blocks_key_is_found_by_its_name():
    reference = await saved("found-again", send_store=False)

    connection = await connection_for(reference, HERE)

    assert reference == f"{BLOCK}found-again"
    assert connection.api_key.get_secret_value() == KEY
    assert connection.reference == reference
    assert not connection.profile.send_store


async def test_a_block_that_was_changed_to_another_account_is_none():
    reference = await saved("moved", organization="org-2")

    with pytest.raises(
        CredentialsMissing, match=r"Set block responses-credentials/moved"
    ) as caught:
        await connection_for(reference, HERE)

    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [f"{BLOCK}never-saved", "block:no-such-type/x", "block:", "nonsense", "block:secret/not-ours"],
)
async def test_a_block_that_is_not_there_is_none(reference):
    await Secret(value="x").asave("not-ours", overwrite=True)

    with pytest.raises(CredentialsMissing, match="save a ResponsesCredentials block"):
        await connection_for(reference, HERE)


async def test_a_block_of_a_kind_that_this_process_does_not_know_is_none():
    class OnlyThere(Block):
        """A kind of another process's own."""

        _block_type_slug = "only-there"
        only_there: str = "A schema that no other kind has: Prefect shares equal ones."

    await OnlyThere().asave("x", overwrite=True)
    del get_registry_for_type(Block)["only-there"]

    with pytest.raises(CredentialsMissing, match="cannot be loaded"):
        await connection_for("block:only-there/x", HERE)


async def test_a_deleted_block_is_none():
    reference = await saved("deleted")
    await ResponsesCredentials.adelete("deleted")

    with pytest.raises(CredentialsMissing, match="is not there"):
        await connection_for(reference, HERE)


async def test_a_block_that_cannot_be_asked_for_is_not_missing():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            with pytest.raises(PrefectUnavailable):
                await connection_for(f"{BLOCK}any", HERE)
            with pytest.raises(PrefectUnavailable):
                await ledger_block("any")


async def test_a_ledger_block_is_found_by_its_name():
    await ResponseLedger(url="sqlite:////tmp/found.db").asave("found", overwrite=True)

    assert (await ledger_block("found")).address().url == "sqlite:////tmp/found.db"
    with pytest.raises(LedgerUnavailable, match="nowhere is not there"):
        await ledger_block("nowhere")
