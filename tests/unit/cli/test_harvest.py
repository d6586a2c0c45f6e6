"""`prefect-responses harvest`, run in this process: what it prints and the code it leaves with."""

from __future__ import annotations

import json

import pytest
from ledger_stories import answered, doubted, planned, sent, write
from prefect.settings import PREFECT_API_URL, temporary_settings
from test_commands import run


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def test_nothing_due_is_fine_and_says_what_was_not_looked_at(url):
    write(url, (answered, "a"), (planned, "b"))

    with temporary_settings(restore_defaults={PREFECT_API_URL}):  # a neighbour may have set it
        result = run("harvest", "--url", url)

    assert (result.returncode, result.stderr) == (0, "")
    assert "nothing was due" in result.stdout
    assert "Flow runs were not looked at: no Prefect API is configured." in result.stdout


def test_a_doubt_needs_a_person_and_gives_the_command(url):
    doubt, dead = write(url, (doubted, "a"), (sent, "b"))

    result = run("harvest", "--url", url)
    machine = run("harvest", "--json", "--url", url)

    assert (result.returncode, machine.returncode) == (3, 3)
    assert f"prefect-responses resolve {doubt} --created RESP_ID | --not-created" in result.stdout
    document = json.loads(machine.stdout)
    assert {one["attempt_id"] for one in document["in_doubt"]["named"]} == {doubt, dead}
    assert document["needs_a_person"] is True


def test_a_missing_ledger_is_an_error_and_is_not_made(url, tmp_path):
    result = run("harvest", "--url", url)

    assert result.returncode == 1
    assert result.stderr.startswith("prefect-responses: There is no ledger at ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--once", "--every", "5"), 1),
        (("--every", "0"), 2),
        (("--limit", "0"), 2),
        (("--warn-before", "-1"), 2),
    ],
)
def test_options_that_make_no_sense_are_refused(url, options, code):
    assert run("harvest", *options, "--url", url).returncode == code
