"""Each command, run in this process: what it prints and the exit code it leaves with."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass

import pytest
from ledger_stories import answered, doubted, given_up, planned, sent, write

from prefect_responses.cli.__main__ import main

HOSTILE = "[bold red]boo[/]\x1b[31m\u202e\nProven: all is well."


@dataclass
class Left:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Left:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
            code = 0
        except SystemExit as left:
            code = left.code or 0
    return Left(code, out.getvalue(), err.getvalue())


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'a ledger#1%.db'}"


def test_a_command_that_cannot_be_read_leaves_with_two():
    result = run("audit", "--no-such-option")

    assert result.returncode == 2
    assert "--no-such-option" in result.stderr + result.stdout


@pytest.mark.parametrize("command", [("ledger", "show"), ("audit",), ("resolve", "x")])
def test_a_missing_ledger_is_an_error_and_is_not_made(command, tmp_path):
    path = tmp_path / "none.db"
    options = ("--not-created",) if command[0] == "resolve" else ()

    result = run(*command, *options, "--url", f"sqlite:///{path}")

    assert result.returncode == 1
    assert result.stderr.strip() == f"prefect-responses: There is no ledger at {path}."
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_ledger_is_left_as_it_was(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()

    result = run("audit", "--url", f"sqlite:///{path}")

    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert path.stat().st_size == 0


# --- ledger show ----------------------------------------------------------------------------------


def test_show_names_each_attempt_and_no_body(url):
    [attempt_id] = write(url, (answered, "a"))

    result = run("ledger", "show", "--url", url)

    assert result.returncode == 0
    for text in (attempt_id, "resp_a", "key:a", "job:demo", "completed"):
        assert text in result.stdout
    assert "secret" not in result.stdout


def test_show_leaves_the_ledger_untouched(url, tmp_path):
    write(url, (answered, "a"))
    ledger = tmp_path / "a ledger#1%.db"
    before = ledger.read_bytes()

    run("ledger", "show", "--url", url)
    run("audit", "--url", url)

    assert ledger.read_bytes() == before


def test_show_one_attempt_gives_its_bodies_only_when_asked(url):
    [attempt_id] = write(url, (answered, "a"))

    without = run("ledger", "show", "--attempt", attempt_id, "--url", url)
    bodies = run("ledger", "show", "--attempt", attempt_id, "--bodies", "--url", url)

    assert "resp_a" in without.stdout
    assert "secret" not in without.stdout
    assert "the secret of a" in bodies.stdout
    assert "the answer" in bodies.stdout


def test_bodies_are_refused_for_many(url):
    write(url, (answered, "a"))

    assert run("ledger", "show", "--bodies", "--url", url).returncode == 1


def test_show_picks_by_state_and_keeps_the_last(url):
    write(url, (answered, "a"), (answered, "b"), (doubted, "c"), (planned, "d"))

    result = run(
        *("ledger", "show", "--state", "settled", "--state", "in_doubt"),
        *("--limit", "2", "--json", "--url", url),
    )

    shown = json.loads(result.stdout)["attempts"]
    assert [one["name"] for one in shown] == ["key:b", "key:c"]
    assert shown[0]["response_id"] == "resp_b"


def test_show_picks_by_job(url):
    write(url, (answered, "a"))

    assert "key:a" in run("ledger", "show", "--job", "demo", "--url", url).stdout
    assert "key:a" not in run("ledger", "show", "--job", "other", "--url", url).stdout


def test_text_from_outside_is_shown_as_text(url):
    write(url, (doubted, HOSTILE))

    for command in (("ledger", "show"), ("audit",)):
        shown = run(*command, "--url", url).stdout
        assert "[bold red]boo[/]" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert not [line for line in shown.splitlines() if line.lstrip().startswith("Proven")]


def test_an_attempt_that_is_unknown_is_said_so(url):
    write(url, (answered, "a"))

    result = run("ledger", "show", "--attempt", "nope", "--url", url)

    assert result.returncode == 1
    assert result.stderr.strip() == "prefect-responses: The ledger has no attempt nope."


# --- audit ----------------------------------------------------------------------------------------


def test_a_clean_audit_says_what_is_proven(url):
    write(url, (answered, "a"), (answered, "b"), (planned, "c"))

    result = run("audit", "--url", url)

    assert result.returncode == 0
    assert (
        "Proven: 2 POSTs accepted = 2 response IDs recorded, for 3 keys; "
        "no other POST can have been accepted." in result.stdout
    )


def test_an_audit_with_a_doubt_names_it_and_leaves_with_three(url):
    _, attempt_id = write(url, (answered, "a"), (doubted, "b"))

    result = run("audit", "--job", "demo", "--url", url)
    machine = run("audit", "--job", "demo", "--json", "--url", url)

    assert (result.returncode, machine.returncode) == (3, 3)
    assert f"{attempt_id}: key:b in job:demo" in result.stdout
    assert "Not proven" in result.stdout
    document = json.loads(machine.stdout)
    assert document["is_doubtful"] is True
    assert [one["id"] for one in document["in_doubt"]] == [attempt_id]
    assert document["counts"]["posts_possible"] == 1


def test_a_post_left_by_a_dead_process_is_in_doubt(url):
    [attempt_id] = write(url, (sent, "a"))

    result = run("audit", "--url", url)

    assert result.returncode == 3
    assert f"{attempt_id}: key:a" in result.stdout


def test_what_was_given_up_is_named_and_no_longer_open(url):
    [attempt_id] = write(url, (given_up, "a"))

    result = run("audit", "--url", url)

    assert result.returncode == 0
    assert f"{attempt_id}: key:a in job:demo, followed by 1 attempt" in result.stdout
    assert "1 POST given up in doubt may have been accepted" in result.stdout


def test_an_empty_scope_proves_nothing(url):
    write(url, (answered, "a"))

    result = run("audit", "--job", "misspelt", "--url", url)

    assert result.returncode == 0
    assert "Nothing is recorded here" in result.stdout


# --- resolve --------------------------------------------------------------------------------------


def test_resolve_created_keeps_the_response(url):
    [attempt_id] = write(url, (doubted, "a"))

    result = run("resolve", attempt_id, "--created", "resp_found", "--url", url)

    assert result.returncode == 0
    assert "is submitted now" in result.stdout
    assert run("audit", "--url", url).returncode == 0
    assert "resp_found" in run("ledger", "show", "--url", url).stdout


def test_resolve_not_created_ends_the_doubt(url):
    [attempt_id] = write(url, (doubted, "a"))

    result = run("resolve", attempt_id, "--not-created", "--url", url)

    assert result.returncode == 0
    assert "is abandoned now" in result.stdout
    assert run("audit", "--url", url).returncode == 0


def test_resolve_ends_the_doubt_that_a_dead_process_left(url):
    [attempt_id] = write(url, (sent, "a"))

    result = run("resolve", attempt_id, "--created", "resp_found", "--url", url)

    assert (result.returncode, result.stderr) == (0, "")


def test_resolve_refuses_what_is_not_in_doubt(url):
    [attempt_id] = write(url, (answered, "a"))

    result = run("resolve", attempt_id, "--not-created", "--url", url)

    assert result.returncode == 1
    assert "is completed, not in doubt; nothing was changed" in result.stderr


@pytest.mark.parametrize(
    "options", [(), ("--created", "resp_a", "--not-created"), ("--created", "../x")]
)
def test_resolve_takes_one_plausible_answer(url, options):
    [attempt_id] = write(url, (doubted, "a"))

    assert run("resolve", attempt_id, *options, "--url", url).returncode == 1
    assert run("audit", "--url", url).returncode == 3


# --- ledger upgrade -------------------------------------------------------------------------------


def test_upgrade_makes_a_ledger(url):
    assert run("ledger", "upgrade", "--url", url).returncode == 0
    assert run("audit", "--url", url).returncode == 0


def test_an_unreadable_latency_is_refused_before_anything_is_served():
    result = run("emulator", "serve", "--latency", "sometimes")

    assert result.returncode == 2
    assert "sometimes" in result.stderr
