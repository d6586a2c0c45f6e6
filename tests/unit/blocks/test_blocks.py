"""The blocks: Prefect's own standard, and where keys and URLs may be seen."""

from __future__ import annotations

import pickle

import pytest
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from prefect_responses import (
    AwaitBackgroundResponse,
    CreateResponse,
    ResponseLedger,
    ResponsesCredentials,
)
from prefect_responses.blocks.response_ledger import address_of
from prefect_responses.blocks.responses_credentials import connection_of
from prefect_responses.client.http import HttpResponsesApi
from prefect_responses.errors import CredentialsMissing, EndpointInvalid, LedgerNotDurable
from prefect_responses.ledger import LedgerNotDurableWarning
from prefect_responses.settings import ResponsesSettings
from prefect_responses.wire.requests import ProviderProfile

KEY = "sk-block-0123456789"
BLOCKS = {
    ResponsesCredentials: "responses-credentials",
    ResponseLedger: "response-ledger",
    CreateResponse: "create-response",
    AwaitBackgroundResponse: "await-background-response",
}


@pytest.mark.parametrize("block", list(BLOCKS))
class TestStandard(BlockStandardTestSuite):
    """Prefect's standard, but for the logo, which it would fetch."""

    @pytest.fixture
    def block(self, block):
        return block

    test_has_a_valid_image = None


@pytest.mark.parametrize(("block", "slug"), list(BLOCKS.items()))
def test_a_slug_never_changes(block, slug):
    # It is the server's primary key: another slug orphans every saved block.
    assert block.get_block_type_slug() == slug


def test_secrets_are_declared_as_secrets():
    assert ResponsesCredentials.model_json_schema()["secret_fields"] == ["api_key"]
    assert ResponseLedger.model_json_schema()["secret_fields"] == ["url"]


@pytest.mark.parametrize(
    "show", [str, repr, lambda b: str(b.model_dump()), lambda b: b.model_dump_json()]
)
def test_a_key_and_a_database_password_are_masked(show):
    credentials = ResponsesCredentials(api_key=KEY)
    ledger = ResponseLedger(url="postgresql://me:hunter2@db/responses")
    create = CreateResponse(model="m", credentials=credentials, ledger=ledger)

    for block in (credentials, ledger, create):
        assert KEY not in show(block)
        assert "hunter2" not in show(block)


def test_what_the_engine_gets_shows_no_key():
    connection = ResponsesCredentials(api_key=KEY).connection()
    address = ResponseLedger(url="postgresql://me:hunter2@db/responses").address()

    assert KEY not in repr(connection)
    assert KEY not in repr(connection.identity())
    assert "hunter2" not in repr(address)


async def test_credentials_give_a_client():
    client = ResponsesCredentials(api_key=KEY).get_client()
    try:
        assert isinstance(client, HttpResponsesApi)
        assert KEY not in repr(client)
    finally:
        await client.aclose()


async def test_an_insecure_url_that_is_allowed_is_allowed_everywhere():
    credentials = ResponsesCredentials(
        api_key=KEY, base_url="http://models.internal/v1", allow_insecure_http=True
    )
    assert credentials.connection().allow_insecure
    await credentials.get_client().aclose()


@pytest.mark.parametrize(
    "url",
    ["http://models.internal/v1", "ftp://api.openai.com", "api.openai.com/v1", "https://a:b@c/v1"],
)
def test_a_url_that_cannot_be_used_is_refused(url):
    with pytest.raises(EndpointInvalid, match="base URL cannot be used"):
        ResponsesCredentials(api_key=KEY, base_url=url).connection()


@pytest.mark.parametrize("key", ["", " ", "\n"])
def test_an_empty_key_is_a_missing_key(key):
    with pytest.raises(CredentialsMissing, match="OPENAI_API_KEY"):
        ResponsesCredentials(api_key=key).connection()


