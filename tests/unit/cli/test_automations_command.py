"""`automations`: what it refuses before it asks a server, and what it would install there."""

from __future__ import annotations

import socket
from datetime import timedelta
from fnmatch import fnmatchcase

import pytest
from prefect.automations import Posture
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_responses.cli.__main__ import main
from prefect_responses.host.recovery import NAMES, Recovery, automations_of


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
        (("--max-runs", "1"), "2 to 9 times, not 1"),
        (("--max-runs", "10"), "2 to 9 times, not 10"),
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
    made = automations_of(Recovery())
    find, _, rerun, *_ = made

    assert tuple(one.name for one in made) == NAMES
    assert find.trigger.within == timedelta(seconds=3 * 180)
    assert rerun.trigger.within == timedelta(seconds=60)
    assert find.trigger.posture is rerun.trigger.posture is Posture.Proactive
    assert [one.actions[0].state for one in made] == [
        StateType.PAUSED,
        StateType.CRASHED,
        StateType.SCHEDULED,
        StateType.FAILED,
        StateType.FAILED,
    ]
    # By force a run would be ended that has suspended or completed in the meantime.
    assert not any(one.actions[0].force for one in made)


@pytest.mark.parametrize("most", [2, 5, 9])
def test_every_run_count_from_the_last_run_on_is_given_up(most):
    _, _, rerun, last_run, give_up = automations_of(Recovery(max_runs=most))
    patterns = last_run.trigger.match["prefect.run-count"]
    [begun] = rerun.trigger.match["prefect.run-count"]

    for count in range(120):
        is_last = any(fnmatchcase(str(count), pattern) for pattern in patterns)
        assert is_last == (count >= most)
        assert fnmatchcase(str(count), begun) == (count >= 1)
    # What crashes in each of its runs, and is reported twice each time, does not reach it before.
    assert give_up.trigger.threshold > 2 * (most - 1)


def test_tags_are_no_patterns():
    find, crash, rerun, *_ = automations_of(Recovery(tags=("team[1]*", "b")))

    [tagged] = find.trigger.match_related
    assert crash.trigger.match_related == [tagged]
    assert tagged["prefect.resource.id"] == ["prefect.tag.team[[]1][*]", "prefect.tag.b"]
    assert rerun.trigger.match_related[0] == tagged
    assert "tagged team[1]* or b" in find.description


def test_all_runs_means_all_that_can_be_run_again():
    find, _, rerun, last_run, give_up = automations_of(Recovery(tags=()))

    assert find.trigger.match_related == []
    assert [dict(each.root) for each in rerun.trigger.match_related] == [
        {"prefect.resource.role": "deployment"}
    ]
    for each in (last_run, give_up):
        assert each.trigger.match_related == rerun.trigger.match_related
