"""`automations`: what it refuses before it asks a server, and what it would install there."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from prefect.automations import Posture
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_responses.cli.__main__ import main
from prefect_responses.host.automations import NAMES, Recovery, automations_of


def refusal(capsys, *arguments):
    """Run a command that fails; return its one line."""
    with pytest.raises(SystemExit) as left:
        main(["automations", *arguments])
    assert left.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--all", "--tag", "a"), "Give --tag or --all, not both."),
        (("--tag", ""), "A tag has at least one character."),
        (("--heartbeat-seconds", "10"), "30 seconds apart at the least, not 10."),
        (("--within", "200"), "every 180 seconds cannot be waited for only 200"),
        (("--max-runs", "1"), "Without a second run nothing comes back"),
        (("--delay", "5"), "10 seconds at the least, not 5 as delay."),
    ],
)
def test_what_cannot_work_is_refused(options, reason, capsys):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert reason in refusal(capsys, "create", *options)


@pytest.mark.parametrize("command", ["create", "list", "delete"])
def test_without_a_server_no_other_is_started(command, capsys):
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert "none is named: set PREFECT_API_URL" in refusal(capsys, command)


def test_a_server_that_is_not_there_is_said_in_one_line(capsys):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            assert "cannot be reached" in refusal(capsys, "list")


def test_the_defaults_fit_the_heartbeats_that_prefect_sends():
    crash, rerun, give_up = automations_of(Recovery())

    assert (crash.name, rerun.name, give_up.name) == NAMES
    assert crash.trigger.within == timedelta(seconds=3 * 180)
    assert rerun.trigger.within == timedelta(seconds=30)
    assert crash.trigger.posture is rerun.trigger.posture is Posture.Proactive
    assert [made.actions[0].state for made in (crash, rerun, give_up)] == [
        StateType.CRASHED,
        StateType.SCHEDULED,
        StateType.FAILED,
    ]
    # A forced crash would end runs that have completed in the meantime.
    assert not any(made.actions[0].force for made in (crash, rerun, give_up))


def test_only_runs_that_began_and_have_runs_left_are_run_again():
    _, rerun, give_up = automations_of(Recovery(max_runs=4))

    assert rerun.trigger.match["prefect.run-count"] == ["1", "2", "3"]
    # Three crashes of three run counts do not make four.
    assert give_up.trigger.threshold == 3


def test_tags_are_no_patterns():
    crash, rerun, _ = automations_of(Recovery(tags=("team[1]*", "b")))

    [tagged] = crash.trigger.match_related
    assert tagged["prefect.resource.id"] == ["prefect.tag.team[[]1][*]", "prefect.tag.b"]
    assert rerun.trigger.match_related[0] == tagged
    assert "tagged team[1]* or b" in crash.description


def test_all_runs_means_all_that_can_be_run_again():
    crash, rerun, give_up = automations_of(Recovery(tags=()))

    assert crash.trigger.match_related == []
    assert [dict(each.root) for each in rerun.trigger.match_related] == [
        {"prefect.resource.role": "deployment"}
    ]
    assert give_up.trigger.match_related == rerun.trigger.match_related
