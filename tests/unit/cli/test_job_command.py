"""`job`: how jobs stand, and dead rows that are marked to be asked again."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest
from job_stories import NOON, a_pass, charge_of, ended, in_flight, reviews, write
from test_commands import HOSTILE, run

from prefect_responses.identity import job_scope, row_name


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def with_reviews(url):
    write(url, reviews)
    return url


def rejections(url):
    async def read(ledger):
        return {
            one.name.removeprefix(row_name("")): one.rejected
            async for one in ledger.attempts(job_scope("reviews"))
            if one.rejected is not None
        }

    return write(url, read)


# --- list and show --------------------------------------------------------------------------------


def test_list_shows_each_job_with_its_rows_and_its_cost(with_reviews):
    result = run("job", "list", "--url", with_reviews)

    assert result.returncode == 0, result.stderr
    for text in ("reviews", "1, open since 2026-11-21 12:00:00 UTC, 1 of 3 shards done", "ok 2"):
        assert text in result.stdout
    # Four rows at 1000 tokens read and 500 written; the one that failed says nothing.
    assert "0.01 USD" in result.stdout
    assert "schema 1" in result.stdout


def test_list_of_nothing_is_empty(url):
    write(url, lambda ledger: a_pass(ledger, "empty", 2))

    result = run("job", "list", "--json", "--url", url)

    [job] = json.loads(result.stdout)["jobs"]
    assert (job["job"]["name"], job["rows"], job["accounts"]) == ("empty", {}, [])
    assert run("job", "list", "--url", url).returncode == 0


def test_show_names_classes_and_accounts(with_reviews):
    result = run("job", "show", "reviews", "--url", with_reviews)
    machine = json.loads(run("job", "show", "reviews", "--json", "--url", with_reviews).stdout)

    assert result.returncode == 0, result.stderr
    assert "day:2026-11-21:job:reviews" in result.stdout
    assert machine["rows"] == {"ok": 2, "truncated": 1, "schema": 1, "failed": 1, "in_flight": 1}
    whole = machine["accounts"][0]
    assert (whole["name"], whole["in_flight"]) == ("job:reviews", 1)
    assert whole["spent_usd"] == 4 * (1000 * 1000 + 500 * 4000)
    assert (whole["reserved_usd"], whole["reserved_tokens"]) == (9_000_000, 5000)


def test_show_says_why_a_job_is_parked_and_how_its_pass_ended(url):
    async def story(ledger):
        begun = await a_pass(ledger, "reviews", 2)
        await ledger.jobs.close_pass(begun, "{}", NOON + 60)
        await ledger.jobs.park("reviews", "QuotaExhausted", HOSTILE, NOON + 90)

    write(url, story)

    shown, listed = (run("job", *words, "--url", url) for words in (["show", "reviews"], ["list"]))

    assert "1, done 2026-11-21 12:01:00 UTC" in shown.stdout
    assert "2026-11-21 12:01:30 UTC: QuotaExhausted: [bold red]boo[/]" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "parked: QuotaExhausted" in listed.stdout


def test_a_job_that_was_parked_before_its_first_pass_is_shown(url):
    write(url, lambda ledger: ledger.jobs.park("new", "ModelNotFound", "No such model.", NOON))

    assert "none" in run("job", "list", "--url", url).stdout
    assert "No such model." in run("job", "show", "new", "--url", url).stdout


@pytest.mark.parametrize("command", [("show",), ("replay", "--class", "schema")])
def test_a_misspelt_job_is_said(with_reviews, command):
    result = run("job", command[0], "revews", *command[1:], "--url", with_reviews)

    assert result.returncode == 1
    assert "The ledger knows no job 'revews'" in result.stderr


# --- replay ---------------------------------------------------------------------------------------

REPLAY = ("job", "replay", "reviews", "--class", "schema", "--class", "truncated")


def test_a_replay_shows_rows_and_cost_and_changes_nothing(with_reviews):
    result = run(*REPLAY, "--url", with_reviews)

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "1 truncated: asked again with twice the room for the answer",
        "1 schema: asked to repair the answer",
        "About 4,064 tokens, by what was used before.",
        "Cost: about 0.0086 USD.",
        "Nothing was changed; --yes marks them.",
        "No row was marked.",
    ]
    assert rejections(with_reviews) == {}


def test_with_yes_the_rows_are_marked_once(with_reviews):
    first = run(*REPLAY, "--yes", "--url", with_reviews)
    again = run(*REPLAY, "--yes", "--url", with_reviews)

    assert "2 rows are marked; the next run of the job asks them again." in first.stdout
    assert rejections(with_reviews) == {"c": "replay:schema", "d": "replay:truncated"}
    assert again.stdout.splitlines() == [
        "2 marked before; the next run of the job asks them again.",
        "No row of these classes is left to be marked.",
    ]
    shown = run("job", "show", "reviews", "--url", with_reviews)
    assert "2 of them are marked for a replay by the next run." in shown.stdout
    assert "marked for replay 2" in run("job", "list", "--url", with_reviews).stdout


def test_for_machines_it_is_one_document(with_reviews):
    shown = json.loads(run(*REPLAY, "--json", "--url", with_reviews).stdout)
    marked = json.loads(run(*REPLAY, "--json", "--yes", "--url", with_reviews).stdout)

    assert shown == {
        "job": "reviews",
        "rows": {"truncated": 1, "schema": 1},
        "marked": 0,
        "tokens": 4064,
        "cost": 5_000_000 + 3_564_000,
        "uncounted": 0,
        "marked_now": 0,
    }
    assert marked["marked_now"] == 2


def test_a_row_that_says_nothing_is_not_counted(with_reviews):
    result = run("job", "replay", "reviews", "--class", "failed", "--url", with_reviews)

    assert result.stdout.splitlines()[:3] == [
        "1 failed: asked again as before",
        "About 0 tokens, by what was used before, 1 rows not counted.",
        "Cost: not known without a price.",
    ]


def test_only_dead_rows_can_be_replayed(with_reviews):
    result = run("job", "replay", "reviews", "--class", "ok", "--url", with_reviews)

    assert result.returncode == 1
    assert "Rows cannot be replayed as 'ok'. Dead rows are abandoned, " in result.stderr
    assert run("job", "replay", "reviews", "--url", with_reviews).returncode == 2


PRICES = """
as_of = 2026-11-21
[models.m]
input = 10
output = 20
[models."m@flex"]
input = 1
output = 2
"""


@pytest.mark.parametrize(
    ("options", "cost"),
    [({}, "0.02 USD"), ({"service_tier": "flex"}, "0.0020 USD"), ({"service_tier": "fast"}, None)],
)
def test_prices_that_are_given_are_taken_at_the_tier_of_the_row(url, tmp_path, options, cost):
    async def story(ledger):
        await a_pass(ledger, "reviews", 1)
        await ended(ledger, "reviews", "a", "empty", charge=charge_of("reviews", None), **options)

    write(url, story)
    (tmp_path / "prices.toml").write_text(PRICES)

    arguments = ("job", "replay", "reviews", "--class", "empty", "--url", url)
    priced = run(*arguments, "--prices", str(tmp_path / "prices.toml"))
    unpriced = run(*arguments)

    assert f"Cost: {f'about {cost}' if cost else 'not known without a price'}." in priced.stdout
    assert "Cost: not known without a price." in unpriced.stdout


def test_a_price_list_that_cannot_be_read_stops_before_anything(with_reviews, tmp_path):
    result = run(*REPLAY, "--yes", "--prices", str(tmp_path / "x.toml"), "--url", with_reviews)

    assert result.returncode == 1
    assert "cannot be read" in result.stderr
    assert rejections(with_reviews) == {}


def test_rows_of_other_jobs_and_rows_in_flight_are_left_alone(url):
    async def story(ledger):
        await a_pass(ledger, "reviews", 2)
        await ended(ledger, "reviews", "a", "schema")
        await ended(ledger, "reviews-2", "a", "schema")
        await in_flight(ledger, "reviews", "b")

    write(url, story)

    run("job", "replay", "reviews", "--class", "schema", "--yes", "--url", url)

    assert rejections(url) == {"a": "replay:schema"}


@pytest.mark.parametrize(("answer", "marks"), [("y", 2), ("n", 0), ("", 0)])
def test_in_a_terminal_it_is_asked(with_reviews, answer, marks):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "prefect_responses.cli", *REPLAY, "--url", with_reviews]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"Mark 2 rows?" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, f"{answer}\n".encode())
        with suppress(OSError):  # which is how Linux says that the other end is closed
            while chunk := os.read(ours, 4096):
                shown += chunk
    os.close(ours)

    assert process.returncode == 0
    assert b"Cost: about 0.0086 USD." in shown
    assert len(rejections(with_reviews)) == marks
