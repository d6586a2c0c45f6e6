"""Automations of Prefect by which a flow run whose processes died comes back by itself.

Five of them, each of which does one thing and can be read, paused and deleted in Prefect's UI:

- A flow run whose heartbeats stopped, and that is Running, is put into a state named ProcessLost.
  Prefect's servers do not look for such runs. Its type is Paused because the server pauses what is
  Running and nothing else: events come late, out of turn or not at all, and a run that suspended at
  its heartbeat would be taken for dead.
- One that lost its process is Crashed.
- A crashed flow run of a deployment is put into AwaitingRetry after a delay: a worker that lives
  reports a crash twice, before and after the hooks, which takes it two seconds, or fifty where it
  is starved of CPU; the second report ends a re-run that has begun.
- One that crashed in the last of its runs is Failed before that.
- One that crashes again and again before it begins is Failed too. Its run count stands still, so
  no number of runs would ever stop it.

An old and a new process may overlap, after an outage of the server for instance. The ledger is made
for that; what else a flow does may not be.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass
from datetime import timedelta

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState

from prefect_responses.errors import RequestInvalid

#: Names on the server; those that an earlier version gave must stay here to be found.
FIND = "prefect-responses: find flow runs whose heartbeats stopped"
CRASH = "prefect-responses: crash flow runs that lost their process"
RERUN = "prefect-responses: run crashed flow runs again"
LAST_RUN = "prefect-responses: give up flow runs that crashed in their last run"
GIVE_UP = "prefect-responses: give up flow runs that crash before they begin"
NAMES = (FIND, CRASH, RERUN, LAST_RUN, GIVE_UP)

#: Tag of the flow runs that are cared for, unless others are named.
TAG = "durable-responses"
#: Seconds between two heartbeats of a flow run, unless PREFECT_FLOWS_HEARTBEAT_FREQUENCY says else.
HEARTBEAT = 180
#: Heartbeats that are waited for: one may be lost and the next be late.
HEARTBEATS = 3
MAX_RUNS = 5
DELAY = 60.0

#: Name of the state of a flow run between found and Crashed.
LOST = "ProcessLost"

#: Prefect sends heartbeats no faster than this, in seconds.
_FASTEST_HEARTBEAT = 30
#: Prefect waits for what does not come no shorter than this, in seconds.
_SHORTEST_WAIT = 10
#: What a pattern of one digit can tell apart.
_MAX_RUNS = range(2, 10)
#: Reports of each crash that may come.
_REPORTS = 2
#: Seconds that it takes to find out that a run cannot begin, at the most.
_BOOT = 120.0


def patience(heartbeat: float, within: float | None = None) -> float:
    """Return for how many seconds a heartbeat is waited for.

    Args:
        heartbeat: seconds between two heartbeats.
        within: what the user wants, or None for three heartbeats.

    Raises:
        RequestInvalid: Prefect sends no such heartbeats, or one late heartbeat would end a run.
    """
    if heartbeat < _FASTEST_HEARTBEAT:
        raise RequestInvalid(
            f"Prefect sends heartbeats {_FASTEST_HEARTBEAT} seconds apart at the least, "
            f"not {heartbeat:g}."
        )
    if within is not None and within < 2 * heartbeat:
        raise RequestInvalid(
            f"Heartbeats that come every {heartbeat:g} seconds cannot be waited for only "
            f"{within:g}: one that is late would end a healthy run. Wait for two at least."
        )
    return HEARTBEATS * heartbeat if within is None else within


@dataclass(frozen=True, slots=True)
class Recovery:
    """Say which flow runs come back, and how.

    Args:
        tags: flow runs with any of these tags; none for all flow runs.
        within: seconds without a heartbeat after which a flow run is Crashed.
        max_runs: runs of one flow run, 2 to 9, the first one and those by hand included.
        delay: seconds between a crash and the next run.

    Raises:
        RequestInvalid: Prefect would not take it.
    """

    tags: tuple[str, ...] = (TAG,)
    within: float = HEARTBEATS * HEARTBEAT
    max_runs: int = MAX_RUNS
    delay: float = DELAY

    def __post_init__(self) -> None:
        if not all(self.tags):
            raise RequestInvalid("A tag has at least one character.")
        if self.max_runs not in _MAX_RUNS:
            raise RequestInvalid(
                f"A flow run can be run 2 to 9 times, not {self.max_runs}: once is not again."
            )
        for name, seconds in (("within", self.within), ("delay", self.delay)):
            if seconds < _SHORTEST_WAIT:
                raise RequestInvalid(
                    f"Prefect waits {_SHORTEST_WAIT} seconds at the least, not {seconds:g} "
                    f"as {name}."
                )


# --- what they are --------------------------------------------------------------------------------


def automations_of(recovery: Recovery) -> tuple[AutomationCore, ...]:
    """Return the automations by which *recovery* happens."""
    return (
        _find(recovery),
        _crash(recovery),
        _rerun(recovery),
        _last_run(recovery),
        _give_up(recovery),
    )


def _find(recovery: Recovery) -> AutomationCore:
    # Any event of the run answers a heartbeat: the next one, or a state that has no heartbeats,
    # such as Suspended or AwaitingRetry, under whatever name its flow gave to it.
    trigger = EventTrigger(
        posture=Posture.Proactive,
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.*"},
        within=timedelta(seconds=recovery.within),
        for_each={"prefect.resource.id"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=_tagged(recovery),
    )
    silence = f"no heartbeat came for {recovery.within:g} seconds"
    action = ChangeFlowRunState(
        state=StateType.PAUSED, name=LOST, message=f"It is taken for dead: {silence}."
    )
    does = f"that is Running is taken for dead when {silence}"
    return _automation(FIND, trigger, action, f"{_whose(recovery)} {does}.")


def _crash(recovery: Recovery) -> AutomationCore:
    trigger = EventTrigger(
        posture=Posture.Reactive,
        expect={f"prefect.flow-run.{LOST}"},
        for_each={"prefect.resource.id"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=_tagged(recovery),
    )
    action = ChangeFlowRunState(
        state=StateType.CRASHED,
        message=f"No heartbeat came for {recovery.within:g} seconds, so its process must be dead.",
    )
    return _automation(CRASH, trigger, action, f"{_whose(recovery)} taken for dead is crashed.")


def _rerun(recovery: Recovery) -> AutomationCore:
    # A crash starts the wait anew, and any other state ends it. That holds for every run count: if
    # the last run were not looked at, its wait would not end, and what completed would run again.
    trigger = EventTrigger(
        posture=Posture.Proactive,
        after={"prefect.flow-run.Crashed"},
        expect={"prefect.flow-run.*"},
        within=timedelta(seconds=recovery.delay),
        for_each={"prefect.resource.id"},
        match=_of_run_counts(_BEGUN),
        match_related=_deployed(recovery),
    )
    action = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message="It crashed, and is run again."
    )
    does = f"run again {recovery.delay:g} seconds later, up to {recovery.max_runs} runs"
    return _automation(RERUN, trigger, action, f"{_whose(recovery)} that crashed is {does}.")


def _last_run(recovery: Recovery) -> AutomationCore:
    trigger = EventTrigger(
        posture=Posture.Reactive,
        expect={"prefect.flow-run.Crashed"},
        for_each={"prefect.resource.id"},
        match=_of_run_counts(f"[{recovery.max_runs}-9]", "[1-9][0-9]*"),
        match_related=_deployed(recovery),
    )
    action = ChangeFlowRunState(
        state=StateType.FAILED,
        message=f"It crashed in the last of its {recovery.max_runs} runs, and is not run again.",
    )
    does = f"that crashed in the last of its {recovery.max_runs} runs is failed"
    return _automation(LAST_RUN, trigger, action, f"{_whose(recovery)} {does}.")


def _give_up(recovery: Recovery) -> AutomationCore:
    # The first crash opens the count and is not in it. Crashes that each had a run of their own run
    # out of runs before they reach it, even if each is reported twice.
    crashes = _REPORTS * recovery.max_runs
    spell = crashes * (recovery.delay + _BOOT)
    trigger = EventTrigger(
        posture=Posture.Reactive,
        after={"prefect.flow-run.Crashed"},
        expect={"prefect.flow-run.Crashed"},
        threshold=crashes - 1,
        within=timedelta(seconds=spell),
        for_each={"prefect.resource.id"},
        match=_of_run_counts(_BEGUN),
        match_related=_deployed(recovery),
    )
    often = f"{crashes} times within {spell / 60:.0f} minutes"
    action = ChangeFlowRunState(
        state=StateType.FAILED,
        message=f"It crashed {often}, not always after it had begun. Repair what starts it, and "
        "press Retry.",
    )
    does = f"that crashes before it begins again, {often}, is failed"
    return _automation(GIVE_UP, trigger, action, f"{_whose(recovery)} {does}.")


def _automation(
    name: str, trigger: EventTrigger, action: ChangeFlowRunState, does: str
) -> AutomationCore:
    made = AutomationCore(name=name, description=does, trigger=trigger, actions=[action])
    # An update sends what was set: the type of the trigger, which is a default, must be, and the
    # owner, which no update takes, must not.
    return AutomationCore.model_validate(made.model_dump(exclude={"owner_resource"}))


def _whose(recovery: Recovery) -> str:
    names = " or ".join(recovery.tags)
    return f"A flow run tagged {names}" if names else "A flow run"


#: Run count 0 never began and holds nothing that was paid for.
_BEGUN = "[1-9]*"


def _of_run_counts(*patterns: str) -> dict[str, str | list[str]]:
    return {"prefect.resource.id": "prefect.flow-run.*", "prefect.run-count": [*patterns]}


def _tagged(recovery: Recovery) -> list[dict[str, str | list[str]]]:
    if not recovery.tags:
        return []
    # The server reads values as patterns.
    ids = [f"prefect.tag.{glob.escape(tag)}" for tag in recovery.tags]
    return [{"prefect.resource.role": "tag", "prefect.resource.id": ids}]


def _deployed(recovery: Recovery) -> list[dict[str, str | list[str]]]:
    # Nobody runs a flow run without a deployment, such as a subflow, again.
    return [*_tagged(recovery), {"prefect.resource.role": "deployment"}]