def test_a_profile_says_what_a_server_takes():
    credentials = ResponsesCredentials(api_key=KEY, send_store=False, send_background=False)
    profile = ProviderProfile(send_store=False, send_background=False)
    assert credentials.connection().profile == profile


# --- the environment ------------------------------------------------------------------------------


def test_without_a_block_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1/")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")

    connection = connection_of(None)
    assert connection.api_key == SecretStr(KEY)
    assert connection.endpoint.base_url == "http://127.0.0.1:8000/v1"
    assert (connection.endpoint.organization, connection.endpoint.project) == ("org-1", "proj-1")
    assert connection.reference == "environment"


def test_an_empty_base_url_is_openais(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert connection_of(None).endpoint.base_url == "https://api.openai.com/v1"


def test_neither_block_nor_environment():
    with pytest.raises(CredentialsMissing, match="OPENAI_API_KEY"):
        connection_of(None)


# --- where the ledger lies ------------------------------------------------------------------------


def test_a_block_wins_over_the_settings(monkeypatch):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL", "sqlite:////tmp/settings.db")
    block = ResponseLedger(url="sqlite:////tmp/block.db", lease_seconds=5)

    assert address_of(block, deployed=True).url == "sqlite:////tmp/block.db"
    assert address_of(block, deployed=True).lease_seconds == 5
    assert address_of(None, deployed=True).url == "sqlite:////tmp/settings.db"


def test_the_default_file_must_outlive_a_deployments_run():
    # A memory file system is as short-lived as a container's own.
    from prefect.settings import PREFECT_HOME, temporary_settings  # noqa: PLC0415 - only here

    with temporary_settings({PREFECT_HOME: "/dev/shm/prefect"}):  # noqa: S108 - on purpose
        with pytest.raises(LedgerNotDurable, match="persistent volume"):
            address_of(None, deployed=True)
        with pytest.warns(LedgerNotDurableWarning, match="persistent volume"):
            address = address_of(None, deployed=False)
    assert address.url == "sqlite:////dev/shm/prefect/responses.db"


@pytest.mark.parametrize("lease", [0, -1, 3601])
def test_a_lease_has_a_range(lease):
    with pytest.raises(ValidationError):
        ResponseLedger(url="sqlite:////tmp/x.db", lease_seconds=lease)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_SECONDS", "0"),
        ("SUBMIT_TIMEOUT_SECONDS", "0"),
        ("MAX_ON_THE_WIRE", "0"),
        ("MAX_ON_THE_WIRE", "many"),
    ],
)
def test_settings_have_ranges(monkeypatch, name, value):
    monkeypatch.setenv(f"PREFECT_INTEGRATIONS_RESPONSES_{name}", value)
    with pytest.raises(ValidationError):
        ResponsesSettings()


def test_settings_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL", "postgresql://a:hunter2@b/c")
    monkeypatch.setenv("PREFECT_INTEGRATIONS_RESPONSES_MAX_ON_THE_WIRE", "3")
    settings = ResponsesSettings()

    assert settings.max_on_the_wire == 3
    assert "hunter2" not in repr(settings)


def test_by_default_a_post_fits_in_a_lease():
    settings = ResponsesSettings()
    assert settings.submit_timeout_seconds < settings.lease_seconds


def test_polls_are_spaced_as_the_block_says():
    block = AwaitBackgroundResponse(poll_least_seconds=1, poll_most_seconds=5)
    assert (block._waiting().poll.least, block._waiting().poll.most) == (1, 5)
    with pytest.raises(ValidationError):
        AwaitBackgroundResponse(poll_least_seconds=0)


def test_an_unsaved_block_refers_to_the_environment():
    assert ResponsesCredentials(api_key=KEY).connection().reference == "environment"


def test_credentials_can_be_pickled_for_a_process_pool():
    credentials = ResponsesCredentials(api_key=KEY)
    again = pickle.loads(pickle.dumps(credentials))  # noqa: S301 - our own
    assert again.api_key.get_secret_value() == KEY
